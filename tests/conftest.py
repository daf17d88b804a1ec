"""Shapes in signatures are checked while the tests run; the numba engine is left out, numba compiles it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

from vqspeech.system.jit import load_numba

CHECKED = ("vqspeech.nn", "vqspeech.models", "vqspeech.engines.torch_engine")
load_numba()  # before anything that imports numba by itself
install_import_hook(CHECKED, "beartype.beartype")
torch.set_num_threads(1)  # the tests' tensors are too small to share


@pytest.fixture
def speech():
    """Sounds a little like speech: a gliding, pulsing harmonic tone; speech(seconds, sample_rate, seed)."""

    def make(seconds: float, sample_rate: int = 16000, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        time = np.arange(round(seconds * sample_rate)) / sample_rate
        pitch = rng.uniform(90, 220) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(1, 3) * time))
        phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
        tone = sum(np.sin(k * phase) / k for k in range(1, 12)) * np.abs(np.sin(2 * np.pi * 2 * time))
        return (0.2 * tone + 0.003 * rng.standard_normal(len(time))).astype(np.float32)

    return make


@pytest.fixture
def tiny(request):
    """A config of a model small enough to train in a second; a test may say what its acoustic model is."""
    from vqspeech import config

    more = getattr(request, "param", {})
    return config.from_tree(
        {
            "model": {
                "encoder": {"channels": 8, "strides": [4, 4], "residual_blocks": 1},
                "quantizer": {"codebook_size": 16, "codebook_dim": 4},
                "wavenet": {"residual_channels": 8, "skip_channels": 12, "layers": 4, "layers_per_stack": 3},
                "cond_channels": 6, "speaker_dim": 3, "acoustic": more, "augment": {"time_jitter": 0.1},
            },
            "training": {
                "batch_size": 4, "segment_length": 256, "input_gain_drift_db": 3.0, "input_noise": 1.0,
                "warmup_steps": 2, "max_steps": 6, "evaluate_every": 3, "save_every": 2,
                "evaluate_s": 0.5, "log_audio": 0, "precision": "float32",
            },
        },
        "tiny",
    )  # fmt: skip


@pytest.fixture
def packed(tmp_path: Path, speech) -> Path:
    """A packed folder: three speakers, two utterances each."""
    import json

    from vqspeech.audio import mulaw

    folder = tmp_path / "packed"
    folder.mkdir()
    rows, offset = ["key\tspeaker\toffset\tlength"], 0
    with (folder / "shard-00000.u8").open("wb") as file:
        for number in range(6):
            classes = mulaw.compress(speech(0.2 + 0.05 * number, seed=number))
            file.write(classes.tobytes())
            rows.append(f"s{number // 2}_{number:03d}\ts{number // 2}\t{offset}\t{len(classes)}")
            offset += len(classes)
    (folder / "shard-00000.tsv").write_text("\n".join(rows) + "\n")
    (folder / "packed.json").write_text(json.dumps({"format": 1, "sample_rate": 16000, "shards": 1}))
    return folder


@pytest.fixture
def run(tiny, tmp_path: Path) -> Path:
    """A run directory of an untrained model with three voices."""
    from vqspeech.models import checkpoint
    from vqspeech.models.vqvae import VQVAE

    torch.manual_seed(0)
    model = VQVAE.from_config(tiny.model, 3)
    checkpoint.init_run_dir(tmp_path / "run", tiny, ["p225", "p226", "alice"])
    checkpoint.save(tmp_path / "run", model)
    return tmp_path / "run"


@pytest.fixture
def run_with_levels(run) -> Path:
    """A run whose speakers' levels are known."""
    from vqspeech.models import speaker_table
    from vqspeech.models.speaker_table import SpeakerInfo

    speaker_table.write(run, [SpeakerInfo("p225", 90.0, -20.0, "F", "English"), SpeakerInfo("p226", 30.0, -30.0)])
    return run


@pytest.fixture
def run_of_two_codebooks(tiny, tmp_path: Path) -> Path:
    """A run directory of an untrained model of two codebooks with two voices."""
    from vqspeech.models import checkpoint
    from vqspeech.models.vqvae import VQVAE

    quantizer = tiny.model.quantizer.model_copy(update={"codebooks": 2})
    settings = tiny.model_copy(update={"model": tiny.model.model_copy(update={"quantizer": quantizer})})
    torch.manual_seed(0)
    checkpoint.init_run_dir(tmp_path / "run", settings, ["p225", "alice"])
    checkpoint.save(tmp_path / "run", VQVAE.from_config(settings.model, 2))
    return tmp_path / "run"


@pytest.fixture
def stacked_model(run_of_two_codebooks):
    """That model, loaded."""
    import vqspeech

    return vqspeech.load(run_of_two_codebooks)


WAVENET_KEYS = ("classes", "start", "residual_channels", "skip_channels", "layers", "layers_per_stack", "kernel_size")
WAVENET_SIZES = {
    name: dict(zip(WAVENET_KEYS, values, strict=True))
    for name, values in {
        "decoder": (256, 128, 48, 40, 7, 4, 2),
        "odd": (11, 5, 7, 13, 3, 3, 2),
        "one layer": (30, 0, 8, 8, 1, 1, 2),
        "kernel 3": (20, 3, 16, 24, 4, 3, 3),
        "kernel 1": (20, 3, 8, 8, 2, 2, 1),
    }.items()
}
WAVENET_SIZES |= {
    "4 bands": {**WAVENET_SIZES["decoder"], "classes": 32, "start": 16, "bands": 4},
    "2 bands": {**WAVENET_SIZES["odd"], "bands": 2},
}
PRIOR_SIZE = dict(zip(WAVENET_KEYS, (512, 256, 16, 16, 4, 2, 2), strict=True))
WAVENET_HOPS = {**{name: (size, 8) for name, size in WAVENET_SIZES.items()}, "prior": (PRIOR_SIZE, 1)}


@pytest.fixture(params=WAVENET_HOPS)
def talk(request):
    """A WaveNet whose choices matter, conditioning for three streams, a teacher and uniforms."""
    from vqspeech.nn.wavenet import WaveNet

    size, hop = WAVENET_HOPS[request.param]
    torch.manual_seed(1)
    wavenet = WaveNet(**size, cond_channels=5).eval()
    with torch.no_grad():
        for parameter in wavenet.parameters():
            parameter.mul_(2)
    time, frames = 256, 256 // hop
    classes = torch.randint(0, size["classes"], (3, time))
    return wavenet, torch.randn(3, 5, frames), classes, torch.rand(3, time)


@pytest.fixture
def vocoder_settings():
    """Settings of a vocoder small enough to train in a second; vocoder_settings(sizes, **training)."""
    from vqspeech import config

    def make(sizes=None, **training) -> config.VocoderConfig:
        vocoder = {
            "residual_channels": 16, "skip_channels": 16, "layers": 4, "layers_per_stack": 4, "cond_channels": 16,
            "n_mels": 20,
        }  # fmt: skip
        tree = {
            "learning_rate": 1e-2, "warmup_steps": 1, "ema_decay": 0.0, "batch_size": 2, "segment_length": 3200,
            "decoder_segment_length": 1600, "evaluate_every": 1000, "log_audio": 0,
        }  # fmt: skip
        return config.VocoderConfig(
            vocoder=config.Vocoder(**vocoder | (sizes or {})), training=config.Training(**tree | training)
        )

    return make


@pytest.fixture
def spoken(tmp_path, speech):
    """A data directory of two speakers, packed at 16 bits."""
    from vqspeech.audio.io import write
    from vqspeech.data import corpus, packing

    utterances = []
    for number in range(4):
        path = tmp_path / f"{number}.wav"
        write(path, speech(0.8, seed=number), 16000)
        utterances.append(corpus.Utterance(f"s{number % 2}-{number}", f"s{number % 2}", str(path)))
    corpus.write(tmp_path / "data", utterances)
    packing.pack(tmp_path / "data", 16000, bits=16)
    return tmp_path / "data" / "packed"
