"""The command line of codes: recordings and corpora as codes, speech from them; heavy imports inside the command."""

from pathlib import Path
from typing import Annotated

import typer

from vqspeech.cli.options import (
    Device,
    Engine,
    Faults,
    Force,
    ModelName,
    Out,
    Precision,
    PriorName,
    Seed,
    Split,
    Temperature,
    Threads,
    TopP,
    Vocoder,
    folder_of,
    make_folder,
    part_of,
    targets_of,
    tell,
)
from vqspeech.cli.progress import bar
from vqspeech.errors import InputError
from vqspeech.models.hub import DEFAULT
from vqspeech.system.files import STDOUT, made_from

codes = typer.Typer()


@codes.command()
def encode(
    sources: Annotated[list[Path], typer.Argument(help="Recordings; - is a 16-bit WAV on stdin.", metavar="IN...")],
    model: ModelName = DEFAULT,
    speaker: Annotated[str, typer.Option(help="Its default voice; else the nearest one; none: leave it out.")] = "",
    codebooks: Annotated[int | None, typer.Option(min=1, help="Only the first ones: fewer bits.")] = None,
    out: Out = None,
    out_dir: Annotated[Path | None, typer.Option(help="Folder for IN.vqs; made if missing.")] = None,
    force: Force = False,
    entropy: Annotated[str, typer.Option(help="packed, adaptive or prior: how hard to make it small.")] = "adaptive",
    prior: PriorName = "",
) -> None:
    """Write recordings as codes: in.wav becomes in.vqs."""
    from vqspeech.codec import entropy_coding, vqs_files
    from vqspeech.inference.prior_sampler import PriorSampler
    from vqspeech.inference.speech_codec import SpeechCodec
    from vqspeech.models import hub

    paths, faults = targets_of(sources, out, out_dir, ".vqs", force), Faults()
    loaded = SpeechCodec(model)
    sampler = PriorSampler(hub.resolve_prior(prior, model), loaded) if entropy == "prior" else None
    entropy_coding.check_coding(loaded, speaker if speaker != vqs_files.NOBODY else "", entropy, sampler, codebooks)
    make_folder(folder_of(out, out_dir))
    options = {"speaker": speaker, "entropy": entropy, "prior": sampler, "codebooks": codebooks}
    for source, path in zip(sources, paths, strict=True):
        try:
            vqs_files.encode_file(loaded, source, path, **options)
        except InputError as fault:
            faults(fault)
            continue
        tell(path)
    faults.end()


@codes.command()
def decode(
    sources: Annotated[list[Path], typer.Argument(help=".vqs files; - is stdin.", metavar="IN...")],
    model: ModelName = DEFAULT,
    speaker: Annotated[str, typer.Option(help="Another voice than the file names.")] = "",
    codebooks: Annotated[int | None, typer.Option(min=1, help="Only the first ones.")] = None,
    out: Out = None,
    out_dir: Annotated[Path | None, typer.Option(help="Folder for IN.decoded.wav; made if missing.")] = None,
    force: Force = False,
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    vocoder: Vocoder = None,
    engine: Engine = None,
    device: Device = "cpu",
    precision: Precision = None,
    threads: Threads = None,
    prior: Annotated[str, typer.Option("--prior", help="Of files that were encoded with one.", metavar="PRIOR")] = "",
    conceal: Annotated[bool, typer.Option("--conceal", help="Damaged chunks become silence, not an error.")] = False,
) -> None:
    """Speak codes again: in.vqs becomes in.decoded.wav, exactly as long as what was encoded."""
    from vqspeech.codec import vqs_files
    from vqspeech.inference.prior_sampler import PriorSampler
    from vqspeech.inference.sampling_config import SamplingConfig
    from vqspeech.inference.speech_codec import SpeechCodec

    paths, faults = targets_of(sources, out, out_dir, ".decoded.wav", force), Faults()
    loaded = SpeechCodec(model, vocoder, device, precision, threads, engine)
    options = {"speaker": speaker, "sampling": SamplingConfig(temperature, top_p, seed), "conceal": conceal}
    options |= {"prior": PriorSampler(prior, loaded) if prior else None, "codebooks": codebooks}
    make_folder(folder_of(out, out_dir))
    report = lambda line: typer.echo(f"vqspeech: {line}", err=True)  # noqa: E731
    pairs = list(zip(sources, paths, strict=True))
    for path in vqs_files.decode_all(loaded, pairs, report=report, on_failure=faults, **options):
        tell(path)
    faults.end()


@codes.command()
def thin(
    sources: Annotated[list[Path], typer.Argument(help=".vqs files; - is stdin.", metavar="IN...")],
    codebooks: Annotated[int, typer.Option(min=1, help="How many stay, the first ones.")] = 1,
    out: Out = None,
    out_dir: Annotated[Path | None, typer.Option(help="Folder for IN.1.vqs; made if missing.")] = None,
    force: Force = False,
) -> None:
    """Leave out the upper codebooks of .vqs files, without decoding: in.vqs becomes in.1.vqs."""
    from vqspeech.codec import vqs_files

    paths, faults = targets_of(sources, out, out_dir, f".{codebooks}.vqs", force), Faults()
    make_folder(folder_of(out, out_dir))
    for source, path in zip(sources, paths, strict=True):
        try:
            vqs_files.thin_file(source, path, codebooks)
        except InputError as fault:
            faults(fault)
            continue
        tell(path)
    faults.end()


@codes.command()
def tokenize(
    directory: Annotated[Path, typer.Argument(help="A Kaldi data directory.", metavar="DATA_DIR")],
    model: ModelName = DEFAULT,
    nj: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    split: Split = "",
    merge: Annotated[bool, typer.Option("--merge", help="Only write codes.scp, when all parts are there.")] = False,
    text: Annotated[str | None, typer.Option(help="Also as text, an utterance a line.", metavar="PATH")] = None,
    parquet: Annotated[
        str | None, typer.Option(help="Also as Parquet, for Hugging Face datasets.", metavar="PATH")
    ] = None,
    force: Force = False,
) -> None:
    """Encode a corpus: adds codes.scp to a data directory; goes on where it was interrupted."""
    from vqspeech.data import outputs
    from vqspeech.inference import tokens

    places = {tokens.write_text: outputs.place(text, "codes.txt")}
    places |= {tokens.write_parquet: outputs.place(parquet, "codes.parquet")}
    outputs.check([directory, model], [path for path in places.values() if path], force)
    if split and (merge or text or parquet):
        raise InputError("--split makes one part; merge, and export, when all of them are there")
    if not merge:
        with bar(f"codes of {directory}", 1.0, "") as update:
            tokens.encode_corpus(model, directory, nj, part_of(split), lambda done, total: update(done / total))
    if split:
        return
    skipped = tokens.merge_shards(model, directory)
    for one in skipped:
        typer.echo(f"skipped {one.key}: {one.reason}", err=True)
    for write, path in places.items():
        if path:
            with made_from(directory, model):
                write(directory, path)
    typer.echo(tokens.summary(directory), err=STDOUT in places.values())


@codes.command()
def sample(
    speaker: Annotated[str, typer.Option(help="The voice, one of `vqspeech speakers`.")],
    model: ModelName = DEFAULT,
    prior: PriorName = "",
    seconds: Annotated[float, typer.Option(help="Of each; 2.56 are the paper's 40,960 samples.")] = 2.56,
    n: Annotated[int, typer.Option("--n", min=1, max=1000, help="How many.")] = 1,
    prompt: Annotated[Path | None, typer.Option(help="A recording to go on from.", metavar="IN")] = None,
    out_dir: Annotated[Path, typer.Option(help="Folder for SPEAKER-1.wav...; made if missing.")] = Path("samples"),
    force: Force = False,
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    decoder_temperature: Annotated[float, typer.Option(help="Of the samples, not the codes.")] = 1.0,
    seed: Seed = 0,
) -> None:
    """Speak from nothing: the prior composes codes in a voice, the decoder says them."""
    from vqspeech.data import outputs
    from vqspeech.inference import prior_speech
    from vqspeech.inference.prior_sampler import PriorSampler
    from vqspeech.inference.sampling_config import SamplingConfig
    from vqspeech.inference.speech_codec import SpeechCodec
    from vqspeech.models import hub

    sources = [prompt] if prompt else []
    outputs.check(sources, [out_dir / f"{speaker}-{number}.wav" for number in range(1, n + 1)], force)
    sampler = PriorSampler(hub.resolve_prior(prior, model), SpeechCodec(model))
    sampler.model.speaker_index(speaker)
    codes = prior_speech.sample_codes(sampler, speaker, seconds, n, SamplingConfig(temperature, top_p, seed), prompt)
    make_folder(out_dir)
    total = codes[:, :, 0].size * sampler.model.hop / sampler.model.sample_rate
    vocoder_sampling = SamplingConfig(decoder_temperature, seed=seed)
    with bar(f"{n} of {speaker}", total, "s") as update, made_from(*sources):
        for path in prior_speech.decode_to_files(sampler.model, codes, speaker, out_dir, vocoder_sampling, update):
            tell(path)
