"""Fixtures of several files."""

import numpy as np
import pytest

from vqspeech import audio
from vqspeech.data import corpus, phones, synthetic
from vqspeech.data.corpus import Utterance
from vqspeech.data.phones import Phone

DRAWS = np.random.default_rng(0)


@pytest.fixture
def parts(tmp_path):
    """Two speakers in two parts; two phones that sound apart, low and high, and pauses."""
    for part, numbers in (("train", range(6)), ("test", range(6, 8))):
        utterances, labels = [], {}
        for speaker in ("alice", "bob"):
            for number in numbers:
                key, name = f"{speaker}_{number}", tmp_path / f"{speaker}_{number}.wav"
                wave, rows, now_s = [np.zeros(1600)], [Phone(0.0, 0.1, "sil")], 0.1
                for phone in DRAWS.permutation(["s", "m"] * 4):
                    time_s = np.arange(1600) / 16000
                    wave.append(0.5 * np.sin(2 * np.pi * {"m": 200, "s": 5000}[phone] * time_s))
                    rows.append(Phone(now_s, now_s + 0.1, phone))
                    now_s += 0.1
                audio.write(name, np.concatenate(wave), 16000)
                utterances.append(Utterance(key, speaker, str(name), text=f"sentence {number} of {part}"))
                labels[key] = rows
        corpus.write(tmp_path / part, utterances)
        phones.write(tmp_path / part, labels)
    return tmp_path


@pytest.fixture(scope="module")
def wave():
    """A sentence of the mini corpus."""
    pytest.importorskip("espeakng_loader")
    synthesiser = synthetic.Synthesiser(synthetic.VOICES[0])
    spoken = synthesiser.speak(synthetic.sentences()[0])[0].astype(np.float32)
    scale = 0.3 / np.abs(spoken).max()
    return np.concatenate([*audio.resampled([spoken * scale], synthetic.SAMPLE_RATE, 16000)])
