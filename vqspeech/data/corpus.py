"""Kaldi data directories: read, write, validate, split, combine.

```
wav.scp    recording path              utt2spk    utterance speaker       text       utterance words...
segments   utterance recording start_s end_s      spk2utt    speaker utterances...
```
Without `segments` a recording is an utterance.  All tables are sorted by key, as Unicode code points (what
`LC_ALL=C sort` does).  Paths are relative to the working directory, as Kaldi has them.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

from vqspeech import audio
from vqspeech.data.kaldi import TABLES, Fault, Row, bad_name, find_faults, merge_tables, rows
from vqspeech.errors import InputError
from vqspeech.system.files import atomic_path

SLACK_S = 0.01
"""By which a segment may end after its recording: bounds are rounded."""


@dataclass(frozen=True)
class Utterance:
    """Utterance: a segment of a recording by one speaker; end_s None is the end of the recording."""

    key: str
    speaker: str
    path: str
    start_s: float = 0.0
    end_s: float | None = None
    text: str | None = None


class Skipped(NamedTuple):
    """An utterance that could not be read, and why."""

    key: str
    path: str
    reason: str


class Corpus:
    """The utterances of a data directory, sorted by key, read from its tables whenever they are walked through.

    They are not held in memory: a million take what one takes, but for the recordings of `segments`.

    Raises:
        InputError: the first of its faults (files that wav.scp names are not opened).
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        faults, self._size = find_faults(self.directory)
        if faults:
            more = f" (and {len(faults) - 1} more: see `vqspeech data validate`)" if len(faults) > 1 else ""
            raise InputError(f"{faults[0]}{more}")

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Utterance]:
        folder = self.directory
        segmented = (folder / "segments").is_file()
        recordings = {row.key: row.rest for row in rows(folder / "wav.scp")} if segmented else {}
        names = ["utt2spk", "segments" if segmented else "wav.scp"]
        names += ["text"] if (folder / "text").is_file() else []
        for found in merge_tables(folder, names):
            try:
                speaker, spoken = (found[name] for name in names[:2])
                path, start_s, end_s = spoken.rest, 0.0, None
                if segmented:
                    recording, *bounds = spoken.rest.split()
                    path, (start_s, end_s) = recordings[recording], map(float, bounds)
            except (KeyError, ValueError):
                raise InputError(f"{folder}: was changed while it was read; run again") from None
            text = found["text"].rest if "text" in found else None
            end_s = None if end_s is None or end_s < 0 else end_s  # Kaldi: -1 is the end of the recording
            yield Utterance(speaker.key, speaker.rest, path, start_s, end_s, text)


def read(directory: str | Path) -> list[Utterance]:
    """The utterances of a `Corpus`, in memory."""
    return list(Corpus(directory))


def batches(utterances: Iterable[Utterance], size: int) -> Iterator[list[Utterance]]:
    """So many utterances at a time; the last may be fewer."""
    rest = iter(utterances)
    return iter(lambda: list(islice(rest, size)), [])


def write(directory: str | Path, utterances: Iterable[Utterance]) -> None:
    """Writes a data directory, each table whole or not at all; the inverse of `read`.

    Bounds are kept to the millisecond; white space in a text becomes one blank.

    Raises:
        InputError: a key twice, or a name that a table cannot hold.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    utterances = sorted(utterances, key=lambda one: one.key)
    for one, after in pairwise(utterances):
        if one.key == after.key:
            raise InputError(f"{directory}: utterance {one.key!r} twice; give each recording a name of its own")
    for name in {name for one in utterances for name in (one.key, one.speaker)}:
        if reason := bad_name(name):
            raise InputError(f"{directory}: name {name!r} {reason}; rename it")
    cut = any(one.start_s or one.end_s is not None for one in utterances)
    tables: dict[str, list[str]] = defaultdict(list)
    speakers: dict[str, list[str]] = defaultdict(list)
    for one in utterances:
        tables["wav.scp"].append(f"{one.key} {one.path}")
        tables["utt2spk"].append(f"{one.key} {one.speaker}")
        speakers[one.speaker].append(one.key)
        if one.text is not None:
            tables["text"].append(f"{one.key} {' '.join(one.text.split())}")
        if cut:
            end_s = -1 if one.end_s is None else one.end_s
            tables["segments"].append(f"{one.key} {one.key} {one.start_s:.3f} {end_s:.3f}")
    tables["spk2utt"] = [f"{speaker} {' '.join(keys)}" for speaker, keys in sorted(speakers.items())]
    for name in TABLES:
        if name in tables:
            write_text_atomic(directory / name, "".join(f"{row}\n" for row in tables[name]))
        else:
            (directory / name).unlink(missing_ok=True)


def validate(directory: str | Path) -> list[Fault]:
    """Every fault of a data directory, those of the files that it names included; empty if it is sound."""
    where = Path(directory) / "wav.scp"
    faults, _ = find_faults(where.parent)
    for line, _, path in _readable_rows(where):
        if path.endswith("|") or path.startswith("|"):
            continue  # reported already
        if not Path(path).is_file():
            faults.append(Fault(where, line, path, "is no file", "paths start at the working directory; mend it"))
        elif Path(path).stat().st_size == 0:
            faults.append(Fault(where, line, path, "is empty", "copy the recording again or delete the row"))
    return faults + _bounds_faults(where.parent)


def _bounds_faults(directory: Path) -> list[Fault]:
    """Segments that reach beyond their recordings, of those that can be opened."""
    faults, paths = [], {row.key: row.rest for row in _readable_rows(directory / "wav.scp")}
    durations: dict[str, float] = {}
    for line, key, rest in _readable_rows(directory / "segments"):
        with suppress(ValueError, KeyError, InputError):
            recording, *bounds = rest.split()
            start_s, end_s = map(float, bounds)
            if recording not in durations:
                durations[recording] = audio.info(paths[recording])[1]
            if max(start_s + SLACK_S, end_s) > durations[recording] + SLACK_S:
                reason = f"reaches to {max(start_s, end_s):g} s, its recording ends at {durations[recording]:g} s"
                faults.append(Fault(directory / "segments", line, key, reason, "mend the bounds or the recording"))
    return faults


def combine(directories: Iterable[str | Path]) -> list[Utterance]:
    """The utterances of several data directories.

    Raises:
        InputError: two of them have the same key.
    """
    found: dict[str, Utterance] = {}
    for directory in directories:
        for one in read(directory):
            if one.key in found:
                raise InputError(f"{directory}: utterance {one.key!r} is in another directory too; rename one of them")
            found[one.key] = one
    return [found[key] for key in sorted(found)]


def fingerprint(utterances: Iterable[Utterance]) -> str:
    """Names, bounds and recordings of utterances, by SHA-256 (hex): a file that was replaced makes another one."""
    digest = hashlib.sha256()
    for one in utterances:
        try:
            status = Path(one.path).stat()
            version = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:
            version = "missing"
        digest.update(f"{one.key} {one.speaker} {one.path} {one.start_s} {one.end_s} {version}\n".encode())
    return digest.hexdigest()


def write_text_atomic(path: Path, text: str) -> None:
    """Writes a file so that it is there whole or not at all."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def _readable_rows(path: Path) -> Iterator[Row]:
    """The rows of a table that can be read."""
    with suppress(OSError, ValueError):
        yield from rows(path)
