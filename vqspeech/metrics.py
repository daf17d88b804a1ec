"""Numbers from waves; none of them reads a file."""

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]
FRAME_S = 0.025
FLOOR_DB = -60.0
"""Quieter than this, in dB below full scale, is silence."""


def loudness_db(wave: Wave, sample_rate: int) -> NDArray[np.float32]:
    """The level of each FRAME_S of a wave, dB below full scale, not below FLOOR_DB: (time,) -> (frames,)."""
    size = round(FRAME_S * sample_rate)
    frames = wave[: len(wave) // size * size].reshape(-1, size)
    power = np.square(frames, dtype=np.float64).mean(axis=1)
    return np.maximum(10 * np.log10(power + 1e-12), FLOOR_DB).astype(np.float32)


def contour_correlation(one: Wave, other: Wave, sample_rate: int) -> float:
    """How alike two waves of one length rise and fall: Pearson's r of their loudness in dB, -1 to 1.

    0 where one of them has no contour, such as steady noise or silence.

    >>> wave = np.sin(np.arange(16000.0)) * np.linspace(0.01, 1, 16000)
    >>> round(contour_correlation(wave, wave / 2, 16000), 2)
    1.0
    """
    contours = [loudness_db(wave, sample_rate) for wave in (one, other)]
    size = min(map(len, contours))
    first, second = (contour[:size] - contour[:size].mean() for contour in contours)
    scale = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / scale if scale > 1e-6 else 0.0


def flatness(wave: Wave) -> float:
    """Spectral flatness, the geometric over the arithmetic mean of the power spectrum, averaged over the loud half.

    White noise has about 0.56 (a periodogram's own scatter), speech some hundredths or less.
    """
    import librosa

    power = np.abs(librosa.stft(np.asarray(wave, np.float32), n_fft=512, hop_length=128)) ** 2
    loud = power.sum(axis=0)
    frames = power[:, loud >= np.median(loud)] + 1e-12
    return float((np.exp(np.log(frames).mean(axis=0)) / frames.mean(axis=0)).mean())
