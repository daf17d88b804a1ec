#!/usr/bin/env python
"""Conversions beside their source: a table, and with --figure a picture of their spectrograms.

A conversion should be as long as its source (the same seconds), rise and fall with it (contour near 1; that of
noise and of silence is 0) and have the spectrum of a voice (flatness like the source's; that of noise is 0.56).
"""

from pathlib import Path
from typing import Annotated

import typer

from vqspeech import InputError, audio
from vqspeech.evaluation import figures, metrics

SAMPLE_RATE = 16000


def main(
    source: Annotated[Path, typer.Argument(metavar="SOURCE")],
    converted: Annotated[list[Path], typer.Argument(metavar="CONVERTED...")],
    figure: Annotated[Path | None, typer.Option(help="A PNG to write.")] = None,
) -> None:
    """Compare conversions with their source."""
    waves = {path.name: audio.read(path, SAMPLE_RATE) for path in (source, *converted)}
    first = waves[source.name]
    typer.echo(f"{'recording':44s} seconds contour flatness")
    for name, wave in waves.items():
        contour = metrics.contour_correlation(first, wave, SAMPLE_RATE)
        typer.echo(f"{name:44s} {len(wave) / SAMPLE_RATE:7.3f} {contour:7.2f} {metrics.flatness(wave):8.3f}")
    if figure:
        figure.parent.mkdir(parents=True, exist_ok=True)
        figures.spectrograms(waves, SAMPLE_RATE).savefig(figure)


if __name__ == "__main__":
    try:
        typer.run(main)
    except InputError as error:
        typer.echo(f"compare.py: {error}", err=True)
        raise SystemExit(2) from None
