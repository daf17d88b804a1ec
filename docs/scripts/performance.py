#!/usr/bin/env python
"""Draws docs/performance.png: how the cost of a sample grows with width, layers and streams, on this machine."""

from pathlib import Path

from matplotlib.figure import Figure

from vqspeech.evaluation import bench
from vqspeech.nn.wavenet import WaveNet

SAMPLE_RATE, SECONDS = 16000, 0.5


def microseconds(wavenet: WaveNet, streams: int, precision: str = "bfloat16") -> float:
    """The time of one sample of one stream."""
    with bench.pinned(1):
        return 1e6 / bench.rate(wavenet, "numba", precision, streams, 1, SECONDS)


def main() -> None:
    """Measures and draws."""
    figure = Figure(figsize=(10, 3.2), layout="constrained", dpi=110)
    width, depth, together = figure.subplots(1, 3)
    widths, layers, streams = (16, 32, 48, 64, 96, 128), (5, 10, 20, 30, 40), (1, 2, 4, 8, 16, 32, 64)
    for number, mark in ((1, "o-"), (16, "s-")):
        told = f"{number} stream" + "s" * (number > 1)
        width.plot(widths, [microseconds(bench.decoder(r, 4 * r, 30), number) for r in widths], mark, label=told)
        depth.plot(layers, [microseconds(bench.decoder(64, 256, n), number) for n in layers], mark, label=told)
    for precision in ("bfloat16", "float32"):
        times = [microseconds(bench.decoder(), number, precision) for number in streams]
        together.plot(streams, times, "o-", label=precision)
    together.set_xscale("log", base=2)
    for axes, title in (
        (width, "residual channels (skip: 4 times)"),
        (depth, "layers (64/256)"),
        (together, "streams"),
    ):
        axes.set_xlabel(title)
        axes.set_ylim(bottom=0)
        axes.axhline(1e6 / SAMPLE_RATE, color="grey", lw=0.8, ls=":")
        axes.legend(fontsize=8)
    width.set_ylabel("us of one core for a sample\n(dotted: real time at 16 kHz)")
    figure.savefig(Path(__file__).parents[1] / "performance.png")


if __name__ == "__main__":
    main()
