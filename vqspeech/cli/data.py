"""The command line of data directories, `vqspeech data`; heavy imports inside the command."""

from pathlib import Path
from typing import Annotated

import typer

from vqspeech.cli.options import Force, Split, part_of, tell
from vqspeech.cli.progress import bar
from vqspeech.errors import InputError
from vqspeech.system.files import made_from

data = typer.Typer(no_args_is_help=True, help="Kaldi data directories: check, split, cut, pack.")

Jobs = Annotated[int, typer.Option(min=1, help="Processes.")]
Directory = Annotated[Path, typer.Argument(help="A Kaldi data directory.", metavar="DATA_DIR")]


@data.command()
def mini(out: Annotated[Path, typer.Argument(help="Where it shall lie.", metavar="OUT_DIR")]) -> None:
    """Make the mini corpus: synthetic voices in the layout of VCTK 0.92, with exact phone times."""
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
    seed: Annotated[int, typer.Option(help="Another seed, another split.")] = 0,
    unseen_speakers: Annotated[int, typer.Option(min=0, help="Speakers to hold out whole, in unseen/.")] = 0,
    force: Force = False,
) -> None:
    """Split into train, dev and test without a common sentence, by a rule with a seed."""
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
    """Write several data directories, or a copy of one, as one."""
    from vqspeech.data import corpus, outputs

    outputs.check(directories, [], force, [out])
    with made_from(*directories):
        corpus.write(out, corpus.combine(directories))
    tell(out)


@data.command()
def cut(
    directory: Directory,
    labels: Annotated[Path | None, typer.Option(help="HTK phone labels, SPEAKER/KEY.lab.", metavar="DIR")] = None,
    nj: Jobs = 1,
) -> None:
    """Cut the silence at both ends of every utterance, by writing `segments`."""
    from vqspeech.data import packing

    with bar("edges", 1.0, "") as update:
        skipped = packing.trim_corpus(directory, labels, nj, lambda done, total: update(done / total))
    _tell_skipped(skipped, "left as they were, for they could not be read")


@data.command()
def pack(
    directory: Directory,
    sample_rate: Annotated[int, typer.Option(min=1000, help="Hz.")] = 16000,
    nj: Jobs = 1,
    split: Split = "",
    bits: Annotated[int, typer.Option(help="A sample: 8 (mu-law) or, for a vocoder, 16 (linear).")] = 8,
) -> None:
    """Write shards of samples to DATA_DIR/packed; what cannot be read is skipped and told."""
    from vqspeech.data import archives, packing

    if bits not in archives.STORED:
        raise InputError(f"--bits {bits} is unknown; choose 8 or 16")

    with bar("packing", 1.0, "") as update:
        report = lambda done, total: update(done / total)  # noqa: E731
        if split:
            shards = packing.pack_part(directory, sample_rate, part_of(split), nj, report, bits)
            typer.echo(f"{directory}: {shards} shards of part {split}; when all parts are there, pack without --split")
            return
        done = packing.pack(directory, sample_rate, nj, report, bits)
    _tell_skipped(done.skipped, f"skipped, for they could not be read; see {directory / 'packed' / 'skipped.tsv'}")
    typer.echo(f"{directory}: {done.utterances} utterances, {done.hours:.2f} hours packed")


Asr = Annotated[str, typer.Option(help="A faster-whisper model.", metavar="NAME_OR_FOLDER")]


@data.command()
def transcribe(directory: Directory, asr: Asr = "tiny.en", nj: Jobs = 1) -> None:
    """Add `text` to a data directory without one, by a speech recogniser (pip install 'vqspeech[asr]')."""
    from vqspeech.data import recognition

    with bar("transcribing", 1.0, "") as update:
        skipped = recognition.transcribe(directory, asr, nj, lambda done, total: update(done / total))
    _tell_skipped(skipped, "not transcribed")
    typer.echo(directory / "text")


@data.command()
def posteriors(
    directories: Annotated[list[Path], typer.Argument(help="Kaldi data directories.", metavar="DATA_DIR...")],
    asr: Asr = "tiny.en",
    layer: Annotated[Path | None, typer.Option(help="One that was fitted before, instead of to phones.ctm.")] = None,
    nj: Jobs = 1,
) -> None:
    """Add phone posteriors, by a recogniser's encoder and a linear layer that is fitted to phones.ctm."""
    from vqspeech.data import posteriors

    with bar("posteriors", 1.0, "") as update:
        right = posteriors.write(directories, asr, layer, nj, lambda done, total: update(done / total))
    if right == right:
        typer.echo(f"{100 * right:.1f} % of the labelled frames that were held out are right")


def _tell_skipped(skipped: list, fate: str) -> None:
    for one in skipped[:5]:
        typer.echo(f"vqspeech: {one.key}: {one.reason}", err=True)
    if skipped:
        typer.echo(f"vqspeech: {len(skipped)} recordings were {fate}", err=True)


@data.command()
def align(
    directory: Directory,
    labels: Annotated[
        Path | None, typer.Option(help="What is there: a folder of KEY.lab or KEY.TextGrid, or a CTM.", metavar="PATH")
    ] = None,
    aligner: Annotated[str, typer.Option(help="Without labels: pocketsphinx or torchaudio.")] = "pocketsphinx",
    nj: Jobs = 1,
    force: Force = False,
) -> None:
    """Add phones.ctm: where each phone is, from labels that there are or by forced alignment of `text`."""
    from vqspeech.data import alignment, outputs

    path, sources = directory / "phones.ctm", [labels] if labels else [directory / "wav.scp"]
    outputs.check(sources, [path], force)
    with bar("phones", 1.0, "") as update, made_from(*sources):
        if labels:
            skipped = alignment.import_labels(directory, labels)
        else:
            skipped = alignment.align(directory, aligner, nj, lambda done, total: update(done / total))
    _tell_skipped(skipped, "left without phones")
    tell(path)
