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
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from vqspeech.errors import InputError
from vqspeech.files import arriving

_TABLES = {"wav.scp": 2, "utt2spk": 2, "spk2utt": 2, "text": 1, "segments": 4}


@dataclass(frozen=True)
class Utterance:
    """A stretch of a recording that one speaker says; end_s None is the recording's end."""

    key: str
    speaker: str
    path: str
    start_s: float = 0.0
    end_s: float | None = None
    text: str | None = None


@dataclass(frozen=True)
class Fault:
    """What is wrong in a data directory, and how to mend it; `line` 0 is the file as a whole."""

    path: Path
    line: int
    value: str
    reason: str
    cure: str

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else f"{self.path}"
        value = f" {self.value!r}" if self.value else ""
        return f"{where}:{value} {self.reason}; {self.cure}"


class Skipped(NamedTuple):
    """An utterance that could not be read, and why."""

    key: str
    path: str
    reason: str


def read(directory: str | Path) -> list[Utterance]:
    """The utterances of a data directory, sorted by key.

    Raises:
        InputError: the first of its faults (files that wav.scp names are not opened).
    """
    directory = Path(directory)
    tables, faults = _read_tables(directory)
    faults = faults + _cross_faults(directory, tables)
    if faults:
        more = f" (and {len(faults) - 1} more: see `vqspeech data validate`)" if len(faults) > 1 else ""
        raise InputError(f"{faults[0]}{more}")
    segments, texts = tables.get("segments"), tables.get("text", {})
    utterances = []
    for key, (_, speaker) in tables["utt2spk"].items():
        text = texts[key][1] if key in texts else None
        if segments is None:
            utterances.append(Utterance(key, speaker, tables["wav.scp"][key][1], text=text))
        else:
            recording, start, end = segments[key][1].split()
            path = tables["wav.scp"][recording][1]
            end_s = None if float(end) < 0 else float(end)  # Kaldi: -1 is the end of the recording
            utterances.append(Utterance(key, speaker, path, float(start), end_s, text))
    return utterances


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
    for name in _TABLES:
        if name in tables:
            write_whole(directory / name, "".join(f"{row}\n" for row in tables[name]))
        else:
            (directory / name).unlink(missing_ok=True)


def validate(directory: str | Path) -> list[Fault]:
    """Every fault of a data directory, those of the files that it names included; empty if it is sound."""
    directory = Path(directory)
    tables, faults = _read_tables(directory)
    faults = faults + _cross_faults(directory, tables)
    for line, path in tables.get("wav.scp", {}).values():
        where = directory / "wav.scp"
        if path.endswith("|") or path.startswith("|"):
            continue  # told already
        if not Path(path).is_file():
            faults.append(Fault(where, line, path, "is no file", "paths start at the working directory; mend it"))
        elif Path(path).stat().st_size == 0:
            faults.append(Fault(where, line, path, "is empty", "copy the recording again or delete the row"))
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


def fingerprint(utterances: list[Utterance]) -> str:
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


def write_whole(path: Path, text: str) -> None:
    """Writes a file so that it is there whole or not at all."""
    with arriving(path) as part:
        part.write_text(text, encoding="utf-8")


def _read_tables(directory: Path) -> tuple[dict[str, dict[str, tuple[int, str]]], list[Fault]]:
    """The tables, as {table: {key: (line, rest)}}, and what is wrong within each."""
    tables, faults = {}, []
    for name, fields in _TABLES.items():
        path = directory / name
        if not path.is_file():
            if name in ("wav.scp", "utt2spk"):
                faults.append(Fault(path, 0, "", "is missing", "a data directory needs it"))
            continue
        try:
            rows = path.read_text(encoding="utf-8").split("\n")  # splitlines() ends lines at U+2028 too
            rows = rows[:-1] if not rows[-1] else rows
        except UnicodeDecodeError as error:
            faults.append(Fault(path, 0, "", f"is not UTF-8 (byte {error.start})", "convert it with iconv"))
            continue
        table, last = {}, ""
        for line, row in enumerate(rows, 1):
            key, _, rest = row.partition(" ")
            rest = rest.strip()
            fault = _row_fault(name, fields, key, rest)
            if key in table:
                fault = (key, f"is there twice (line {table[key][0]})", "keep one of the rows")
            elif not fault and key < last:
                fault = (key, f"comes after {last!r}: the table is not sorted", "sort it with LC_ALL=C sort")
            if fault:
                faults.append(Fault(path, line, *fault))
            table.setdefault(key, (line, rest))
            last = max(last, key)
        if not rows:
            faults.append(Fault(path, 0, "", "is empty", "list at least one row or delete the file"))
        tables[name] = table
    return tables, faults


def _row_fault(name: str, fields: int, key: str, rest: str) -> tuple[str, str, str] | None:
    if reason := bad_name(key):
        return key, reason, "rename it"
    if fields > 1 and len(rest.split(maxsplit=fields - 2)) < fields - 1:
        return f"{key} {rest}".strip(), f"has fewer than {fields} fields", "separate them by one space"
    if name == "wav.scp" and rest.strip("|") != rest:
        return rest, "is a command", "decode the recordings to files first and list those"
    if name == "utt2spk" and (reason := bad_name(rest)):
        return rest, reason, "rename the speaker"
    if name == "segments":
        try:
            start, end = (float(number) for number in rest.split()[1:])
        except ValueError:
            return rest, "is not recording, start and end in seconds", "write two numbers"
        if not (0 <= start < end < float("inf") or (0 <= start < float("inf") and end == -1)):
            return rest, "ends before it starts", "write start_s < end_s (or -1 for the end)"
    return None


def bad_name(name: str) -> str | None:
    """Why a key or a speaker cannot be one, if so: names become file names and fields of tables."""
    if not name or name in (".", ".."):
        return "is no name"
    if "/" in name or "\\" in name:
        return "has a slash in its name"
    if any(character.isspace() or not character.isprintable() for character in name):
        return "has a space or an invisible character in its name"
    return None


def _cross_faults(directory: Path, tables: dict[str, dict[str, tuple[int, str]]]) -> list[Fault]:
    """What is wrong between the tables."""
    if "wav.scp" not in tables or "utt2spk" not in tables:
        return []
    faults, wavs, speakers = [], tables["wav.scp"], tables["utt2spk"]
    spoken = tables.get("segments", wavs)
    origin = "segments" if "segments" in tables else "wav.scp"
    pairs = [("utt2spk", speakers, origin, spoken), (origin, spoken, "utt2spk", speakers)]
    if "text" in tables:
        pairs.append(("text", tables["text"], "utt2spk", speakers))
    for name, table, other, keys in pairs:
        for key, (line, _) in table.items():
            if key not in keys:
                cure = f"add it to {other} or delete it here"
                faults.append(Fault(directory / name, line, key, f"is missing in {other}", cure))
    for key, (line, rest) in tables.get("segments", {}).items():
        if rest and rest.split()[0] not in wavs:
            reason = f"names recording {rest.split()[0]!r}, which wav.scp does not list"
            faults.append(Fault(directory / "segments", line, key, reason, "add the recording or mend the name"))
    if "spk2utt" in tables:
        inverse = defaultdict(set)
        for key, (_, speaker) in speakers.items():
            inverse[speaker].add(key)
        for speaker in sorted(set(inverse) | set(tables["spk2utt"])):
            line, keys = tables["spk2utt"].get(speaker, (0, ""))
            if set(keys.split()) != inverse.get(speaker, set()):
                cure = "delete spk2utt, or write it anew from utt2spk"
                faults.append(
                    Fault(directory / "spk2utt", line, speaker, "does not have the utterances of utt2spk", cure)
                )
    return faults
