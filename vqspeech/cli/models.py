"""Commands of models: speakers, enrol, export, demo."""

import json
import math
from pathlib import Path
from typing import Annotated

import typer

from vqspeech.cli.options import ModelName, Seed, tell
from vqspeech.cli.progress import bar
from vqspeech.errors import InputError
from vqspeech.models.hub import DEFAULT

models = typer.Typer()


@models.command()
def speakers(
    model: ModelName = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list with the metadata of each.")] = False,
) -> None:
    """List the speakers of a model, one per line."""
    from vqspeech.models import checkpoint, speaker_table

    run = checkpoint.load(model)
    if as_json:
        known = [run.voices.get(name, speaker_table.SpeakerInfo(name))._asdict() for name in run.speakers]
        plain = [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in one.items()} for one in known]
        typer.echo(json.dumps(plain, ensure_ascii=False))
    else:
        typer.echo("\n".join(run.speakers))
    user_data_dir = run.user_data_dir
    for file in speaker_table.enrolled(user_data_dir, run.digest, run.model.speaker_shapes)[1]:
        typer.echo(
            f"vqspeech: {user_data_dir / speaker_table.FOLDER / file}: is no voice of this model; enrol it again",
            err=True,
        )


@models.command()
def enrol(
    recordings: Annotated[list[Path], typer.Argument(help="10 to 60 s of speech of one person.", metavar="IN...")] = [],  # noqa: B006
    name: Annotated[str, typer.Option(help="Name of the new speaker.")] = "",
    model: ModelName = DEFAULT,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the speaker.")] = False,
    max_steps: Annotated[
        int, typer.Option(min=1, help="Maximum number of steps; it stops earlier when nothing improves.")
    ] = 100,
    seed: Seed = 0,
) -> None:
    """Add a speaker from 10 to 60 seconds of speech, for all other commands to use."""
    from vqspeech.inference import speaker_enrolment
    from vqspeech.inference.speech_codec import SpeechCodec

    if not name:
        raise InputError("a voice needs a name; say --name alice")
    if remove == bool(recordings):
        raise InputError("give recordings to enrol a voice, or --remove without any")
    loaded = SpeechCodec(model)
    if remove:
        speaker_enrolment.remove(loaded, name)
        typer.echo(f"removed {name}")
        return
    warn = lambda line: typer.echo(f"vqspeech: warning: {line}", err=True)  # noqa: E731
    with bar(f"voice {name}", 1.0, "") as update:
        path = speaker_enrolment.enrol(loaded, name, recordings, max_steps, seed, update, warn)
    tell(path)


@models.command()
def export(
    model: Annotated[str, typer.Argument(help="Run directory of a model, a prior or a vocoder.", metavar="MODEL")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The new folder.")],
    speaker: Annotated[
        list[str], typer.Option(help="Speaker to keep, or a pattern such as p22*; repeatable. [default: all]")
    ] = [],  # noqa: B006
    at_least_s: Annotated[
        float, typer.Option(min=0, help="Minimum training speech of a speaker to keep, in seconds.")
    ] = 0.0,
    bfloat16: Annotated[
        bool, typer.Option("--bfloat16", help="Store weights in bfloat16, which halves the file.")
    ] = False,
) -> None:
    """Export a model as a folder to share; once uploaded, others use it as --model hf:owner/name."""
    from vqspeech.data import outputs
    from vqspeech.models import exporting

    outputs.check([model], force=True, folders=[out])
    digest = exporting.export(model, out, speaker, at_least_s, bfloat16)
    typer.echo(f"{out}: {digest}")


@models.command()
def demo(
    model: Annotated[list[str], typer.Option(help="Model to serve; repeatable, the first is the default.")] = [DEFAULT],  # noqa: B006
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 admits other machines, then set --auth.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port. [default: the first free one from 7860]")
    ] = None,
    auth: Annotated[
        str, typer.Option(help="User and password that the page asks for. [default: none]", metavar="USER:PASSWORD")
    ] = "",
    seconds: Annotated[float, typer.Option(min=1, help="Maximum duration of a recording in seconds.")] = 60.0,
    megabytes: Annotated[float, typer.Option(min=0.1, help="Maximum size of an upload in megabytes.")] = 20.0,
    enrolment: Annotated[bool, typer.Option(help="Allow adding and removing speakers.")] = True,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve a web page: convert, enrol, encode and decode, sample, explore the codebook."""
    from vqspeech.demo import page
    from vqspeech.demo.service import DemoService
    from vqspeech.demo.uploads import Limits

    user, colon, password = auth.partition(":")
    if auth and not (user and colon and password):
        raise InputError("--auth wants USER:PASSWORD")
    limits = Limits(seconds, file_bytes=round(megabytes * 1e6))
    service = DemoService(model, limits, enrolment)
    try:
        page.serve(service, host, port, (user, password) if auth else None, open_browser)
    finally:
        service.upload_folder.close()
