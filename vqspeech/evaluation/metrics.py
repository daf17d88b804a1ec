"""Loudness, spectral flatness, bits of simple coders, and bootstrap intervals."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from vqspeech.shapes import Codes, Wave
from vqspeech.system.jit import load_librosa

FRAME_S = 0.025
FLOOR_DB = -60.0
"""Quieter than this, in dB below full scale, is silence."""


def loudness_db(wave: Wave, sample_rate: int) -> NDArray[np.float32]:
    """Level of each FRAME_S of a wave in dB relative to full scale, at least FLOOR_DB: (time,) -> (frames,)."""
    size = round(FRAME_S * sample_rate)
    frames = wave[: len(wave) // size * size].reshape(-1, size)
    power = np.square(frames, dtype=np.float64).mean(axis=1)
    return np.maximum(10 * np.log10(power + 1e-12), FLOOR_DB).astype(np.float32)


def contour_correlation(reference: Wave, wave: Wave, sample_rate: int) -> float:
    """Loudness correlation of two waves of one length: Pearson's r of their levels in dB.

    0 where one of them has no contour, such as steady noise or silence.

    >>> wave = np.sin(np.arange(16000.0)) * np.linspace(0.01, 1, 16000)
    >>> round(contour_correlation(wave, wave / 2, 16000), 2)
    1.0
    """
    contours = [loudness_db(signal, sample_rate) for signal in (reference, wave)]
    size = min(map(len, contours))
    first, second = (contour[:size] - contour[:size].mean() for contour in contours)
    scale = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / scale if scale > 1e-6 else 0.0


def flatness(wave: Wave) -> float:
    """Spectral flatness, the geometric over the arithmetic mean of the power spectrum, averaged over the loud half.

    White noise has about 0.56 (a periodogram's own scatter), speech some hundredths or less.
    """
    librosa = load_librosa()

    power = np.abs(librosa.stft(np.asarray(wave, np.float32), n_fft=512, hop_length=128)) ** 2
    power_of_frame = power.sum(axis=0)
    frames = power[:, power_of_frame >= np.median(power_of_frame)] + 1e-12
    return float((np.exp(np.log(frames).mean(axis=0)) / frames.mean(axis=0)).mean())


def mfcc(wave: Wave, frames: int, hop: int, sample_rate: int) -> NDArray[np.float32]:
    """13 MFCC and their deltas, of mean 0 and variance 1 over the utterance: averaged over each frame, (frames, 26)."""
    librosa = load_librosa()
    from scipy.ndimage import uniform_filter1d

    step = sample_rate // 100
    padded, window = np.pad(wave, (0, 9 * step)), sample_rate // 40
    cepstra = librosa.feature.mfcc(y=padded, sr=sample_rate, n_mfcc=13, n_fft=512, win_length=window, hop_length=step)
    features = np.concatenate([cepstra, librosa.feature.delta(cepstra)])
    features = (features - features.mean(1, keepdims=True)) / (features.std(1, keepdims=True) + 1e-6)
    smooth = uniform_filter1d(features, max(1, round(hop / step)), axis=1)
    middles = (np.arange(frames) + 0.5) * hop / step
    places = np.arange(features.shape[1])
    return np.stack([np.interp(middles, places, row) for row in smooth], axis=1).astype(np.float32)


def unigram_bits(train: Iterable[Codes], test: Iterable[Codes], alphabet: int) -> float:
    """Bits per code of `test` under the add-one unigram model of `train`.

    >>> round(unigram_bits([np.array([0, 0, 1])], [np.array([0, 1])], 2), 3)
    1.029
    """
    counts = np.bincount(np.concatenate([np.zeros(0, np.int64), *train]), minlength=alphabet) + 1.0
    return float(-np.log2(counts / counts.sum())[np.concatenate([*test])].mean())


def order_1_bits(train: Iterable[Codes], test: Iterable[Codes], alphabet: int) -> float:
    """Bits per code of `test` under an adaptive first-order model that has seen `train`.

    p(c | b) = (n(b, c) + 16 p(c)) / (n(b) + 16), with p(c) counted in the same way; no code precedes the first.
    """
    pairs, single = np.zeros((alphabet + 1, alphabet)), np.ones(alphabet)
    for sequence in train:
        np.add.at(pairs, (np.concatenate([[alphabet], sequence[:-1]]), sequence), 1)
        np.add.at(single, sequence, 1)
    contexts, total, bits, n_codes = pairs.sum(1), single.sum(), 0.0, 0
    for sequence in test:
        previous = alphabet
        for code in sequence.tolist():
            share = (pairs[previous, code] + 16 * single[code] / total) / (contexts[previous] + 16)
            bits -= np.log2(share)
            pairs[previous, code] += 1
            contexts[previous] += 1
            single[code] += 1
            total, previous, n_codes = total + 1, code, n_codes + 1
    return float(bits / max(1, n_codes))


def simple_bits(train: Sequence[Codes], test: Sequence[Codes], alphabet: int) -> dict[str, float]:
    """Bits per code of the baselines (uniform, unigram, order 1), of all codebooks and of each."""
    coders = {"unigram": unigram_bits, "order_1": order_1_bits}
    results = {"uniform_bits_per_code": float(np.log2(alphabet))}
    for name, bits in coders.items():
        values = [
            bits([codes[:, book] for codes in train], [codes[:, book] for codes in test], alphabet)
            for book in range(train[0].shape[1])
        ]
        results |= by_codebook(f"{name}_bits_per_code", values)
    return results


def by_codebook(name: str, values: list[float]) -> dict[str, float]:
    """A number as the mean over the codebooks and, of several, that of each: NAME, NAME_1, NAME_2..."""
    several = {f"{name}_{number}": value for number, value in enumerate(values, 1)} if len(values) > 1 else {}
    return {name: sum(values) / len(values)} | several


def bootstrap_interval(values: NDArray, weights: NDArray, seed: int = 0, draws: int = 1000) -> tuple[float, float]:
    """The 95 % bootstrap interval of a weighted mean: percentiles over resampled items, (items,) each.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    drawn = np.random.default_rng(seed).integers(0, len(values), (draws, len(values)))
    means = (values * weights)[drawn].sum(axis=1) / np.maximum(weights[drawn].sum(axis=1), 1e-9)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
