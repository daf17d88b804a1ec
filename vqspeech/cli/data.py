"""Commands of data directories: `vqspeech data`."""

from pathlib import Path
from typing import Annotated

import typer

from vqspeech.cli.options import Force, Shard, part_of, tell
from vqspeech.cli.progress import bar
from vqspeech.errors import InputError
from vqspeech.system.files import made_from

data = typer.Typer(no_args_is_help=True, help="Prepare Kaldi data directories.")

Jobs = Annotated[int, typer.Option(min=1, help="Number of processes.")]
Directory = Annotated[Path, typer.Argument(help="A Kaldi data directory.", metavar="DATA_DIR")]


@data.command()
def mini(out: Annotated[Path, typer.Argument(help="The new directory.", metavar="OUT_DIR")]) -> None:
    """Make the mini corpus: synthetic speech in the layout of VCTK 0.92, with exact phone times."""
    from vqspeech.data import synthetic

    with bar("mini corpus", 1.0, "") as update:
        synthetic.make(out, lambda done, total: update(done / total))
    tell(out)


@data.command()
def validate(directory: Directory) -> None:
    """Report every fault of a data directory with file, line, value and cure; exit code 2 if there is one."""
    from vqspeech.data import corpus

    faults = corpus.validate(directory)
    for fault in faults:
        typer.echo(str(fault))
    if faults:
        raise typer.Exit(2)
    typer.echo(f"{directory}: {len(corpus.Corpus(directory))} utterances, no fault")


@data.command()
def split(
    directory: Directory,
    out: Annotated[Path, typer.Argument(help="Folder for train/, dev/, test/ and split.tsv.", metavar="OUT_DIR")],
    seed: Annotated[int, typer.Option(help="Random seed of the split.")] = 0,
    unseen_speakers: Annotated[
        int, typer.Option(min=0, help="Number of speakers to hold out entirely, in unseen/.")
    ] = 0,
    force: Force = False,
) -> None:
    """Split a data directory into train, dev and test that share no sentence."""
    from vqspeech.data import corpus, outputs, splits

    table, names = out / "split.tsv", [*splits.PARTS, *(["unseen"] if unseen_speakers else [])]
    outputs.check([directory], [table], force, [out / name for name in names])
    utterances = corpus.read(directory)
    parts = (
        splits.split_speakers(utterances, unseen_speakers, seed) if unseen_speakers else splits.split(utterances, seed)
    )
    with made_from(directory):
        for name, part in parts.items():
            corpus.write(out / name, part)
            typer.echo(f"{out / name}: {len(part)} utterances of {len({one.speaker for one in part})} speakers")
        rows = sorted((one.key, name) for name, part in parts.items() for one in part)
        corpus.write_text_atomic(table, "".join(f"{key}\t{name}\n" for key, name in [("key", "part"), *rows]))


@data.command()
def combine(
    directories: Annotated[list[Path], typer.Argument(help="Kaldi data directories.", metavar="DATA_DIR...")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The new directory.")],
    force: Force = False,
) -> None:
    """Combine data directories into one."""
    from vqspeech.data import corpus, outputs

    outputs.check(directories, [], force, [out])
    with made_from(*directories):
        corpus.write(out, corpus.combine(directories))
    tell(out)


@data.command()
def trim(
    directory: Directory,
    labels: Annotated[
        Path | None,
        typer.Option(help="Folder of HTK phone labels, SPEAKER/KEY.lab; default: trim by level.", metavar="DIR"),
    ] = None,
    nj: Jobs = 1,
) -> None:
    """Trim the silence at both ends of each utterance, by writing `segments`."""
    from vqspeech.data import packing

    with bar("edges", 1.0, "") as update:
        skipped = packing.trim_corpus(directory, labels, nj, lambda done, total: update(done / total))
    _tell_skipped(skipped, "left as they were, for they could not be read")


@data.command()
def pack(
    directory: Directory,
    sample_rate: Annotated[int, typer.Option(min=1000, help="Sample rate of the shards in Hz.")] = 16000,
    nj: Jobs = 1,
    shard: Shard = "",
    bits: Annotated[int, typer.Option(help="Bits per sample: 8 (mu-law), or 16 (linear) for a vocoder.")] = 8,
) -> None:
    """Write shards of samples to DATA_DIR/packed; unreadable recordings are skipped and listed."""
    from vqspeech.data import archives, packing

    if bits not in archives.STORED:
        raise InputError(f"--bits {bits} is unknown; choose 8 or 16")

    with bar("packing", 1.0, "") as update:
        report = lambda done, total: update(done / total)  # noqa: E731
        if shard:
            shards = packing.pack_part(directory, sample_rate, part_of(shard), nj, report, bits)
            typer.echo(f"{directory}: {shards} shards of part {shard}; when all parts are there, pack without --shard")
            return
        done = packing.pack(directory, sample_rate, nj, report, bits)
    _tell_skipped(done.skipped, f"skipped, for they could not be read; see {directory / 'packed' / 'skipped.tsv'}")
    typer.echo(f"{directory}: {done.utterances} utterances, {done.hours:.2f} hours packed")


Asr = Annotated[str, typer.Option(help="Name or folder of a faster-whisper model.", metavar="NAME_OR_FOLDER")]


@data.command()
def transcribe(directory: Directory, asr: Asr = "tiny.en", nj: Jobs = 1) -> None:
    """Add `text` to a data directory by speech recognition (pip install 'vqspeech[asr]')."""
    from vqspeech.data import recognition

    with bar("transcribing", 1.0, "") as update:
        skipped = recognition.transcribe(directory, asr, nj, lambda done, total: update(done / total))
    _tell_skipped(skipped, "not transcribed")
    typer.echo(directory / "text")


@data.command()
def posteriors(
    directories: Annotated[list[Path], typer.Argument(help="Kaldi data directories.", metavar="DATA_DIR...")],
    asr: Asr = "tiny.en",
    layer: Annotated[
        Path | None, typer.Option(help="A layer.safetensors that was fitted before; default: fit one to phones.ctm.")
    ] = None,
    nj: Jobs = 1,
) -> None:
    """Add phone posteriors: a recogniser's encoder and a linear layer fitted to phones.ctm."""
    from vqspeech.data import posteriors

    with bar("posteriors", 1.0, "") as update:
        right = posteriors.write(directories, asr, layer, nj, lambda done, total: update(done / total))
    if right == right:
        typer.echo(f"{100 * right:.1f} % of the labelled frames that were held out are right")


def _tell_skipped(skipped: list, fate: str) -> None:
    for skip in skipped[:5]:
        typer.echo(f"vqspeech: {skip.key}: {skip.reason}", err=True)
    if skipped:
        typer.echo(f"vqspeech: {len(skipped)} recordings were {fate}", err=True)


@data.command()
def align(
    directory: Directory,
    labels: Annotated[
        Path | None,
        typer.Option(help="Existing labels: a folder of KEY.lab or KEY.TextGrid, or a CTM file.", metavar="PATH"),
    ] = None,
    nj: Jobs = 1,
    force: Force = False,
) -> None:
    """Add phones.ctm, phone times, from existing labels or by forced alignment of `text`."""
    from vqspeech.data import alignment, outputs

    path, sources = directory / "phones.ctm", [labels] if labels else [directory / "wav.scp"]
    outputs.check(sources, [path], force)
    with bar("phones", 1.0, "") as update, made_from(*sources):
        if labels:
            skipped = alignment.import_labels(directory, labels)
        else:
            skipped = alignment.align(directory, nj, lambda done, total: update(done / total))
    _tell_skipped(skipped, "left without phones")
    tell(path)
