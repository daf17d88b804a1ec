"""Run directories: config, weights, speaker table, and states to resume from.

```
exp/name/
  config.yaml          the resolved config
  speakers.txt         one name a line, in the order of the speaker table
  model.safetensors    the (averaged) weights; its header holds the format and the digests of all three
  voices.tsv, voices/  what is known of the voices, and those that were enrolled since: see `voices`
  state/NNNNNNNN.safetensors   all that training needs to go on from step N
  log.jsonl, tensorboard/      what was measured on the way
```
Files appear whole or not at all.  Nothing is pickled, so a run directory runs no code.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vqspeech import config
from vqspeech.data import kaldi
from vqspeech.errors import InputError
from vqspeech.models import format_1, hub, speaker_table
from vqspeech.models.prior import Prior
from vqspeech.models.speaker_table import SpeakerInfo
from vqspeech.models.vqvae import VQVAE
from vqspeech.models.wavenet_vocoder import WaveNetVocoder
from vqspeech.system.files import atomic_path

FORMAT = "2"
CONFIG, SPEAKERS, WEIGHTS = "config.yaml", "speakers.txt", hub.WEIGHTS
EMBEDDINGS, ADAPTATIONS = "speaker.weight", "adaptations"
"""The weights that have a row for each speaker; training fits the adaptations at its end, of an acoustic model."""


class Run(NamedTuple):
    """A trained model as it lies on disk; `digest` names it (hex, 64 digits).

    `speakers` are those it was trained on, then those that were enrolled since; `voices` is what is known of them.
    """

    model: VQVAE
    config: config.Config
    speakers: list[str]
    digest: str
    voices: dict[str, SpeakerInfo] = {}  # noqa: RUF012
    folder: Path | None = None

    @property
    def user_data_dir(self) -> Path:
        """Where what is made for this model is kept; see `hub.user_data_dir`."""
        return hub.user_data_dir(self.folder or Path(), self.digest)


class PriorRun(NamedTuple):
    """A trained prior as it lies on disk; `config.prior.model` is the digest of the model whose codes it knows."""

    model: Prior
    config: config.PriorConfig
    speakers: list[str]
    digest: str


class VocoderRun(NamedTuple):
    """A trained vocoder as it lies on disk."""

    model: WaveNetVocoder
    config: config.VocoderConfig
    digest: str


def check_run_dir(directory: Path, resolved: config.AnyConfig, speakers: list[str]) -> None:
    """Whether a run may begin in a directory, or go on in it; changes nothing.

    Raises:
        InputError: the directory holds another run.
    """
    if (path := directory / SPEAKERS).exists() and path.read_text(encoding="utf-8") != _table(speakers):
        raise InputError(f"{path}: is not the speaker table of this data; choose another run directory")
    if (path := directory / CONFIG).exists() and _sizes(config.load(path)) != _sizes(resolved):
        raise InputError(f"{path}: describes another model; choose another run directory or the same config")


def init_run_dir(directory: Path, resolved: config.AnyConfig, speakers: list[str]) -> None:
    """Writes config and speaker table of a new run, or of the run that is there; raises as `check_run_dir`."""
    check_run_dir(directory, resolved, speakers)
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / CONFIG, config.to_yaml(resolved))
    _write(directory / SPEAKERS, _table(speakers))
    if (directory / WEIGHTS).exists():  # signed with the config of before: how it is trained may have been changed
        tensors, signed = read_tensors(directory / WEIGHTS)
        digests = _digests(directory, tensors)
        if signed.get(CONFIG) != digests[CONFIG] and signed.get(WEIGHTS) == digests[WEIGHTS]:
            save_tensors(directory, tensors)


def save(directory: Path, model: nn.Module) -> None:
    """Writes the weights of a run that was started, signed with its config and speaker table."""
    save_tensors(directory, model.state_dict())


def save_tensors(directory: Path, tensors: dict[str, Tensor]) -> str:
    """The same of weights without a model; returns the digest."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    digests = _digests(directory, tensors)
    write_tensors(directory / WEIGHTS, tensors, {"format": FORMAT, **digests})
    return _digest(digests)


def has_phone_labels(settings: config.Config) -> bool:
    """Whether codes were learned with phone labels, by this run or one that it began with."""
    training = settings.training
    return bool(training.phone_labels or any(training.phone_weights))


def load(model: str | Path, device: str = "cpu", upgrade: bool = False) -> Run:
    """The VQ-VAE of a run directory, with the voices enrolled for it, ready for use.

    Args:
        model: a folder, a name or a repository; see `hub.resolve`.
        upgrade: whether a run of format 1 is read too.

    Raises:
        InputError: no run there, one of another format, or one with a changed byte (the file is named).
    """
    folder = hub.resolve(model)
    net, resolved, speakers, digest, *_ = load_trained(folder, upgrade)
    enrolled, _ = speaker_table.enrolled(hub.user_data_dir(folder, digest), digest, net.speaker_shapes)
    additions = [speaker for speaker in enrolled if speaker.voice.name not in speakers]
    if additions:
        vectors = torch.stack([torch.from_numpy(speaker.embedding) for speaker in additions])
        net.speaker = nn.Embedding.from_pretrained(torch.cat([net.speaker.weight.detach(), vectors]), freeze=False)
        if net.acoustic_model:
            adaptations = (
                torch.zeros(len(speakers), *net.speaker_shapes[1]) if net.adaptations is None else net.adaptations
            )
            net.adaptations = torch.cat(
                [adaptations, torch.stack([torch.from_numpy(speaker.adaptation) for speaker in additions])]
            )
    table = speaker_table.read(folder) | {speaker.voice.name: speaker.voice for speaker in additions}
    names = speakers + [speaker.voice.name for speaker in additions]
    return Run(net.to(device).eval(), resolved, names, digest, table, folder)


def load_trained(folder: Path, upgrade: bool = False) -> Run:
    """The VQ-VAE of a folder as it was trained, without the voices that were enrolled since; raises as `load`."""
    resolved, speakers, tensors, digest = _load(folder, upgrade)
    if not isinstance(resolved, config.Config):
        kind = "prior" if isinstance(resolved, config.PriorConfig) else "vocoder"
        raise InputError(f"{folder}: holds a {kind}; give the run directory of the model that it belongs to")
    net = VQVAE.from_config(resolved.model, len(speakers))
    if ADAPTATIONS in tensors:
        net.adaptations = torch.zeros(len(speakers), *net.speaker_shapes[1])
    return Run(_filled(net, tensors, folder).eval(), resolved, speakers, digest)


def kind_of(folder: Path) -> Literal["model", "prior", "vocoder"]:
    """What a run directory holds."""
    sections = config.read_tree(folder / CONFIG)
    return "prior" if "prior" in sections else "vocoder" if "vocoder" in sections else "model"


def load_prior(directory: str | Path, upgrade: bool = False) -> PriorRun:
    """The prior of a run directory, ready for use.

    Raises:
        InputError: as `load`.
    """
    directory = hub.resolve(directory)
    resolved, speakers, tensors, digest = _load(directory, upgrade)
    if not isinstance(resolved, config.PriorConfig):
        raise InputError(f"{directory}: holds no prior; train one with `vqspeech train egs/vctk/conf/prior.yaml`")
    model = _filled(Prior(resolved.prior, len(speakers)), tensors, directory)
    return PriorRun(model.eval(), resolved, speakers, digest)


def load_vocoder(directory: str | Path, upgrade: bool = False) -> VocoderRun:
    """The vocoder of a run directory, or of a model that has one in its folder, ready for use.

    Raises:
        InputError: as `load`.
    """
    directory = hub.resolve(directory)
    if has_vocoder(directory):
        directory = directory / hub.VOCODER
    resolved, _, tensors, digest = _load(directory, upgrade)
    if not isinstance(resolved, config.VocoderConfig):
        raise InputError(f"{directory}: holds no vocoder; train one with a config that has a section `vocoder`")
    model = _filled(WaveNetVocoder(resolved.vocoder), tensors, directory)
    return VocoderRun(model.eval(), resolved, digest)


def has_vocoder(model: str | Path) -> bool:
    """Whether a model has a vocoder in its folder."""
    return (hub.resolve(model) / hub.VOCODER / WEIGHTS).is_file()


def _load(directory: Path, upgrade: bool) -> tuple[config.AnyConfig, list[str], dict[str, Tensor], str]:
    if not (directory / WEIGHTS).is_file():
        raise InputError(f"{directory}: holds no trained model ({WEIGHTS}); give a run directory such as exp/vqvae")
    tensors, signed = read_tensors(directory / WEIGHTS)
    is_format_1 = signed.get("format") == "1"
    if signed.get("format") != FORMAT and not (is_format_1 and upgrade):
        cure = (
            f"say `vqspeech export {directory} --out NEW`, which rewrites it"
            if is_format_1
            else "use the version that wrote it"
        )
        raise InputError(
            f"{directory / WEIGHTS}: format {signed.get('format', 'unknown')!r}, this version reads {FORMAT!r}; {cure}"
        )
    digests = _digests(directory, tensors)
    for name in (CONFIG, SPEAKERS, WEIGHTS):
        if signed.get(name) != digests[name]:
            raise InputError(
                f"{directory / name}: was changed after training (sha256 {digests[name][:12]}, "
                f"signed {str(signed.get(name))[:12]}); restore the file or train again"
            )
    speakers = (directory / SPEAKERS).read_text(encoding="utf-8").splitlines()
    for speaker in speakers:  # names of files that are written
        if reason := kaldi.bad_name(speaker):
            raise InputError(f"{directory / SPEAKERS}: the voice {speaker[:64]!r} {reason}; do not trust this model")
    tree = config.read_tree(directory / CONFIG)
    if is_format_1:
        tree, tensors = format_1.upgrade_config(tree), format_1.upgrade_tensors(tensors)
    return config.from_tree(tree, str(directory / CONFIG)), speakers, tensors, _digest(digests)


def _digest(digests: dict[str, str]) -> str:
    return hashlib.sha256("".join(digests.values()).encode()).hexdigest()


def _filled(model: Any, tensors: dict[str, Tensor], directory: str | Path) -> Any:
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(
            f"{directory}: weights do not fit the config ({str(error).splitlines()[-1].strip()})"
        ) from None
    return model


def _sizes(resolved: config.AnyConfig) -> dict[str, Any]:
    stage = {"stage": resolved.training.stage}  # the state of one is not that of another
    return resolved.model_dump(exclude={"training"}) | stage


def _digests(directory: Path, tensors: dict[str, Tensor]) -> dict[str, str]:
    """What each file of a run says, by SHA-256."""
    digests = {WEIGHTS: digest_of(tensors)}
    for name in (CONFIG, SPEAKERS):
        try:
            digests[name] = hashlib.sha256((directory / name).read_bytes()).hexdigest()
        except OSError:
            raise InputError(f"{directory / name}: is missing; a run directory needs it beside {WEIGHTS}") from None
    return digests


def digest_of(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and numbers."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}\n".encode())
        digest.update(tensors[name].view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file, and what its header says of them; raises InputError."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        return load_file(path), metadata
    except (SafetensorError, OSError, ValueError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: is no whole safetensors file ({error}); copy it again") from None


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """The inverse of `read_tensors`."""
    with atomic_path(path) as part:
        save_file(tensors, part, metadata=metadata)


def _table(speakers: list[str]) -> str:
    return "".join(f"{speaker}\n" for speaker in speakers)


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")
