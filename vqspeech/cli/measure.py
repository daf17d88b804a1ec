"""Commands of evaluation: bench, probe, evaluate, report."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vqspeech.cli.options import (
    Faults,
    Force,
    ModelName,
    Seed,
    Temperature,
    TopP,
    Vocoder,
    make_folder,
    results_of,
    tell,
)
from vqspeech.cli.progress import bar
from vqspeech.errors import InputError
from vqspeech.models.hub import DEFAULT
from vqspeech.system.files import STDOUT, made_from

measures = typer.Typer()


@measures.command()
def bench(
    model: Annotated[
        str,
        typer.Option(
            help="Model whose decoder, and whose tasks, are measured. [default: an untrained decoder]", metavar="MODEL"
        ),
    ] = "",
    residual: Annotated[int, typer.Option(min=1, help="Residual channels of the untrained decoder.")] = 64,
    skip: Annotated[int, typer.Option(min=1, help="Skip channels of the untrained decoder.")] = 256,
    layers: Annotated[int, typer.Option(min=1, help="Layers of the untrained decoder.")] = 30,
    data: Annotated[
        Path | None,
        typer.Option(help="Packed speech on which the cost of bfloat16 weights is measured; needs --model."),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Duration of each measurement in seconds.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of the rows.")] = False,
) -> None:
    """Measure the speed of the engines on this machine, beside the limits of its cores."""
    from vqspeech.data.archives import MulawShards
    from vqspeech.evaluation import bench
    from vqspeech.models import checkpoint

    if data and not model:
        raise InputError("--data needs --model: what weights cost is measured on a trained run")
    run = checkpoint.load(model) if model else None
    vocoder = checkpoint.load_vocoder(model).model if run and checkpoint.has_vocoder(model) else None
    wavenet = vocoder.wavenet if vocoder else run.model.wavenet if run else bench.decoder(residual, skip, layers)
    rate = run.model.sample_rate if run else 16000
    if run and data:
        for precision, nats in bench.divergence(run.model, vocoder, MulawShards(data / "packed"), run.speakers).items():
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
    for task in bench.tasks(model) if model else ():
        done.append(task._asdict())
        if not as_json:
            typer.echo(f"{task.task}, one core: {task.times_real_time:.1f} times real time")
    if as_json:
        typer.echo(json.dumps(done))


@measures.command()
def probe(
    train: Annotated[
        Path, typer.Option(help="Data directory on which codes are mapped to phones.", metavar="DATA_DIR")
    ],
    test: Annotated[
        Path,
        typer.Option(
            help="Data directory on which the map is scored; it shares no sentence with --train.", metavar="DATA_DIR"
        ),
    ],
    model: ModelName = DEFAULT,
    minutes: Annotated[float, typer.Option(min=0.01, help="Maximum speech of each part in minutes.")] = 120.0,
    seed: Seed = 0,
    out: Annotated[
        str | None, typer.Option("-o", "--out", help="JSON file. [default: RUN_DIR/probe.json]", metavar="PATH")
    ] = None,
    force: Force = False,
) -> None:
    """Probe codes for phones and speakers; both parts need phones.ctm (`vqspeech data align`)."""
    from vqspeech.data import corpus, outputs
    from vqspeech.evaluation import probe, tables
    from vqspeech.inference.speech_codec import SpeechCodec

    sources = [train, test, model]
    path = outputs.place(out, "probe.json") or results_of(model) / "probe.json"
    outputs.check(sources, [path], force or not out)  # by default it is the model's own
    loaded = SpeechCodec(model)
    make_folder(None if out else results_of(model))  # before the minutes that it takes
    with bar("probe", 1.0, "") as update:
        results = probe.probe(loaded, train, test, minutes, seed, update)
    with made_from(*sources):
        corpus.write_text_atomic(path, json.dumps(results, indent=1) + "\n")
    if path == STDOUT:
        return
    for name, phone in results["conditions"]["map"].items():
        if name != phone:
            typer.echo(f"phone {name} counts as {phone}")
    typer.echo(tables.markdown(tables.probed(results)))


@measures.command()
def evaluate(
    pairs: Annotated[
        Path, typer.Argument(help="Table of conversions: rows of `source speaker [reference]`.", metavar="PAIRS")
    ],
    model: ModelName = DEFAULT,
    voices: Annotated[
        Path | None, typer.Option(help="Recordings of the target speakers, for speaker similarity.", metavar="DATA_DIR")
    ] = None,
    held_out: Annotated[
        Path | None, typer.Option(help="Packed speech on which bits per sample are measured.", metavar="DATA_DIR")
    ] = None,
    asr: Annotated[
        str,
        typer.Option(help="Name or folder of a faster-whisper model, for word error rates.", metavar="NAME_OR_FOLDER"),
    ] = "",
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    vocoder: Vocoder = None,
    codebooks: Annotated[
        int | None, typer.Option(min=1, help="Number of codebooks to use, the first ones. [default: all]")
    ] = None,
    codecs: Annotated[bool, typer.Option(help="Measure mu-law and installed codecs too.")] = True,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder of the results. [default: RUN_DIR]")] = None,
    force: Force = False,
) -> None:
    """Measure conversions, beside the recordings, mu-law and the codecs that are installed."""
    from vqspeech.data import outputs
    from vqspeech.data.recognition import Recogniser
    from vqspeech.evaluation import evaluate, tables
    from vqspeech.evaluation.objective import MEASURES
    from vqspeech.inference.sampling_config import SamplingConfig
    from vqspeech.inference.speech_codec import SpeechCodec

    rows, folder, faults = evaluate.read_pairs(pairs), out or results_of(model), Faults()
    recordings = [path for row in rows for path in (row.source, row.reference) if path]
    sources = [pairs, model, *(one for one in (voices, held_out) if one)]
    paths = [folder / name for name in evaluate.FILES]
    outputs.check([*sources, *recordings], paths, force=True)  # what is read is never replaced
    outputs.check(sources, paths, force or not out, [] if out is None or out.is_dir() else [out])
    loaded, recogniser = SpeechCodec(model, vocoder, codebooks=codebooks), Recogniser(asr) if asr else None
    make_folder(folder)
    bits = evaluate.bits_per_sample(loaded.run, held_out) if held_out else {}
    sampling = SamplingConfig(temperature, top_p, seed)
    with bar("evaluation", 1.0, "") as update:
        results = evaluate.evaluate(loaded, rows, voices, sampling, update, faults, recogniser, codecs)
    if bits:
        results["held_out"] = bits
        typer.echo(", ".join(f"{name} {value:.4g}" for name, value in results["held_out"].items()))
    with made_from(*sources):
        evaluate.write(results, folder)
    summary = evaluate.summary(results)
    typer.echo(f"{len(rows) - faults.number} recordings; means, with 95 % intervals over them\n")
    typer.echo(tables.markdown([tables.evaluated(summary, {measure.name: measure.unit for measure in MEASURES})]))
    if results["missing"]:
        without = ", ".join(sorted(results["missing"]))
        typer.echo(f"vqspeech: left out {without}: pip install 'vqspeech[measure]'", err=True)
    faults.end()


@measures.command()
def report(
    model: Annotated[Path, typer.Argument(help="Run directory of a trained model.", metavar="RUN_DIR")],
    pairs: Annotated[
        Path | None, typer.Option(help="Table of recordings to include: rows of `source speaker`.", metavar="PAIRS")
    ] = None,
    temperature: Temperature = 1.0,
    out: Annotated[
        str | None, typer.Option("-o", "--out", help="HTML file. [default: RUN_DIR/report.html]", metavar="PATH")
    ] = None,
    force: Force = False,
) -> None:
    """Write a run as one HTML file: curves, codebook, results of `probe` and `evaluate`, recordings."""
    from vqspeech.data import outputs
    from vqspeech.evaluation import report
    from vqspeech.inference.sampling_config import SamplingConfig

    sources, own = [model, *([pairs] if pairs else [])], results_of(str(model))
    path = outputs.place(out, "report.html") or own / "report.html"
    outputs.check(sources, [path], force or not out)
    make_folder(None if out else own)
    with bar("report", 1.0, "") as update, made_from(*sources):
        report.write(model, path, pairs, SamplingConfig(temperature), progress=update)
    tell(path)
