"""Command line: each command is its arguments and one call; heavy imports are inside the commands."""

import _thread
import gc
import io
import json
import os
import signal
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from vqspeech import __version__
from vqspeech.cli.codes import codes
from vqspeech.cli.data import data
from vqspeech.cli.live import live_app
from vqspeech.cli.measure import measures
from vqspeech.cli.models import models
from vqspeech.cli.options import (
    Device,
    Engine,
    Faults,
    Force,
    ModelName,
    Out,
    Precision,
    Seed,
    Temperature,
    Threads,
    TopP,
    Vocoder,
    folder_of,
    make_folder,
    targets_of,
    tell,
)
from vqspeech.cli.progress import bar
from vqspeech.errors import InputError
from vqspeech.models.hub import DEFAULT
from vqspeech.system.refusals import refusal

STOPPED = 130
"""Exit code after a signal that asks to end."""
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(codes)
app.add_typer(live_app)
app.add_typer(measures)
app.add_typer(models)
app.add_typer(data, name="data")


def main() -> None:
    """Run a command; an error that a user can fix is one line on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name is bytes, and is shown as well as may be
    warnings.filterwarnings("ignore", module=r"(?!vqspeech)")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a request to end is one, whoever makes it
    sys.unraisablehook = _asked_again
    gc.set_threshold(100_000)  # imports make objects that stay: looking for dead ones among them takes 0.2 s
    code = _run()
    if code:
        gc.collect()  # what an error held is let go, or nanobind tells of each such object
    gc.freeze()  # nor are they looked through at the end: 0.4 s
    sys.exit(code)


def _run() -> Any:
    """Run the command; returns its exit code."""
    try:
        return app()
    except (KeyboardInterrupt, SystemExit) as ended:
        if isinstance(ended, SystemExit) and ended.code != STOPPED:  # which is what typer makes of the other
            return ended.code
        message = "interrupted; what was finished is kept, nothing is half written; run the same command again"
        return _fail(message, STOPPED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # where what is still to be written goes
        return 0
    except Exception as error:
        if (line := refusal(error)) is None:
            raise
        return _fail(line)


def _asked_again(lost: Any) -> None:
    """Repeat a signal that arrived where nothing can be raised, as in a callback of a library."""
    if not isinstance(lost.exc_value, KeyboardInterrupt):
        return sys.__unraisablehook__(lost)
    return threading.Thread(target=_interrupt_when_possible, daemon=True).start()


def _interrupt_when_possible() -> None:
    """Interrupt the main thread once it has left `_asked_again`, where an exception would be lost again."""
    inside = True
    while inside:
        time.sleep(0.01)
        frame, inside = sys._current_frames().get(threading.main_thread().ident or 0), False
        while frame and not inside:
            frame, inside = frame.f_back, frame.f_code is _asked_again.__code__
    _thread.interrupt_main(signal.SIGTERM)  # SIGINT may be ignored, as in a background job


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _about(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Speech as discrete codes: convert voices, encode and decode, train and measure models."""


@app.command()
def convert(
    sources: Annotated[list[Path], typer.Argument(help="Recordings: WAV, FLAC, Ogg, Opus, MP3.", metavar="IN...")],
    speaker: Annotated[str, typer.Option(help="Target speaker, one of `vqspeech speakers`.")],
    model: ModelName = DEFAULT,
    out: Out = None,
    out_dir: Annotated[Path | None, typer.Option(help="Folder for IN.SPEAKER.wav; created if missing.")] = None,
    force: Force = False,
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    level: Annotated[
        str, typer.Option(help="Output level: voice (the speaker's), source, or raw (as decoded).")
    ] = "voice",
    vocoder: Vocoder = None,
    engine: Engine = None,
    device: Device = "cpu",
    precision: Precision = None,
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of the results.")] = False,
) -> None:
    """Convert recordings to another voice: in.wav becomes in.p225.wav."""
    from vqspeech.inference import conversion
    from vqspeech.inference.sampling_config import SamplingConfig
    from vqspeech.inference.speech_codec import SpeechCodec

    if as_json and out == "-":
        raise InputError("-o - and --json both want stdout; write the recording to a file")
    paths, faults, done = targets_of(sources, out, out_dir, f".{speaker}.wav", force), Faults(), []
    loaded = SpeechCodec(model, vocoder, device, precision, threads, engine)
    loaded.speaker_index(speaker)
    make_folder(folder_of(out, out_dir))
    name = sources[0].name if len(sources) == 1 else f"{len(sources)} recordings"
    pairs = list(zip(sources, paths, strict=True))
    sampling = SamplingConfig(temperature, top_p, seed)
    with bar(f"{name} -> {speaker}", sum(map(_seconds, sources)), "s") as update:
        for converted in conversion.convert_all(loaded, pairs, speaker, sampling, level, update, faults):
            done.append(converted)
            if not as_json:
                tell(converted.path)
    if as_json:
        rows = [
            {
                "source": str(converted.source), "path": str(converted.path), "speaker": converted.speaker,
                "duration_s": converted.duration_s, "codes": len(converted.codes),
            }
            for converted in done
        ]  # fmt: skip
        typer.echo(json.dumps(rows))
    faults.end()


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="Config file, such as egs/vctk/conf/vctk64.yaml.", metavar="CONFIG")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Overrides of config keys, such as training.batch_size=8.", metavar="KEY=VALUE"),
    ] = None,
    data: Annotated[
        list[str],
        typer.Option("--data", help="Data directory, packed (or its URL) or tokenized; repeatable."),
    ] = [],  # noqa: B006
    held_out: Annotated[list[str], typer.Option("--held-out", help="Data directory to evaluate on; repeatable.")] = [],  # noqa: B006
    out: Annotated[Path, typer.Option("-o", "--out", help="Run directory; a run that is in it resumes.")] = Path(
        "exp/vqvae"
    ),
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of steps. [default: the config's]")
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(help="Maximum training time in minutes, resumed parts included. [default: the config's]"),
    ] = None,
) -> None:
    """Train a VQ-VAE, a vocoder or a prior; for several processes use `accelerate launch -m vqspeech train`."""
    from vqspeech import config as configs
    from vqspeech.data import outputs
    from vqspeech.training import tasks, vocoder_tasks

    if not data or not held_out:
        raise InputError("nothing to train on; give --data data/train --held-out data/dev")
    outputs.check([*data, *held_out], force=True, folders=[out])
    limits = {"max_steps": max_steps, "max_minutes": max_minutes}
    settings = configs.load(
        config, [*(overrides or []), *(f"training.{name}={value}" for name, value in limits.items() if value)]
    )
    with bar("training", 1.0, "") as update:
        report = lambda now: update(now.fraction, _progress_line(now))  # noqa: E731
        if isinstance(settings, configs.PriorConfig):
            known, new = ([Path(one) for one in several] for several in (data, held_out))
            numbers = tasks.train_prior(settings, known, new, out, report)
        else:
            vocoder = isinstance(settings, configs.VocoderConfig)
            train: Any = vocoder_tasks.train_vocoder if vocoder else tasks.train_vqvae
            packed = [[f"{one.rstrip('/')}/packed" for one in several] for several in (data, held_out)]
            numbers = train(settings, packed[0], packed[1], out, report)
    typer.echo(f"{out}: " + ", ".join(f"{name} {value:.4g}" for name, value in numbers.items()))


def _seconds(source: Path) -> float:
    """Duration of a recording; 0 of one that cannot be read, which fails when its turn comes."""
    from vqspeech import audio

    try:
        return audio.info(source)[1]
    except InputError:
        return 0.0


def _progress_line(now) -> str:
    """State of a training in one line."""
    names = {"bits_per_sample": "bits", "held_out_bits_per_sample": "held out", "epoch_code_perplexity": "perplexity"}
    names |= {"bits_per_code": "bits a code", "held_out_bits_per_code": "held out"}
    return f"step {now.step} " + " ".join(
        f"{short} {now.numbers[n]:.3g}" for n, short in names.items() if n in now.numbers
    )


def _fail(line: str, code: int = 2) -> int:
    typer.echo(f"vqspeech: {' '.join(line.split())}", err=True)
    return code
