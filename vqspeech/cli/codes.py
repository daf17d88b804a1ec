"""Commands of codes: encode, decode, thin, tokenize, sample."""

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
    Shard,
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
    speaker: Annotated[
        str, typer.Option(help="Default speaker that the file names; none: no speaker. [default: the nearest one]")
    ] = "",
    codebooks: Annotated[
        int | None, typer.Option(min=1, help="Number of codebooks to use, the first ones. [default: all]")
    ] = None,
    out: Out = None,
    out_dir: Annotated[Path | None, typer.Option(help="Folder for IN.vqs; created if missing.")] = None,
    force: Force = False,
    coder: Annotated[
        str, typer.Option(help="Entropy coder: packed, adaptive or prior (smallest, slowest).")
    ] = "adaptive",
    prior: PriorName = "",
) -> None:
    """Encode recordings as small files of codes: in.wav becomes in.vqs."""
    from vqspeech.codec import entropy_coding, vqs_files
    from vqspeech.inference.prior_sampler import PriorSampler
    from vqspeech.inference.speech_codec import SpeechCodec
    from vqspeech.models import hub

    paths, faults = targets_of(sources, out, out_dir, ".vqs", force), Faults()
    loaded = SpeechCodec(model)
    sampler = PriorSampler(hub.resolve_prior(prior, model), loaded) if coder == "prior" else None
    entropy_coding.check_coding(loaded, speaker if speaker != vqs_files.NOBODY else "", coder, sampler, codebooks)
    make_folder(folder_of(out, out_dir))
    options = {"speaker": speaker, "coder": coder, "prior": sampler, "codebooks": codebooks}
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
    speaker: Annotated[str, typer.Option(help="Speaker. [default: the one that the file names]")] = "",
    codebooks: Annotated[
        int | None, typer.Option(min=1, help="Number of codebooks to decode, the first ones. [default: all]")
    ] = None,
    out: Out = None,
    out_dir: Annotated[Path | None, typer.Option(help="Folder for IN.decoded.wav; created if missing.")] = None,
    force: Force = False,
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    vocoder: Vocoder = None,
    engine: Engine = None,
    device: Device = "cpu",
    precision: Precision = None,
    threads: Threads = None,
    prior: PriorName = "",
    conceal: Annotated[
        bool, typer.Option("--conceal", help="Replace damaged chunks by silence instead of failing.")
    ] = False,
) -> None:
    """Decode files of codes: in.vqs becomes in.decoded.wav, exactly as long as its source."""
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
    codebooks: Annotated[int, typer.Option(min=1, help="Number of codebooks to keep, the first ones.")] = 1,
    out: Out = None,
    out_dir: Annotated[Path | None, typer.Option(help="Folder for IN.1.vqs; created if missing.")] = None,
    force: Force = False,
) -> None:
    """Drop the upper codebooks of .vqs files without decoding: in.vqs becomes in.1.vqs."""
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
    nj: Annotated[int, typer.Option(min=1, help="Number of processes.")] = 1,
    shard: Shard = "",
    merge: Annotated[bool, typer.Option("--merge", help="Write codes.scp from the parts of all shards.")] = False,
    text: Annotated[
        str | None, typer.Option(help="Also write the codes as text, one utterance per line.", metavar="PATH")
    ] = None,
    parquet: Annotated[
        str | None, typer.Option(help="Also write the codes as Parquet, for Hugging Face datasets.", metavar="PATH")
    ] = None,
    force: Force = False,
) -> None:
    """Encode a corpus: adds codes.scp to a data directory; running it again resumes."""
    from vqspeech.data import outputs
    from vqspeech.inference import tokens

    places = {tokens.write_text: outputs.place(text, "codes.txt")}
    places |= {tokens.write_parquet: outputs.place(parquet, "codes.parquet")}
    outputs.check([directory, model], [path for path in places.values() if path], force)
    if shard and (merge or text or parquet):
        raise InputError("--shard makes one part; use --merge, --text and --parquet when all parts are there")
    if not merge:
        with bar(f"codes of {directory}", 1.0, "") as update:
            tokens.encode_corpus(model, directory, nj, part_of(shard), lambda done, total: update(done / total))
    if shard:
        return
    skipped = tokens.merge_shards(model, directory)
    for skip in skipped:
        typer.echo(f"skipped {skip.key}: {skip.reason}", err=True)
    for write, path in places.items():
        if path:
            with made_from(directory, model):
                write(directory, path)
    typer.echo(tokens.summary(directory), err=STDOUT in places.values())


@codes.command()
def sample(
    speaker: Annotated[str, typer.Option(help="Target speaker, one of `vqspeech speakers`.")],
    model: ModelName = DEFAULT,
    prior: PriorName = "",
    seconds: Annotated[float, typer.Option(help="Duration of each sample in seconds.")] = 2.56,
    n: Annotated[int, typer.Option("--n", min=1, max=1000, help="Number of samples.")] = 1,
    prompt: Annotated[Path | None, typer.Option(help="Recording that each sample continues.", metavar="IN")] = None,
    out_dir: Annotated[Path, typer.Option(help="Folder for SPEAKER-1.wav...; created if missing.")] = Path("samples"),
    force: Force = False,
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    decoder_temperature: Annotated[float, typer.Option(help="Temperature of the vocoder.")] = 1.0,
    seed: Seed = 0,
) -> None:
    """Sample new codes from the prior, and decode them in a speaker's voice."""
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
