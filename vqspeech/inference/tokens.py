"""Tokenisation of a corpus: every utterance encoded, with `codes.scp` and exports.

```
data/train/codes.scp                     utterance archive:offset:frames
data/train/codes/about.json              the model, its hop, its codebooks
data/train/codes/1f2e3d4c5b6a-00007.u16  the codes of SHARD_UTTERANCES utterances, frame after frame: one a codebook
data/train/codes/1f2e3d4c5b6a-00007.tsv  their table; where it is, the shard is whole
```
A shard is named after what it is made from: recordings, bounds and model.  So it is the unit of work, of going on
after an interruption, and of sharing out over machines, and none of another model can be taken for it.
"""

import functools
import hashlib
import json
import math
import string
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from multiprocessing import parent_process
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vqspeech import audio
from vqspeech.data import archives, corpus
from vqspeech.data.corpus import Skipped, Utterance
from vqspeech.errors import InputError
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.system import hardware
from vqspeech.system.files import atomic_path, exclusive_lock
from vqspeech.system.parallel import Progress, parallel_map, shard_range

SHARD_UTTERANCES = 64


def encode_corpus(
    run: str | Path, directory: str | Path, nj: int = 1, part: tuple[int, int] = (1, 1),
    progress: Progress = lambda *_: None,
) -> int:  # fmt: skip
    """Encodes the utterances of a data directory into shards; those that are there already are kept.

    Args:
        run: a run directory.
        nj: processes.
        part: (i, n), the i-th of n parts of the work, 1 <= i <= n; `merge_shards` when all of them are there.

    Returns:
        How many shards this part has.

    Raises:
        InputError: no such run or data directory, a part that is none, or another process that writes there.
    """
    utterances = corpus.Corpus(directory)
    own = shard_range(range(math.ceil(len(utterances) / SHARD_UTTERANCES)), part)
    mine = (shard for number, shard in enumerate(_shards(run, utterances)) if number in own)
    work = partial(_encode_shard, str(run), max(1, hardware.cores() // nj))
    with exclusive_lock(Path(directory) / "codes", shared=part[1] > 1):
        for _ in parallel_map(work, mine, len(own), nj, progress):
            pass
    return len(own)


def merge_shards(run: str | Path, directory: str | Path) -> list[Skipped]:
    """Writes `codes.scp` when all shards are there, and removes those of other models or older recordings.

    Returns:
        The utterances that could not be read; `codes.scp` does without them.

    Raises:
        InputError: a shard is missing, nothing at all could be read, or another process writes there.
    """
    directory, utterances = Path(directory), corpus.Corpus(directory)
    with exclusive_lock(directory / "codes"):
        return _merged(run, directory, utterances)


def _merged(run: str | Path, directory: Path, utterances: corpus.Corpus) -> list[Skipped]:
    model = _cached_codec(str(run))
    stems = [stem for stem, _ in _shards(run, utterances)]
    missing = [stem.name for stem in stems if not stem.with_suffix(".tsv").exists()]
    if missing:
        raise InputError(
            f"{directory}: {len(missing)} of {len(stems)} shards of codes are missing, the first is {missing[0]}; "
            "run the other parts of `vqspeech tokenize` first"
        )
    skipped = []
    with atomic_path(directory / "codes.scp") as part, part.open("w", encoding="utf-8") as scp:
        for stem, group in zip(stems, corpus.batches(utterances, SHARD_UTTERANCES), strict=True):
            found = {row.key: row for row in archives.read_rows(stem.with_suffix(".tsv"), 0)}
            for one in group:
                if row := found.get(one.key):
                    scp.write(f"{one.key} {stem.with_suffix('.u16')}:{row.offset}:{row.length}\n")
                else:
                    skipped.append(Skipped(one.key, one.path, _fault(model, one)))
        if len(skipped) == len(utterances):
            raise InputError(
                f"{directory}: none of {len(skipped)} recordings could be read; first: {skipped[0].reason}"
            )
        about = {"format": archives.CODES_FORMAT, "model": model.run.digest, "codes": model.net.quantizer.sizes[0]}
        about |= {"codebooks": model.codebooks, "hop": model.hop, "sample_rate": model.sample_rate}
        corpus.write_text_atomic(directory / "codes" / "about.json", json.dumps(about) + "\n")
    own = {stem.name for stem in stems}
    for old in (directory / "codes").glob("*-*.*"):
        if old.stem not in own:
            old.unlink()
    return skipped


def write_text(directory: str | Path, path: Path) -> None:
    """One line an utterance, its key and its codes, as code language models read them.

    Codes of one codebook are numbers, `12 13`.  Of several they come frame by frame, each codebook with a letter of its
    own, `a12 b7 a13 b9`: words that differ, of which those of one codebook can be picked out.
    """
    codes = archives.CodeShards(directory)
    letters = cycle(string.ascii_lowercase[: codes.codebooks] if codes.codebooks > 1 else [""])
    lines = (
        f"{row.key} {' '.join(f'{next(letters)}{code}' for code in one.ravel().tolist())}\n"
        for row, one in zip(codes.rows, codes, strict=True)
    )
    with atomic_path(path) as part, part.open("w", encoding="utf-8") as file:
        file.writelines(lines)


def write_parquet(directory: str | Path, path: Path) -> None:
    """A Parquet file as `datasets.load_dataset("parquet", data_files=...)` reads it: id, speaker, text, codes.

    `codes` holds a list a codebook, all of them as long as there are frames.

    Raises:
        InputError: pyarrow is missing, or the path cannot be written.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise InputError("Parquet needs pyarrow; pip install 'vqspeech[export]'") from None
    codes = archives.CodeShards(directory)
    texts = {one.key: one.text for one in corpus.read(directory)}
    about = {"vqspeech": json.dumps(codes.about)}
    fields = [("id", pa.string()), ("speaker", pa.string()), ("text", pa.string())]
    schema = pa.schema([*fields, ("codes", pa.list_(pa.list_(pa.uint16())))], metadata=about)
    with atomic_path(path) as part, pq.ParquetWriter(part, schema) as writer:
        for start in range(0, len(codes), 1024):
            rows = codes.rows[start : start + 1024]
            columns = [
                [row.key for row in rows],
                [row.speaker for row in rows],
                [texts.get(row.key) for row in rows],
                [list(codes[start + at].T) for at in range(len(rows))],
            ]
            writer.write_table(pa.table(columns, schema=schema))


def summary(directory: str | Path) -> str:
    """What a data directory has of codes, in a line."""
    codes = archives.CodeShards(directory)
    frames = int(codes.rows.length.sum())
    minutes = frames * codes.about["hop"] / codes.about["sample_rate"] / 60
    return (
        f"{directory}: {len(codes)} utterances, {minutes:.1f} min, {frames * codes.codebooks} codes "
        f"of model {codes.about['model'][:24]}"
    )


def _shards(run: str | Path, utterances: corpus.Corpus) -> Iterator[tuple[Path, list[Utterance]]]:
    """Where each shard lies, without suffix, and its utterances."""
    folder, digest = utterances.directory / "codes", _cached_codec(str(run)).run.digest
    for at, group in enumerate(corpus.batches(utterances, SHARD_UTTERANCES)):
        name = hashlib.sha256(f"{digest} {corpus.fingerprint(group)}".encode()).hexdigest()[:12]
        yield folder / f"{name}-{at:05d}", group


@functools.cache
def _cached_codec(run: str) -> SpeechCodec:
    """The model, once a process."""
    return SpeechCodec(run)


def _encode_shard(run: str, threads: int, shard: tuple[Path, list[Utterance]]) -> None:
    """Writes one shard, unless it is there."""
    stem, utterances = shard
    if stem.with_suffix(".tsv").exists():
        return
    model = _cached_codec(run)
    if parent_process() and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)  # the processes share the cores

    def encoded() -> Iterator[tuple[str, str, NDArray[np.uint16]]]:
        for utt in utterances:
            try:
                wave = audio.read(utt.path, model.sample_rate, utt.start_s, utt.end_s)
            except InputError:
                continue  # `merge_shards` tells
            yield utt.key, utt.speaker, model.encode(wave).astype("<u2")

    archives.write_shard(stem.with_suffix(".u16"), encoded())


def _fault(model: SpeechCodec, one: Utterance) -> str:
    try:
        audio.read(one.path, model.sample_rate, one.start_s, one.end_s)
    except InputError as fault:
        return str(fault)
    return "could not be read when its shard was made; delete the shard and run again"
