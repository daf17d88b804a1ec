"""Figures from arrays; none of them reads or writes a file."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vqspeech.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MELS = 80
TOP_DB, RANGE_DB = 30.0, 70.0  # of the colours; 0 dB is a power of 1 in a mel band


def spectrograms(waves: Mapping[str, NDArray[np.float32]], sample_rate: int) -> "Figure":
    """Mel spectrograms of several waves under one another, on one time axis and one scale of RANGE_DB.

    Args:
        waves: (time,) each, by the title that stands above it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("pictures need matplotlib; pip install 'vqspeech[recipe]'") from None
    import librosa

    figure = Figure(figsize=(9, 2.1 * len(waves) + 0.4), layout="constrained", dpi=110)
    axes = figure.subplots(len(waves), 1, sharex=True, squeeze=False)[:, 0]
    for place, (title, wave) in zip(axes, waves.items(), strict=True):
        mel = librosa.feature.melspectrogram(y=wave, sr=sample_rate, n_fft=1024, hop_length=128, n_mels=MELS)
        level = librosa.power_to_db(mel, ref=1.0)
        extent = (0, len(wave) / sample_rate, 0, MELS)
        limits = {"vmin": TOP_DB - RANGE_DB, "vmax": TOP_DB}
        place.imshow(level, origin="lower", aspect="auto", extent=extent, cmap="magma", **limits)
        place.set_title(title, loc="left", fontsize=10)
        hertz = np.array([250, 1000, 2000, 4000])
        mels = librosa.hz_to_mel(hertz) / librosa.hz_to_mel(sample_rate / 2) * MELS
        place.set_yticks(mels, [f"{one / 1000:g}" for one in hertz])
        place.set_ylabel("kHz")
    axes[-1].set_xlabel("time in s")
    figure.colorbar(axes[0].images[0], ax=list(axes), label="dB", fraction=0.03)
    return figure
