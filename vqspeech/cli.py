"""The command line: one command = its arguments + one call; heavy imports inside the command."""

import json
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from vqspeech import __version__
from vqspeech.cli_data import data
from vqspeech.errors import InputError
from vqspeech.progress import bar

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(data, name="data")

RunDirectory = Annotated[Path, typer.Option("--model", help="Run directory of a trained model.", metavar="RUN_DIR")]
Temperature = Annotated[float, typer.Option(help="1 as the model believes, less is smoother.")]
TopP = Annotated[float, typer.Option(help="Draw from the likeliest classes of this share.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the draws.")]
Engine = Annotated[str | None, typer.Option(help="numba (CPU) or torch (any device).")]
Device = Annotated[str, typer.Option(help="A torch device, such as cuda.")]
Precision = Annotated[str | None, typer.Option(help="Of the weights in the numba engine: bfloat16, float32 or int8.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Of the numba engine; one a core.")]


def main() -> None:
    """Runs a command; what a person can mend is one line on stderr and exit code 2."""
    warnings.filterwarnings("ignore", module=r"(?!vqspeech)")
    try:
        app()
    except InputError as error:
        sys.exit(_fail(str(error)))
    except KeyboardInterrupt:
        sys.exit(_fail("interrupted; nothing half written is left", 130))
    except BrokenPipeError:
        sys.exit(0)


@app.callback()
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Speech as discrete codes: train a codec, convert voices, measure what the codes know."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def convert(
    sources: Annotated[list[Path], typer.Argument(help="Recordings: WAV, FLAC, Ogg, Opus, MP3.", metavar="IN...")],
    speaker: Annotated[str, typer.Option(help="The voice, one of `vqspeech speakers`.")],
    model: RunDirectory = Path("exp/vqvae"),
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Where to write; for one recording.")] = None,
    out_dir: Annotated[Path | None, typer.Option(help="Folder for IN.SPEAKER.wav; made if missing.")] = None,
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    engine: Engine = None,
    device: Device = "cpu",
    precision: Precision = None,
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of what was done.")] = False,
) -> None:
    """Say recordings again in another voice: in.wav becomes in.p225.wav."""
    from vqspeech import audio, conversion
    from vqspeech.synthesis import Model

    targets = _targets(sources, out, out_dir, f".{speaker}.wav")
    lengths = [audio.info(source)[1] for source in sources]  # all of them can be opened, before the first is spoken
    awake = Model(model, engine, device, precision, threads)
    awake.speaker_index(speaker)
    _make(out_dir)
    name = sources[0].name if len(sources) == 1 else f"{len(sources)} recordings"
    pairs, done = list(zip(sources, targets, strict=True)), []
    with bar(f"{name} -> {speaker}", sum(lengths), "s") as update:
        for one in conversion.convert_all(awake, pairs, speaker, temperature, top_p, seed, update):
            done.append(one)
            if not as_json:
                typer.echo(one.path)
    if as_json:
        typer.echo(
            json.dumps(
                [{k: v if isinstance(v, int | float) else str(v) for k, v in one._asdict().items()} for one in done]
            )
        )


@app.command()
def encode(
    sources: Annotated[list[Path], typer.Argument(help="Recordings; - is a 16-bit WAV on stdin.", metavar="IN...")],
    model: RunDirectory = Path("exp/vqvae"),
    speaker: Annotated[str, typer.Option(help="Whose voice it is, if it is one of the model's.")] = "",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Where to write; - is stdout.")] = None,
    out_dir: Annotated[Path | None, typer.Option(help="Folder for IN.vqs; made if missing.")] = None,
) -> None:
    """Write recordings as codes: in.wav becomes in.vqs."""
    from vqspeech import codec
    from vqspeech.synthesis import Model

    targets = _targets(sources, out, out_dir, ".vqs")
    awake = Model(model)
    _make(out_dir)
    for source, target in zip(sources, targets, strict=True):
        codec.encode_file(awake, source, target, speaker)
        _tell(target)


@app.command()
def decode(
    sources: Annotated[list[Path], typer.Argument(help=".vqs files; - is stdin.", metavar="IN...")],
    model: RunDirectory = Path("exp/vqvae"),
    speaker: Annotated[str, typer.Option(help="Another voice than the file names.")] = "",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Where to write; - is a WAV on stdout.")] = None,
    out_dir: Annotated[Path | None, typer.Option(help="Folder for IN.wav; made if missing.")] = None,
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    engine: Engine = None,
    device: Device = "cpu",
    precision: Precision = None,
    threads: Threads = None,
    conceal: Annotated[bool, typer.Option("--conceal", help="Damaged chunks become silence, not an error.")] = False,
) -> None:
    """Speak codes again: in.vqs becomes in.wav, exactly as long as what was encoded."""
    from vqspeech import codec
    from vqspeech.synthesis import Model

    targets = _targets(sources, out, out_dir, ".wav")
    awake = Model(model, engine, device, precision, threads)
    options = {"speaker": speaker, "seed": seed, "temperature": temperature, "top_p": top_p, "conceal": conceal}
    _make(out_dir)
    for source, target in zip(sources, targets, strict=True):
        report = lambda line, source=source: typer.echo(f"vqspeech: {source}: {line}", err=True)  # noqa: E731
        codec.decode_file(awake, source, target, report=report, **options)
        _tell(target)


@app.command()
def speakers(model: RunDirectory = Path("exp/vqvae")) -> None:
    """List the voices of a model, one a line."""
    from vqspeech import checkpoint

    typer.echo("\n".join(checkpoint.load(model).speakers))


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="A YAML such as egs/vctk/conf/vctk64.yaml.", metavar="CONFIG")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Such as training.batch=8.", metavar="KEY=VALUE")
    ] = None,
    data: Annotated[list[Path], typer.Option("--data", help="A packed data directory; may be given again.")] = [],  # noqa: B006
    held_out: Annotated[list[Path], typer.Option("--held-out", help="To measure on; may be given again.")] = [],  # noqa: B006
    out: Annotated[Path, typer.Option("-o", "--out", help="The run directory; a run in it goes on.")] = Path(
        "exp/vqvae"
    ),
    max_steps: Annotated[int | None, typer.Option(min=1, help="Instead of the config's.")] = None,
    max_minutes: Annotated[
        float | None, typer.Option(help="Training ends after these, resumed parts included.")
    ] = None,
) -> None:
    """Train a VQ-VAE; with `accelerate launch -m vqspeech train ...` on several processes, GPUs or nodes."""
    from vqspeech import config as configs
    from vqspeech import training

    if not data or not held_out:
        raise InputError("nothing to train on; give --data data/train --held-out data/dev")
    limits = {"max_steps": max_steps, "max_minutes": max_minutes}
    settings = configs.load(
        config, [*(overrides or []), *(f"training.{name}={value}" for name, value in limits.items() if value)]
    )
    packed = [[one / "packed" for one in several] for several in (data, held_out)]
    with bar("training", 1.0, "") as update:
        numbers = training.train_vqvae(
            settings, packed[0], packed[1], out, report=lambda now: update(now.fraction, _told(now))
        )
    typer.echo(f"{out}: " + ", ".join(f"{name} {value:.4g}" for name, value in numbers.items()))


@app.command()
def bench(
    model: Annotated[
        Path | None, typer.Option(help="A trained run; else an untrained decoder.", metavar="RUN_DIR")
    ] = None,
    residual: Annotated[int, typer.Option(min=1, help="Channels of the untrained decoder.")] = 64,
    skip: Annotated[int, typer.Option(min=1, help="Its skip channels.")] = 256,
    layers: Annotated[int, typer.Option(min=1, help="Its layers.")] = 30,
    data: Annotated[
        Path | None, typer.Option(help="Packed speech; with --model: what 16- and 8-bit weights cost.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="For each measurement.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of the rows.")] = False,
) -> None:
    """Measure the engines on this machine, beside the limits of its cores."""
    from vqspeech import bench, checkpoint
    from vqspeech.dataset import Packed

    if data and not model:
        raise InputError("--data needs --model: what weights cost is measured on a trained run")
    run = checkpoint.load(model) if model else None
    wavenet = run.model.wavenet if run else bench.decoder(residual, skip, layers)
    rate = run.model.sample_rate if run else 16000
    if run and data:
        for precision, nats in bench.divergence(run.model, Packed(data / "packed"), run.speakers).items():
            typer.echo(f"{precision}: {nats:.1e} nats a sample from float32", err=as_json)
    with bench.pinned(1):
        limits = bench.limits(wavenet, seconds)
    if not as_json:
        typer.echo(bench.heading(limits))
    done = []
    for row in bench.rows(wavenet, rate, limits, seconds):
        done.append(row._asdict())
        if not as_json:
            typer.echo(bench.line(row))
    if as_json:
        typer.echo(json.dumps(done))


def _targets(sources: list[Path], out: Path | None, out_dir: Path | None, suffix: str) -> list[Path]:
    """Where each result goes: `out`, or beside its source or in a folder, with another suffix."""
    if out and (out_dir or len(sources) > 1):
        raise InputError("-o names one file; for several recordings or a folder use --out-dir")
    if Path("-") in sources and not out:
        raise InputError("what comes from stdin has no name; say with -o where it shall go")
    targets = [out or (out_dir or source.parent) / (source.stem + suffix) for source in sources]
    if len(set(targets)) < len(targets):
        raise InputError("two recordings have the same name and would overwrite each other; take them one by one")
    return targets


def _make(out_dir: Path | None) -> None:
    try:
        if out_dir:
            out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out_dir}: cannot be made ({error.strerror}); choose another --out-dir") from None


def _tell(target: Path) -> None:
    if target != Path("-"):
        typer.echo(target)


def _told(now) -> str:
    """A training's state in one line."""
    names = {"bits_per_sample": "bits", "held_out_bits_per_sample": "held out", "epoch_code_perplexity": "perplexity"}
    return f"step {now.step} " + " ".join(
        f"{short} {now.numbers[n]:.3g}" for n, short in names.items() if n in now.numbers
    )


def _fail(line: str, code: int = 2) -> int:
    typer.echo(f"vqspeech: {' '.join(line.split())}", err=True)
    return code
