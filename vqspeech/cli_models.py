"""The command line of models: their voices, new ones, and sharing; heavy imports inside the command."""

import json
import math
from pathlib import Path
from typing import Annotated

import typer

from vqspeech.cli_options import ModelName, Seed
from vqspeech.errors import InputError
from vqspeech.hub import DEFAULT
from vqspeech.progress import bar

models = typer.Typer()


@models.command()
def speakers(
    model: ModelName = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="With what is known of each.")] = False,
) -> None:
    """List the voices of a model, one a line."""
    from vqspeech import checkpoint, hub, voices

    run = checkpoint.load(model)
    if as_json:
        known = [run.voices.get(name, voices.Voice(name))._asdict() for name in run.speakers]
        plain = [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in one.items()} for one in known]
        typer.echo(json.dumps(plain, ensure_ascii=False))
    else:
        typer.echo("\n".join(run.speakers))
    room = hub.room(run.folder or Path(), run.digest)
    for file in voices.enrolled(room, run.digest, run.model.speaker.embedding_dim)[1]:
        typer.echo(f"vqspeech: {room / voices.FOLDER / file}: is no voice of this model; enrol it again", err=True)


@models.command()
def enrol(
    recordings: Annotated[list[Path], typer.Argument(help="10 to 60 s of speech of one person.", metavar="IN...")] = [],  # noqa: B006
    name: Annotated[str, typer.Option(help="What the voice shall be called.")] = "",
    model: ModelName = DEFAULT,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the voice again.")] = False,
    max_steps: Annotated[int, typer.Option(min=1, help="It ends earlier when nothing is gained.")] = 200,
    seed: Seed = 0,
) -> None:
    """Add a voice from some seconds of speech: one vector is fitted, and all verbs know its name."""
    from vqspeech import enrol
    from vqspeech.synthesis import Model

    if not name:
        raise InputError("a voice needs a name; say --name alice")
    if remove == bool(recordings):
        raise InputError("give recordings to enrol a voice, or --remove without any")
    awake = Model(model)
    if remove:
        enrol.remove(awake, name)
        typer.echo(f"removed {name}")
        return
    warn = lambda line: typer.echo(f"vqspeech: warning: {line}", err=True)  # noqa: E731
    with bar(f"voice {name}", 1.0, "") as update:
        path = enrol.enrol(awake, name, recordings, max_steps, seed, update, warn)
    typer.echo(path)


@models.command()
def export(
    model: Annotated[str, typer.Argument(help="A run directory, of a model or a prior.", metavar="MODEL")],
    out: Annotated[Path, typer.Option("-o", "--out", help="A new folder.")],
    speaker: Annotated[list[str], typer.Option(help="A voice to keep; may be given again.")] = [],  # noqa: B006
    at_least_s: Annotated[float, typer.Option(min=0, help="Leave out voices trained on less speech.")] = 0.0,
    bfloat16: Annotated[bool, typer.Option("--bfloat16", help="Half the bytes.")] = False,
) -> None:
    """Write a model as a folder to share: upload it, and others say --model hf:owner/name."""
    from vqspeech import export

    digest = export.export(model, out, speaker, at_least_s, bfloat16)
    typer.echo(f"{out}: {digest}")
