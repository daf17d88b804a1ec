"""What the model that ships made of two recordings when it was released: a change of words changes no number.

`python tests/stories/test_golden.py` writes the files in `golden/` anew, where a change of numbers is meant.  With
`--digests` it prints the sha256 of everything instead, to be compared before and after a change on one machine: across
machines the last bits differ, so the test allows for one code in fifty and for a tenth of what two voices differ by.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

import vqspeech
from vqspeech import SamplingConfig, audio
from vqspeech.nn.mel import LogMel

GOLDEN = Path(__file__).parent / "golden"
NAMES = ("a", "b")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return make(tmp_path_factory.mktemp("golden"))


def test_codes_are_those_of_the_release(results):
    expected = np.load(GOLDEN / "expected.npz")
    for name in expected.files:
        if name.endswith("codes"):
            assert results[name].shape == expected[name].shape
            assert np.mean(results[name] == expected[name]) > 0.98, name


def test_waves_sound_like_those_of_the_release(results):
    expected = np.load(GOLDEN / "expected.npz")
    for name in (name for name in expected.files if name.endswith("wave")):
        mel = summary(results[name])
        assert mel.shape == expected[name].shape
        assert np.abs(mel - expected[name]).mean() < 0.05, name
    assert np.abs(expected["a_source-filter_wave"] - expected["a_decode_wave"]).mean() > 0.1  # two voices


def test_a_step_of_training_costs_what_it_did(results):
    expected = json.loads((GOLDEN / "expected.json").read_text())
    for name, value in expected.items():
        assert results[name] == pytest.approx(value, rel=0.02), name


def make(folder: Path) -> dict:
    """Codes, waves and losses by name."""
    results = {}
    for vocoder in ("source-filter", "wavenet"):
        model = vqspeech.load(vocoder=vocoder)
        for name in NAMES:
            source = GOLDEN / f"{name}.flac"
            path = folder / f"{name}.{vocoder}.wav"
            vqspeech.convert(source, "kokoro_af_heart", model, path)
            results[f"{name}_{vocoder}_wave"] = audio.read(path, model.sample_rate)
            if vocoder == "source-filter":
                codes = model.encode(audio.read(source, model.sample_rate))
                results[f"{name}_codes"] = codes
                results[f"{name}_decode_wave"] = model.decode(codes, "p226", SamplingConfig(seed=3))
    results["sample_codes"] = sample(model)
    return results | losses(vqspeech.load().net)


def sample(model) -> np.ndarray:
    """A second of new codes, (frames, codebooks)."""
    from vqspeech.inference.prior_sampler import PriorSampler
    from vqspeech.models import hub

    sampler = PriorSampler(hub.SHIPPED / hub.DEFAULT / hub.PRIOR, model)
    return sampler.sample("p225", 50, sampling=SamplingConfig(0.0))[0]


@torch.inference_mode()
def losses(net) -> dict[str, float]:
    """The losses of one step of acoustic training on a recording."""
    from vqspeech.audio import mulaw
    from vqspeech.data.batches import Batch

    wave = audio.read(GOLDEN / "a.flac", net.sample_rate)
    classes = torch.from_numpy(mulaw.compress(wave[: len(wave) // net.hop * net.hop]))[None]
    uniforms = torch.from_numpy(np.random.default_rng(0).random((1, 64), dtype=np.float32))
    batch = Batch(classes, classes, torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long), uniforms)
    loss = net.eval().acoustic_loss(batch)
    return {f"loss.{name}": float(value) for name, value in loss.parts.items() if value.ndim == 0} | {
        "loss": float(loss.total)
    }


def summary(wave: np.ndarray) -> np.ndarray:
    """A log-mel spectrum each tenth of a second: (tenths, 80), float16."""
    with torch.inference_mode():
        mel = LogMel(16000, 160, 80)(torch.from_numpy(wave[: len(wave) // 1600 * 1600])[None])[0]
    return mel.T.reshape(-1, 10, 80).mean(1).numpy().astype(np.float16)


def write_recordings() -> None:
    """Two sentences by two synthetic voices."""
    from vqspeech.data import synthetic

    for name, voice, sentence in zip(NAMES, synthetic.VOICES[1:3], synthetic.sentences()[5:7], strict=True):
        wave, _ = synthetic.Synthesiser(voice).speak(sentence)
        audio.write(GOLDEN / f"{name}.flac", wave[:40000] / np.float32(32768), synthetic.SAMPLE_RATE)


if __name__ == "__main__":
    if "--digests" not in sys.argv:
        write_recordings()
    with tempfile.TemporaryDirectory() as folder:
        made = make(Path(folder))
    if "--digests" in sys.argv:
        for name, value in made.items():
            data = value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
            print(name, hashlib.sha256(data).hexdigest()[:16])
    else:
        arrays = {name: value for name, value in made.items() if isinstance(value, np.ndarray)}
        expected = {
            name: summary(value) if name.endswith("wave") else value.astype(np.int16) for name, value in arrays.items()
        }
        np.savez_compressed(GOLDEN / "expected.npz", **expected)
        numbers = {name: round(value, 5) for name, value in made.items() if name not in arrays}
        (GOLDEN / "expected.json").write_text(json.dumps(numbers, indent=1) + "\n")
