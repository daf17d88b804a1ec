"""Options that several commands share, and output paths."""

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from vqspeech.data import outputs
from vqspeech.errors import InputError
from vqspeech.system.files import STDOUT

ModelName = Annotated[
    str, typer.Option("--model", help="Name of a model that ships, a run directory, or hf:owner/name.", metavar="MODEL")
]
Temperature = Annotated[
    float,
    typer.Option(help="Sampling temperature: 1 is the model's distribution, less is smoother, 0 takes the likeliest."),
]
TopP = Annotated[float, typer.Option(help="Nucleus sampling: share of the probability that is sampled from.")]
Seed = Annotated[int, typer.Option(min=0, help="Random seed.")]
Vocoder = Annotated[
    str | None,
    typer.Option(help="Vocoder: wavenet, or source-filter (fast). [default: wavenet, if the model has a trained one]"),
]
LiveVocoder = Annotated[
    str | None,
    typer.Option("--vocoder", help="Vocoder: source-filter, or wavenet. [default: source-filter, if the model has it]"),
]
Engine = Annotated[
    str | None,
    typer.Option(help="Engine of the WaveNet: numba (CPU) or torch (any device). [default: numba on the CPU]"),
]
Device = Annotated[str, typer.Option(help="Torch device, such as cpu or cuda.")]
Precision = Annotated[
    str | None, typer.Option(help="Precision of the numba engine's weights: bfloat16 or float32. [default: bfloat16]")
]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads of the numba engine. [default: one per core]")]
Out = Annotated[
    str | None,
    typer.Option("-o", "--out", help="Output path; - is stdout, a final slash means a folder.", metavar="PATH"),
]
Force = Annotated[bool, typer.Option("--force", help="Replace existing files.")]
PriorName = Annotated[
    str, typer.Option("--prior", help="Run directory of the prior. [default: the model's own]", metavar="PRIOR")
]

Shard = Annotated[
    str, typer.Option("--shard", help="Do only the i-th of n parts of the work, for array jobs.", metavar="I/N")
]


def part_of(shard: str) -> tuple[int, int]:
    """The numbers (i, n) of --shard I/N."""
    number, _, parts = (shard or "1/1").partition("/")
    if not (number.isdecimal() and parts.isdecimal()):
        raise InputError(f"--shard {shard} is not a part; write it as 3/8")
    return int(number), int(parts)


def results_of(model: str) -> Path:
    """Folder of a model's results: its run directory, or exp/NAME where the user does not own that."""
    return Path(model) if Path(model).is_dir() else Path("exp") / re.sub(r"[^\w.-]+", "-", model.removeprefix("hf:"))


def targets_of(sources: list[Path], out: str | None, out_dir: Path | None, suffix: str, force: bool) -> list[Path]:
    """Output paths: `out`, or beside each source or in a folder, with another suffix; see `outputs.check`."""
    if not out_dir and (out_dir := folder_of(out)):
        out = None
    if out and (out_dir or len(sources) > 1):
        raise InputError("-o names one file; for several recordings or a folder use --out-dir")
    if STDOUT in sources and not out:
        raise InputError("what comes from stdin has no name; say with -o where it shall go")
    paths = [Path(out) if out else (out_dir or source.parent) / (source.stem + suffix) for source in sources]
    outputs.check(sources, paths, force, each=True)
    return paths


def folder_of(out: str | None, out_dir: Path | None = None) -> Path | None:
    """The folder that -o or --out-dir names, if any."""
    return out_dir or (Path(str(out)) if outputs.is_folder(out) else None)


def make_folder(out_dir: Path | None) -> None:
    """Create the folder of results, if one was given."""
    try:
        if out_dir:
            out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out_dir}: cannot be made ({error.strerror}); choose another --out-dir") from None


def tell(target: Path) -> None:
    """Print the path of a result: the bytes of its name, which need not be text."""
    if target != STDOUT:
        typer.echo(os.fsencode(target))


class Faults:
    """Print each error of a batch on stderr; the others go on, and the exit code is 2 at the end."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, fault: InputError) -> None:
        """Print an error."""
        self.number += 1
        typer.echo(f"vqspeech: {' '.join(str(fault).split())}", err=True)

    def end(self) -> None:
        """Exit with code 2 if anything failed."""
        if self.number:
            raise typer.Exit(2)
