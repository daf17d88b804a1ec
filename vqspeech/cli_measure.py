"""The command line of measuring: speed, what codes know, how good speech is; heavy imports inside the command."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vqspeech.cli_options import (
    Engine,
    Faults,
    Force,
    ModelName,
    Seed,
    Temperature,
    TopP,
    make_folder,
    results_of,
    tell,
)  # fmt: skip
from vqspeech.errors import InputError
from vqspeech.files import STDOUT, made_from
from vqspeech.hub import DEFAULT
from vqspeech.progress import bar

measures = typer.Typer()


@measures.command()
def bench(
    model: Annotated[str, typer.Option(help="A trained one; else an untrained decoder.", metavar="MODEL")] = "",
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
    from vqspeech.archives import Packed

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


@measures.command()
def probe(
    train: Annotated[Path, typer.Option(help="Where codes are mapped to phones.", metavar="DATA_DIR")],
    test: Annotated[Path, typer.Option(help="Where that is scored; no sentence in common.", metavar="DATA_DIR")],
    model: ModelName = DEFAULT,
    minutes: Annotated[float, typer.Option(min=0.01, help="Of each part at most.")] = 120.0,
    seed: Seed = 0,
    out: Annotated[
        str | None, typer.Option("-o", "--out", help="JSON; RUN_DIR/probe.json by default.", metavar="PATH")
    ] = None,
    force: Force = False,
) -> None:
    """What do the codes know of phones and speakers? Both parts need phones.ctm (`vqspeech data align`)."""
    from vqspeech import corpus, probe, tables, targets
    from vqspeech.synthesis import Model

    sources = [train, test, model]
    path = targets.place(out, "probe.json") or results_of(model) / "probe.json"
    targets.check(sources, [path], force or not out)  # by default it is the model's own
    awake = Model(model)
    make_folder(None if out else results_of(model))  # before the minutes that it takes
    with bar("probe", 1.0, "") as update:
        found = probe.probe(awake, train, test, minutes, seed, update)
    with made_from(*sources):
        corpus.write_whole(path, json.dumps(found, indent=1) + "\n")
    if path == STDOUT:
        return
    for name, phone in found["conditions"]["map"].items():
        if name != phone:
            typer.echo(f"phone {name} counts as {phone}")
    typer.echo(tables.markdown(tables.probed(found)))


@measures.command()
def evaluate(
    pairs: Annotated[Path, typer.Argument(help="Rows of `source voice [reference]`.", metavar="PAIRS")],
    model: ModelName = DEFAULT,
    voices: Annotated[
        Path | None, typer.Option(help="Recordings of the voices: how near do conversions come?", metavar="DATA_DIR")
    ] = None,
    held_out: Annotated[
        Path | None, typer.Option(help="Packed speech: bits per sample on it.", metavar="DATA_DIR")
    ] = None,
    asr: Annotated[
        str, typer.Option(help="A faster-whisper model, for word error rates.", metavar="NAME_OR_FOLDER")
    ] = "",
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    engine: Engine = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder; RUN_DIR by default.")] = None,
    force: Force = False,
) -> None:
    """How good are conversions? Measures them beside the recordings, mu-law and the codecs that are installed."""
    from vqspeech import evaluate, tables, targets
    from vqspeech.measures import MEASURES
    from vqspeech.recognition import Recogniser
    from vqspeech.synthesis import Model

    rows, folder, faults = evaluate.read_pairs(pairs), out or results_of(model), Faults()
    heard = [path for row in rows for path in (row.source, row.reference) if path]
    sources = [pairs, model, *(one for one in (voices, held_out) if one)]
    paths = [folder / name for name in evaluate.FILES]
    targets.check([*sources, *heard], paths, force=True)  # what is read is never replaced
    targets.check(sources, paths, force or not out, [] if out is None or out.is_dir() else [out])
    awake, recogniser = Model(model, engine), Recogniser(asr) if asr else None
    make_folder(folder)
    bits = evaluate.bits_per_sample(awake.run, held_out) if held_out else {}
    with bar("evaluation", 1.0, "") as update:
        found = evaluate.evaluate(awake, rows, voices, temperature, top_p, seed, update, faults, recogniser)
    if bits:
        found["held_out"] = bits
        typer.echo(", ".join(f"{name} {value:.4g}" for name, value in found["held_out"].items()))
    with made_from(*sources):
        evaluate.write(found, folder)
    summary = evaluate.summary(found)
    typer.echo(f"{len(rows) - faults.number} recordings; means, with 95 % intervals over them\n")
    typer.echo(tables.markdown([tables.evaluated(summary, {one.name: one.unit for one in MEASURES})]))
    if found["missing"]:
        without = ", ".join(sorted(found["missing"]))
        typer.echo(f"vqspeech: left out {without}: pip install 'vqspeech[measure]'", err=True)
    faults.end()


@measures.command()
def report(
    model: Annotated[Path, typer.Argument(help="Run directory of a trained model.", metavar="RUN_DIR")],
    pairs: Annotated[
        Path | None, typer.Option(help="Recordings to be heard: rows of `source voice`.", metavar="PAIRS")
    ] = None,
    temperature: Temperature = 1.0,
    out: Annotated[
        str | None, typer.Option("-o", "--out", help="RUN_DIR/report.html by default.", metavar="PATH")
    ] = None,
    force: Force = False,
) -> None:
    """Write one HTML file of a run: curves, codebook, what `probe` and `evaluate` found, recordings to listen to."""
    from vqspeech import report, targets

    sources, own = [model, *([pairs] if pairs else [])], results_of(str(model))
    path = targets.place(out, "report.html") or own / "report.html"
    targets.check(sources, [path], force or not out)
    make_folder(None if out else own)
    with bar("report", 1.0, "") as update, made_from(*sources):
        report.write(model, path, pairs, temperature, progress=update)
    tell(path)
