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
        for entry in merge_tables(folder, names):
            try:
                speaker, source = (entry[name] for name in names[:2])
                path, start_s, end_s = source.rest, 0.0, None
                if segmented:
                    recording, *bounds = source.rest.split()
                    path, (start_s, end_s) = recordings[recording], map(float, bounds)
            except (KeyError, ValueError):
                raise InputError(f"{folder}: was changed while it was read; run again") from None
            text = entry["text"].rest if "text" in entry else None
            end_s = None if end_s is None or end_s < 0 else end_s  # Kaldi: -1 is the end of the recording
            yield Utterance(speaker.key, speaker.rest, path, start_s, end_s, text)


def read(directory: str | Path) -> list[Utterance]:
    """The utterances of a `Corpus`, in memory."""
    return list(Corpus(directory))


def batches(utterances: Iterable[Utterance], size: int) -> Iterator[list[Utterance]]:
    """So many utterances at a time; the last may be fewer."""
    remaining = iter(utterances)
    return iter(lambda: list(islice(remaining, size)), [])


def write(directory: str | Path, utterances: Iterable[Utterance]) -> None:
    """Writes a data directory, each table whole or not at all; the inverse of `read`.

    Bounds are kept to the millisecond; white space in a text becomes one blank.

    Raises:
        InputError: a key twice, or a name that a table cannot hold.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    utterances = sorted(utterances, key=lambda utt: utt.key)
    for utt, following in pairwise(utterances):
        if utt.key == following.key:
            raise InputError(f"{directory}: utterance {utt.key!r} twice; give each recording a name of its own")
    for name in {name for utt in utterances for name in (utt.key, utt.speaker)}:
        if reason := bad_name(name):
            raise InputError(f"{directory}: name {name!r} {reason}; rename it")
    has_bounds = any(utt.start_s or utt.end_s is not None for utt in utterances)
    tables: dict[str, list[str]] = defaultdict(list)
    speakers: dict[str, list[str]] = defaultdict(list)
    for utt in utterances:
        tables["wav.scp"].append(f"{utt.key} {utt.path}")
        tables["utt2spk"].append(f"{utt.key} {utt.speaker}")
        speakers[utt.speaker].append(utt.key)
        if utt.text is not None:
            tables["text"].append(f"{utt.key} {' '.join(utt.text.split())}")
        if has_bounds:
            end_s = -1 if utt.end_s is None else utt.end_s
            tables["segments"].append(f"{utt.key} {utt.key} {utt.start_s:.3f} {end_s:.3f}")
    tables["spk2utt"] = [f"{speaker} {' '.join(keys)}" for speaker, keys in sorted(speakers.items())]
    for name in TABLES:
        if name in tables:
            write_text_atomic(directory / name, "".join(f"{row}\n" for row in tables[name]))
        else:
            (directory / name).unlink(missing_ok=True)


def validate(directory: str | Path) -> list[Fault]:
    """Every fault of a data directory, those of the files that it names included; empty if it is sound."""
    table = Path(directory) / "wav.scp"
    faults, _ = find_faults(table.parent)
    for line, _, path in _readable_rows(table):
        if path.endswith("|") or path.startswith("|"):
            continue  # reported already
        if not Path(path).is_file():
            faults.append(Fault(table, line, path, "is no file", "paths start at the working directory; mend it"))
        elif Path(path).stat().st_size == 0:
            faults.append(Fault(table, line, path, "is empty", "copy the recording again or delete the row"))
    return faults + _bounds_faults(table.parent)


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
    merged: dict[str, Utterance] = {}
    for directory in directories:
        for utt in read(directory):
            if utt.key in merged:
                raise InputError(f"{directory}: utterance {utt.key!r} is in another directory too; rename one of them")
            merged[utt.key] = utt
    return [merged[key] for key in sorted(merged)]


def fingerprint(utterances: Iterable[Utterance]) -> str:
    """Names, bounds and recordings of utterances, by SHA-256 (hex): a file that was replaced makes another one."""
    digest = hashlib.sha256()
    for utt in utterances:
        try:
            status = Path(utt.path).stat()
            version = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:
            version = "missing"
        digest.update(f"{utt.key} {utt.speaker} {utt.path} {utt.start_s} {utt.end_s} {version}\n".encode())
    return digest.hexdigest()


def write_text_atomic(path: Path, text: str) -> None:
    """Writes a file so that it is there whole or not at all."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def _readable_rows(path: Path) -> Iterator[Row]:
    """The rows of a table that can be read."""
    with suppress(OSError, ValueError):
        yield from rows(path)
