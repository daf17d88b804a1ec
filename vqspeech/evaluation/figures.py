"""Figures from arrays."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vqspeech.errors import InputError
from vqspeech.system.jit import load_librosa

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MELS = 80
TOP_DB, RANGE_DB = 30.0, 70.0  # of the colours; 0 dB is a power of 1 in a mel band


def curves(lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], unit: str) -> "Figure":
    """Numbers over the steps of a training: (steps, values) by name; the scattered ones are smoothed."""
    figure = _figure(7, 3)
    axes = figure.subplots()
    for number, (name, (steps, values)) in enumerate(lines.items()):
        if len(values) > 60:
            axes.plot(steps, values, color=f"C{number}", alpha=0.2, linewidth=0.8)
            width = len(values) // 30
            values = np.convolve(np.pad(values, width // 2, "edge"), np.ones(width) / width, "valid")[: len(steps)]
        axes.plot(steps, values, color=f"C{number}", label=name, marker="o" if len(values) < 3 else None)
    axes.set(xlabel="steps", ylabel=unit)
    axes.legend(frameon=False)
    return figure


def code_histogram(counts: NDArray[np.integer], unit: str = "% of frames") -> "Figure":
    """Histogram of code frequencies, sorted, beside the uniform one."""
    figure = _figure(7, 2.6)
    axes = figure.subplots()
    shares = np.sort(counts)[::-1] / max(1, counts.sum())
    axes.bar(np.arange(len(shares)), 100 * shares, width=1.0)
    axes.axhline(100 / len(shares), color="black", linewidth=0.8, linestyle="--", label="all alike")
    axes.set(xlabel="codes, the commonest first", ylabel=unit, xlim=(-0.5, len(shares) - 0.5))
    axes.legend(frameon=False)
    return figure


def phones_of_codes(counts: NDArray[np.integer], names: Sequence[str]) -> "Figure":
    """Phones of each code: (codes, phones) counts, codes sorted by their most frequent phone."""
    used = counts[counts.sum(axis=1) > 0]
    order = np.lexsort((-used.max(axis=1) / used.sum(axis=1), used.argmax(axis=1)))
    return _map((used / used.sum(axis=1, keepdims=True))[order].T, names, "codes, by their commonest phone", None)


def confusion(counts: NDArray[np.integer], names: Sequence[str]) -> "Figure":
    """Confusion matrix of phones: (true, predicted) counts."""
    mask = counts.sum(axis=1) > 0
    occurring = [name for name, occurs in zip(names, mask, strict=True) if occurs]
    table = counts[mask][:, mask] / counts[mask].sum(axis=1, keepdims=True)
    return _map(table, occurring, "understood", occurring)


def codebook(places: NDArray[np.floating], groups: Sequence[str], names: Sequence[str]) -> "Figure":
    """Codes as points, (codes, 2), coloured by a group each, with a name each."""
    figure = _figure(7, 5.2)
    axes = figure.subplots()
    for number, group in enumerate(sorted(set(groups))):
        members = [at for at, label in enumerate(groups) if label == group]
        axes.scatter(*places[members].T, s=60, color=f"C{number}", label=group, alpha=0.35, linewidths=0)
    for point, name in zip(places, names, strict=True):
        axes.annotate(name, point, fontsize=6, ha="center", va="center")
    axes.set(xticks=[], yticks=[])
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def spectrograms(waves: Mapping[str, NDArray[np.float32]], sample_rate: int) -> "Figure":
    """Mel spectrograms of several waves under one another, on one time axis and one scale of RANGE_DB.

    Args:
        waves: (time,) each, by the title that stands above it.
    """
    figure = _figure(9, 2.1 * len(waves) + 0.4)
    axes = figure.subplots(len(waves), 1, sharex=True, squeeze=False)[:, 0]
    _spectrograms_(list(axes), waves, sample_rate)
    axes[-1].set_xlabel("time in s")
    figure.colorbar(axes[0].images[0], ax=list(axes), label="dB", fraction=0.03)
    return figure


def conversion(
    waves: Mapping[str, NDArray[np.float32]], colours: NDArray[np.floating], sample_rate: int, hop: int
) -> "Figure":
    """Mel spectrograms, and under them the codes as a strip of colours, all on one time axis.

    Args:
        waves: (time,) each, by the title that stands above it.
        colours: (codebooks, frames) from 0 to 1, one a code; the first codebook is on top.
        hop: samples per code.
    """
    figure = _figure(9, 2.1 * len(waves) + 1.0)
    axes = figure.subplots(len(waves) + 1, 1, sharex=True, height_ratios=[4] * len(waves) + [1])
    _spectrograms_(list(axes[:-1]), waves, sample_rate)
    extent = (0, colours.shape[1] * hop / sample_rate, 0, 1)
    axes[-1].imshow(colours, aspect="auto", extent=extent, cmap="turbo", vmin=0, vmax=1, interpolation="nearest")
    axes[-1].set_title(f"{colours.size} codes; similar ones have similar colours", loc="left", fontsize=10)
    axes[-1].set(yticks=[], xlabel="time in s")
    return figure


def _spectrograms_(axes: Sequence[Any], waves: Mapping[str, NDArray[np.float32]], sample_rate: int) -> None:
    librosa = load_librosa()

    for ax, (title, wave) in zip(axes, waves.items(), strict=True):
        mel = librosa.feature.melspectrogram(y=wave, sr=sample_rate, n_fft=1024, hop_length=128, n_mels=MELS)
        level = librosa.power_to_db(mel, ref=1.0)
        extent = (0, len(wave) / sample_rate, 0, MELS)
        colours = {"cmap": "magma", "vmin": TOP_DB - RANGE_DB, "vmax": TOP_DB}
        ax.imshow(level, origin="lower", aspect="auto", extent=extent, **colours)
        ax.set_title(title, loc="left", fontsize=10)
        hertz = np.array([250, 1000, 2000, 4000])
        mels = librosa.hz_to_mel(hertz) / librosa.hz_to_mel(sample_rate / 2) * MELS
        ax.set_yticks(mels, [f"{hz / 1000:g}" for hz in hertz])
        ax.set_ylabel("kHz")


def _map(shares: NDArray[np.floating], names: Sequence[str], across: str, columns: Sequence[str] | None) -> "Figure":
    figure = _figure(7, 6.4)
    axes = figure.subplots()
    image = axes.imshow(100 * shares, aspect="auto", cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
    axes.set_yticks(np.arange(len(names)), names, fontsize=7)
    axes.set_xlabel(across)
    if columns:
        axes.set_xticks(np.arange(len(columns)), columns, fontsize=7, rotation=90)
    figure.colorbar(image, ax=axes, label="%", fraction=0.04)
    return figure


def _figure(width: float, height: float) -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("pictures need matplotlib; pip install 'vqspeech[recipe]'") from None
    return Figure(figsize=(width, height), layout="constrained", dpi=110)
