"""Options that several commands share, and where their results go."""

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from vqspeech.data import outputs
from vqspeech.errors import InputError
from vqspeech.system.files import STDOUT

ModelName = Annotated[
    str, typer.Option("--model", help="One that ships, a run directory, or hf:owner/name.", metavar="MODEL")
]
Temperature = Annotated[
    float,
    typer.Option(help="Of the WaveNet's distribution: 1 samples it as it is, less is smoother, 0 takes the likeliest."),
]
TopP = Annotated[float, typer.Option(help="Nucleus sampling: share of the probability that is sampled from.")]
Seed = Annotated[int, typer.Option(min=0, help="Random seed.")]
Vocoder = Annotated[
    str | None, typer.Option(help="source-filter (fast) or wavenet. [default: source-filter, if the model has it]")
]
Engine = Annotated[str | None, typer.Option(help="Of the WaveNet: numba (CPU) or torch (any device).")]
Device = Annotated[str, typer.Option(help="Torch device, such as cpu or cuda.")]
Precision = Annotated[
    str | None, typer.Option(help="Weights of the numba engine: bfloat16, float32 or int8. [default: bfloat16]")
]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads of the numba engine. [default: one a core]")]
Out = Annotated[
    str | None, typer.Option("-o", "--out", help="Where to write; - is stdout, a final slash a folder.", metavar="PATH")
]
Force = Annotated[bool, typer.Option("--force", help="Replace existing files, whoever made them.")]
PriorName = Annotated[
    str, typer.Option("--prior", help="A prior's run directory; by default the model's own.", metavar="PRIOR")
]

Split = Annotated[
    str, typer.Option("--split", help="Only the i-th of n parts of the work, an array job.", metavar="I/N")
]


def part_of(split: str) -> tuple[int, int]:
    """What --split says."""
    number, _, parts = (split or "1/1").partition("/")
    if not (number.isdecimal() and parts.isdecimal()):
        raise InputError(f"--split {split} is no part; write it as 3/8")
    return int(number), int(parts)


def results_of(model: str) -> Path:
    """Where results of a model go: its run directory, or, where it is none of the user's own, exp/NAME."""
    return Path(model) if Path(model).is_dir() else Path("exp") / re.sub(r"[^\w.-]+", "-", model.removeprefix("hf:"))


def targets_of(sources: list[Path], out: str | None, out_dir: Path | None, suffix: str, force: bool) -> list[Path]:
    """Where each result goes: `out`, or beside its source or in a folder, with another suffix; see `outputs.check`."""
    if not out_dir and (out_dir := folder_of(out)):
        out = None
    if out and (out_dir or len(sources) > 1):
        raise InputError("-o names one file; for several recordings or a folder use --out-dir")
    if STDOUT in sources and not out:
        raise InputError("what comes from stdin has no name; say with -o where it shall go")
    found = [Path(out) if out else (out_dir or source.parent) / (source.stem + suffix) for source in sources]
    outputs.check(sources, found, force, each=True)
    return found


def folder_of(out: str | None, out_dir: Path | None = None) -> Path | None:
    """The folder that -o or --out-dir names, if one of them does."""
    return out_dir or (Path(str(out)) if outputs.is_folder(out) else None)


def make_folder(out_dir: Path | None) -> None:
    """Makes a folder for results, if one was given."""
    try:
        if out_dir:
            out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out_dir}: cannot be made ({error.strerror}); choose another --out-dir") from None


def tell(target: Path) -> None:
    """Prints where a result went: the bytes of its name, which need not be text."""
    if target != STDOUT:
        typer.echo(os.fsencode(target))


class Faults:
    """Tells what failed, of many, on stderr as it comes; the others go on, and the exit code is 2 at the end."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, fault: InputError) -> None:
        """Tells one."""
        self.number += 1
        typer.echo(f"vqspeech: {' '.join(str(fault).split())}", err=True)

    def end(self) -> None:
        """Ends the command, when all else is done."""
        if self.number:
            raise typer.Exit(2)
