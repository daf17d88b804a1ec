"""Export of a model as a folder to share: weights, config, speakers and a card."""

import fnmatch
import math
from pathlib import Path

from torch import Tensor

from vqspeech import config
from vqspeech.errors import InputError
from vqspeech.models import checkpoint, hub, speaker_table
from vqspeech.system.files import atomic_path

CARD = "README.md"
EXACT = ("quantizer.", "gains")
"""Tensors that keep their bytes: codebooks with their statistics, and the gains of a vocoder's bands."""


LOCAL = {"init_from": "", "acoustic_model": ""}
"""Training keys that name folders of the machine that trained."""


def export(
    model: str | Path, folder: Path, speakers: list[str] | None = None, at_least_s: float = 0.0, bfloat16: bool = False
) -> str:
    """Writes a model, a prior or a vocoder into a new folder that `hub.resolve` takes and that can be shared.

    Args:
        model: a model's, a prior's or a vocoder's folder or name.
        speakers: the voices to keep, enrolled ones too, or patterns of them, as `p22*`; all by default.
        at_least_s: a voice that was trained on less speech than this is left out.
        bfloat16: store the weights in half the bytes; codebooks, statistics and gains keep theirs.

    Returns:
        The digest of what was written.  It is the model's own only if nothing was changed.

    Raises:
        InputError: no such model, an unknown voice, none left, or a folder that holds something.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: holds something; give a new folder")
    source = hub.resolve(model)
    if (kind := checkpoint.kind_of(source)) != "model":
        if speakers or at_least_s:
            raise InputError(f"{model}: is a {kind}; it keeps its voices, leave --speaker and --at-least-s out")
        part = checkpoint.load_prior(source, True) if kind == "prior" else checkpoint.load_vocoder(source, True)
        names = part.speakers if isinstance(part, checkpoint.PriorRun) else []
        return _written(folder, part.config, names, part.model.state_dict(), bfloat16)
    run = checkpoint.load(source, upgrade=True)
    for name in speakers or []:
        if not any(fnmatch.fnmatchcase(pattern, name) for pattern in run.speakers):
            raise InputError(f"{model}: has no voice {name!r}; see `vqspeech speakers`")
    names = [
        speaker
        for speaker in run.speakers
        if not speakers or any(fnmatch.fnmatchcase(speaker, name) for name in speakers)
    ]
    names = [
        speaker
        for speaker in names
        if not at_least_s or (speaker in run.voices and run.voices[speaker].seconds >= at_least_s)
    ]
    if not names:
        raise InputError(f"{model}: no voice has {at_least_s:g} s of speech; ask for less")
    tensors, rows = run.model.state_dict(), [run.speakers.index(speaker) for speaker in names]
    tensors |= {
        name: tensors[name][rows] for name in (checkpoint.EMBEDDINGS, checkpoint.ADAPTATIONS) if name in tensors
    }
    digest = _written(folder, run.config, names, tensors, bfloat16)
    if run.voices:
        speaker_table.write(folder, [run.voices[speaker] for speaker in names if speaker in run.voices])
    card = source / CARD
    with atomic_path(folder / CARD) as part:
        part.write_text(card.read_text(encoding="utf-8") if card.exists() else _card(run, names), encoding="utf-8")
    return digest


def _written(
    folder: Path, resolved: config.AnyConfig, speakers: list[str], tensors: dict[str, Tensor],
    bfloat16: bool,
) -> str:  # fmt: skip
    if bfloat16:
        tensors = {
            name: tensor if name.startswith(EXACT) or not tensor.is_floating_point() else tensor.bfloat16()
            for name, tensor in tensors.items()
        }
    settings = resolved.model_copy(update={"training": resolved.training.model_copy(update=LOCAL)})
    checkpoint.init_run_dir(folder, settings, speakers)
    return checkpoint.save_tensors(folder, tensors)


def _card(run: checkpoint.Run, speakers: list[str]) -> str:
    """What a reader of the folder wants to know and what can be said without asking its maker."""
    model = run.config.model
    seconds = sum(speaker.seconds for speaker in run.voices.values())
    rate, sizes = model.sample_rate / model.hop, model.wavenet
    quantizer = model.quantizer
    bits = rate * quantizer.codebooks * math.log2(quantizer.codebook_size)
    labels = "with" if checkpoint.has_phone_labels(run.config) else "without"
    listed = ", ".join(speakers[:12]) + ("..." if len(speakers) > 12 else "")
    return f"""---
library_name: vqspeech
pipeline_tag: audio-to-audio
tags: [speech, neural-codec, voice-conversion, vq-vae, wavenet]
---
# A vqspeech model

A VQ-VAE of speech after van den Oord et al. (2017): {model.sample_rate} Hz, {rate:g} frames a second of
{quantizer.codebooks} x {quantizer.codebook_size} codes (at most {bits:.0f} bit/s), learned {labels} phone labels, and a
WaveNet of {sizes.layers} layers, {sizes.residual_channels} residual and {sizes.skip_channels} skip channels.
{len(speakers)} voices: {listed}.  Trained on {seconds / 60:.0f} min.

```bash
pip install vqspeech
vqspeech convert --model FOLDER --speaker {speakers[0]} in.wav
```

To be written by whoever shares it: on what it was trained and under which licence, how it was measured, and what it
is for.  A voice belongs to a person: do not let it say what that person would not have it say.
"""
