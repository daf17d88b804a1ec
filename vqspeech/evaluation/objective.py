"""Objective measures of speech quality against a reference, at 16 kHz.

Where two recordings differ in time, cepstra and pitch are compared along the best warping path of their cepstra.
What needs a package that is not there says so and is left out.
"""

import importlib.util
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from scipy.fft import dct

from vqspeech.errors import InputError
from vqspeech.evaluation import metrics
from vqspeech.shapes import Wave
from vqspeech.system.jit import load_librosa

librosa = load_librosa()
RATE = 16000
STEP = 160
"""Samples between frames: 10 ms."""
CEPSTRA = 24
F0_RANGE = (60.0, 500.0)
"""Where F0 is searched, Hz."""
HALF_A_SEMITONE = 2 ** (0.5 / 12)
QUIET = 1e-5
"""The least amplitude of a mel band that counts, of full scale: what is below sounds alike."""


class Recording:
    """Recording: a wave, (time,), with cached features that several measures need."""

    def __init__(self, wave: Wave) -> None:
        self.wave = np.asarray(wave, np.float32)
        if len(self.wave) < RATE // 4:
            raise InputError("a recording is shorter than a quarter of a second; nothing can be measured on it")

    @cached_property
    def cepstra(self) -> NDArray[np.float64]:
        """See `mel_cepstra`."""
        return mel_cepstra(self.wave)

    @cached_property
    def pyin_f0(self) -> NDArray[np.float64]:
        """See `pyin_f0`."""
        return pyin_f0(self.wave)

    @cached_property
    def phones(self) -> list[str]:
        """See `recognise_phones`."""
        return recognise_phones(self.wave)


class Comparison:
    """A wave beside its reference, (time,) each, or recordings of both."""

    def __init__(self, reference: Wave | Recording, wave: Wave | Recording) -> None:
        self.first, self.second = (
            signal if isinstance(signal, Recording) else Recording(signal) for signal in (reference, wave)
        )
        self.reference, self.wave = self.first.wave, self.second.wave

    @cached_property
    def path(self) -> NDArray[np.int64]:
        """Pairs of frames, (steps, 2): the warping path that brings the cepstra together."""
        return librosa.sequence.dtw(self.first.cepstra.T, self.second.cepstra.T)[1][::-1]

    @cached_property
    def pitch(self) -> tuple[NDArray, NDArray]:
        """The pitch of each step of the path, Hz, 0 where there is no voice."""
        return tuple(  # type: ignore[return-value]
            recording.pyin_f0[np.minimum(self.path[:, side], len(recording.pyin_f0) - 1)]
            for side, recording in enumerate((self.first, self.second))
        )

    @cached_property
    def fitted(self) -> Wave:
        """The wave as long as the reference, and moved by up to 60 ms to where it correlates best."""
        reach = round(0.06 * RATE)
        size = len(self.reference)
        padded = np.pad(self.wave, (reach, reach + max(0, size - len(self.wave))))
        gains = np.abs(np.correlate(padded[: size + 2 * reach], self.reference, "valid"))
        at = int(np.argmax(gains))
        return padded[at : at + size].astype(np.float32)


class Measure(NamedTuple):
    """A number with its unit, which way is better, the module that it needs, and the function that gives it."""

    name: str
    unit: str
    better: str
    module: str
    of: Callable[[Comparison], float]

    @property
    def missing(self) -> bool:
        """Whether the module is not there."""
        return importlib.util.find_spec(self.module) is None


def mel_cepstral_distortion(pair: Comparison) -> float:
    """Mean distance of the smooth log spectra along the path, in dB.

    Source: Kubichek, Mel-cepstral distance measure (1993): 10 sqrt(2) / ln 10 times the distance of c_1 to c_24.
    """
    first, second = pair.first.cepstra[pair.path[:, 0]], pair.second.cepstra[pair.path[:, 1]]
    return float(10 * np.sqrt(2) / np.log(10) * np.linalg.norm(first - second, axis=1).mean())


def pitch_correlation(pair: Comparison) -> float:
    """F0 correlation: Pearson's r of log F0 in frames that are voiced in both; 0 without any."""
    voiced = (pair.pitch[0] > 0) & (pair.pitch[1] > 0)
    if voiced.sum() < 3:
        return 0.0
    first, second = (np.log(side[voiced]) for side in pair.pitch)
    return float(np.corrcoef(first, second)[0, 1]) if first.std() > 1e-9 and second.std() > 1e-9 else 0.0


def voicing_error(pair: Comparison) -> float:
    """Voicing error: share of aligned frames in which only one of the two is voiced."""
    return float(((pair.pitch[0] > 0) != (pair.pitch[1] > 0)).mean())


def level_difference(pair: Comparison) -> float:
    """How much louder the wave is, in dB."""
    powers = (float(np.square(wave, dtype=np.float64).mean()) + 1e-12 for wave in (pair.wave, pair.reference))
    return float(10 * np.log10(next(powers) / next(powers)))


def loudness_correlation(pair: Comparison) -> float:
    """Pearson's r of the loudness over time."""
    return metrics.contour_correlation(pair.reference, pair.fitted, RATE)


def phone_error(pair: Comparison) -> float:
    """Phone error rate (PER) of the wave against the reference, both by pocketsphinx."""
    first, second = pair.first.phones, pair.second.phones
    return Levenshtein.distance(first, second) / max(1, len(first))


def dnsmos(pair: Comparison) -> float:
    """DNSMOS (overall), 1 to 5, a prediction of listeners' ratings; needs no reference."""
    from speechmos import dnsmos as model

    scores: Any = model.run(np.clip(pair.wave, -1, 1), RATE)
    return float(scores["ovrl_mos"])


def estoi(pair: Comparison) -> float:
    """Extended short-time objective intelligibility, up to 1."""
    from pystoi import stoi

    return float(stoi(pair.reference, pair.fitted, RATE, extended=True))


def pesq(pair: Comparison) -> float:
    """Wide-band PESQ, 1 to 4.64."""
    from pesq import NoUtterancesError
    from pesq import pesq as wide

    try:
        return float(wide(RATE, pair.reference, pair.fitted, "wb"))
    except NoUtterancesError:
        return float("nan")


MEASURES = (
    Measure("mcd", "dB", "lower", "librosa", mel_cepstral_distortion),
    Measure("pesq", "1 to 4.64", "higher", "pesq", pesq),
    Measure("estoi", "to 1", "higher", "pystoi", estoi),
    Measure("dnsmos", "1 to 5", "higher", "speechmos", dnsmos),
    Measure("f0_correlation", "to 1", "higher", "librosa", pitch_correlation),
    Measure("voicing_error", "share", "lower", "librosa", voicing_error),
    Measure("level", "dB", "", "librosa", level_difference),
    Measure("loudness_correlation", "to 1", "higher", "librosa", loudness_correlation),
    Measure("phone_error", "share", "lower", "pocketsphinx", phone_error),
)


def mel_cepstra(wave: Wave) -> NDArray[np.float64]:
    """Cosine transform of the log power in mel bands, c_1 to c_CEPSTRA: (time,) -> (frames, CEPSTRA).

    log P = c_0 + 2 sum c_k cos(pi k m), m in 0..1 the place on the mel scale.
    """
    mel = librosa.feature.melspectrogram(y=wave, sr=RATE, n_fft=512, hop_length=STEP, n_mels=80, power=1.0, norm=None)
    power = 2 * np.log(np.maximum(mel / 256, QUIET))
    return np.asarray(dct(power, axis=0)).T[:, 1 : CEPSTRA + 1] / (2 * len(power))


def pyin_f0(wave: Wave) -> NDArray[np.float64]:
    """F0 of each STEP by probabilistic YIN, 0 where unvoiced: (time // STEP + 1,).

    In noise without a trough the tracker takes the edge of its search for a pitch: what lies there is unvoiced too.
    """
    lowest, highest = F0_RANGE
    hertz, voiced, _ = librosa.pyin(wave, fmin=lowest, fmax=highest, sr=RATE, frame_length=1024, hop_length=STEP)
    return np.where(voiced & (hertz > lowest * HALF_A_SEMITONE) & (hertz < highest / HALF_A_SEMITONE), hertz, 0.0)


def recognise_phones(wave: Wave) -> list[str]:
    """Phone recognition by pocketsphinx, with a phone bigram and no words."""
    from pocketsphinx import Decoder, get_model_path

    decoder = Decoder(  # a new one each time: it adapts to what it has heard
        samprate=RATE, loglevel="FATAL", allphone=get_model_path("en-us/en-us-phone.lm.bin"), lm=None, dict=None,
        lw=2.0, beam=1e-20, pbeam=1e-20, cmn="batch",
    )  # fmt: skip
    decoder.start_utt()
    decoder.process_raw((np.clip(wave, -1, 1) * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    return [segment.word for segment in decoder.seg() if segment.word.isalpha() and segment.word != "SIL"]


def speaker_embedding(wave: Wave) -> NDArray[np.float32]:
    """Speaker embedding (d-vector) by Resemblyzer, (256,), unit norm.

    Source: Wan et al., Generalized End-to-End Loss for Speaker Verification (2018).
    """
    import resemblyzer

    return _speaker_encoder().embed_utterance(resemblyzer.preprocess_wav(wave, source_sr=RATE))


@cache
def _speaker_encoder() -> Any:
    import resemblyzer

    return resemblyzer.VoiceEncoder("cpu", verbose=False)
