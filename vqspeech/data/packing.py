"""Packing of a data directory for training: silence trimmed, recordings stored as mu-law shards."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech import audio
from vqspeech.audio import mulaw
from vqspeech.audio.preprocessing import preprocessed
from vqspeech.data import archives, corpus
from vqspeech.data.corpus import Skipped, Utterance
from vqspeech.data.phones import PAUSES, read_htk
from vqspeech.errors import InputError
from vqspeech.system.files import exclusive_lock, in_turn
from vqspeech.system.parallel import Progress, parallel_map, shard_range

MARGIN_S = 0.05
"""Silence left before the first sound and after the last."""
SHORTEST_S = 0.01
"""What is shorter is not cut: it has no frame to compare with others."""
SHARD_UTTERANCES = 256
SUMMARY, INCOMPLETE = "packed.json", "packing.json"


class Packing(NamedTuple):
    """What `pack` did; `skipped` is written to skipped.tsv as well."""

    utterances: int
    hours: float
    skipped: list[Skipped]


def trim_corpus(
    directory: str | Path, labels: str | Path | None = None, nj: int = 1, progress: Progress = lambda *_: None
) -> list[Skipped]:
    """Cuts the silence at both ends of every utterance, by writing `segments`; running it again changes nothing.

    Args:
        labels: folder of HTK phone labels, SPEAKER/KEY.lab or KEY.lab; an utterance that has none, and
            every utterance where there is no folder, is cut by its level (`audio.trim_bounds`).
        nj: processes.

    Returns:
        What could not be read; it is left as it was, for `pack` to skip.

    Raises:
        InputError: there is no such folder of labels, or a label file in it is none.
    """
    if labels is not None and not Path(labels).is_dir():
        raise InputError(f"{labels}: no such folder of labels; mend the path, or cut without labels")
    utterances = corpus.Corpus(directory)
    trimmed, skipped = [], []
    work = partial(_trimmed, Path(labels) if labels else None)
    for utt, reason in parallel_map(work, utterances, len(utterances), nj, progress):
        trimmed.append(utt)
        if reason:
            skipped.append(Skipped(utt.key, utt.path, reason))
    corpus.write(directory, trimmed)
    return skipped


def pack(
    directory: str | Path, sample_rate: int, nj: int = 1, progress: Progress = lambda *_: None, bits: int = 8
) -> Packing:
    """Writes DIRECTORY/packed: 8-bit mu-law shards of SHARD_UTTERANCES utterances each, with their tables.

    A shard that is there for the same utterances is kept, so what was interrupted goes on.  The bytes do
    not depend on nj.  An utterance that cannot be read is skipped and reported, never fatal.

    Args:
        sample_rate: Hz, of the shards.
        nj: processes.
        bits: a sample; 8 is mu-law, 16 is linear, for a vocoder that shall sound better than mu-law.

    Raises:
        InputError: nothing at all could be read.
    """
    directory, utterances = Path(directory), corpus.Corpus(directory)
    folder = directory / "packed"
    with exclusive_lock(folder):
        total, shards = _prepare_shards(folder, utterances, sample_rate, bits)
        work = partial(_pack_shard, sample_rate, bits)
        skipped = [fault for part in parallel_map(work, shards, total, nj, progress) for fault in part]
        corpus.write_text_atomic(folder / "skipped.tsv", archives.table(Skipped._fields, skipped))
        if len(skipped) == len(utterances):
            raise InputError(
                f"{directory}: none of {len(utterances)} recordings could be read; first: {skipped[0].reason}"
            )
        (folder / INCOMPLETE).replace(folder / SUMMARY)
        packed = archives.MulawShards(folder)
        return Packing(len(packed), int(packed.rows.length.sum()) / sample_rate / 3600, skipped)


def pack_part(
    directory: str | Path, sample_rate: int, part: tuple[int, int], nj: int = 1, progress: Progress = lambda *_: None,
    bits: int = 8,
) -> int:  # fmt: skip
    """Writes some of the shards that `pack` would write, which then finds them there; for many machines at a time.

    Args:
        part: (i, n), the i-th of n parts of the work, 1 <= i <= n.

    Returns:
        How many shards this part has.
    """
    directory = Path(directory)
    utterances, folder = corpus.Corpus(directory), directory / "packed"
    with exclusive_lock(folder, shared=True):
        with in_turn(folder):
            total, shards = _prepare_shards(folder, utterances, sample_rate, bits, part=True)
        assigned = shard_range(range(total), part)
        mine = (shard for number, shard in enumerate(shards) if number in assigned)
        for _ in parallel_map(partial(_pack_shard, sample_rate, bits), mine, len(assigned), nj, progress):
            pass
    return len(assigned)


def _prepare_shards(
    folder: Path, utterances: corpus.Corpus, sample_rate: int, bits: int, part: bool = False
) -> tuple[int, Iterator[tuple[Path, list[Utterance]]]]:
    """The number of shards, and the shards one by one; those of other utterances are removed.

    Readers ask for packed.json, which marks a complete folder: while shards are missing it has another name.  A part of
    the work leaves it in place if everything was packed before.
    """
    total = math.ceil(len(utterances) / SHARD_UTTERANCES)
    summary = {"format": archives.FORMAT, "sample_rate": sample_rate, "shards": total}
    summary |= {"inputs": corpus.fingerprint(utterances)} | ({"bits": bits} if bits != 8 else {})
    complete, incomplete = folder / SUMMARY, folder / INCOMPLETE
    if not (_describes(complete, summary) or _describes(incomplete, summary)):
        for shard in folder.glob("shard-*"):
            shard.unlink()
    if not (part and _describes(complete, summary)):
        corpus.write_text_atomic(incomplete, json.dumps(summary) + "\n")
        complete.unlink(missing_ok=True)
    groups = corpus.batches(utterances, SHARD_UTTERANCES)
    return total, ((folder / f"shard-{number:05d}", group) for number, group in enumerate(groups))


def _trimmed(labels: Path | None, utt: Utterance) -> tuple[Utterance, str]:
    """The trimmed utterance, or the utterance as it is and the reason."""
    try:
        if labels is not None:
            for path in (labels / utt.speaker / f"{utt.key}.lab", labels / f"{utt.key}.lab"):
                if path.is_file():
                    sounds = [(start, end) for start, end, phone in read_htk(path) if phone.lower() not in PAUSES]
                    if sounds and sounds[0][0] < audio.info(utt.path)[1]:  # else: labels of something longer
                        return _bounded(utt, 0.0, sounds[0][0], sounds[-1][1]), ""
        if utt.end_s is not None:
            return utt, ""  # cut before
        rate, _ = audio.info(utt.path)
        wave = audio.read(utt.path, rate, utt.start_s)
        if len(wave) < rate * SHORTEST_S:
            return utt, ""
        return _bounded(utt, utt.start_s, *audio.trim_bounds(wave, rate)), ""
    except InputError as error:
        return utt, str(error)


def _bounded(utt: Utterance, origin_s: float, start_s: float, end_s: float) -> Utterance:
    """The utterance from start to end, seconds after the origin, with a margin and within the recording."""
    start, end = origin_s + start_s - MARGIN_S, origin_s + end_s + MARGIN_S
    duration = audio.info(utt.path)[1]
    return replace(utt, start_s=max(0.0, start), end_s=min(duration, end))


def _pack_shard(sample_rate: int, bits: int, shard: tuple[Path, list[Utterance]]) -> list[Skipped]:
    """Writes one shard, unless it is there; returns what it lacks."""
    stem, utterances = shard
    table, skipped, suffix = stem.with_suffix(".tsv"), [], archives.STORED[bits][0]
    if table.exists() and stem.with_suffix(suffix).exists():
        packed_keys = {row.key for row in archives.read_rows(table, 0)}
        lacking = [(utt, _samples(utt, sample_rate, bits)[1]) for utt in utterances if utt.key not in packed_keys]
        if all(reason for _, reason in lacking):  # else: something reads now that did not
            return [Skipped(utt.key, utt.path, reason) for utt, reason in lacking]

    def packed() -> Iterator[tuple[str, str, NDArray]]:
        for utt in utterances:
            classes, reason = _samples(utt, sample_rate, bits)
            if reason:
                skipped.append(Skipped(utt.key, utt.path, reason))
            else:
                yield utt.key, utt.speaker, classes

    archives.write_shard(stem.with_suffix(suffix), packed())
    return skipped


def _samples(utt: Utterance, sample_rate: int, bits: int) -> tuple[NDArray, str]:
    """The samples of an utterance as they are packed, or none and why."""
    wave, reason = np.zeros(0, np.float32), ""
    try:
        (wave,) = preprocessed([audio.read(utt.path, sample_rate, utt.start_s, utt.end_s)], sample_rate)
    except InputError as error:
        reason = str(error)
    return mulaw.compress(wave) if bits == 8 else np.rint(wave.clip(-1, 1) * 32767).astype("<i2"), reason


def _describes(path: Path, summary: dict) -> bool:
    try:
        return json.loads(path.read_text(encoding="utf-8")) == summary
    except (OSError, ValueError):
        return False
