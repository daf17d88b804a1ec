"""Kaldi tables: rows of a key and values, sorted by key; and their faults."""

import heapq
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

TABLES = {"wav.scp": 2, "utt2spk": 2, "spk2utt": 2, "text": 1, "segments": 4}
"""Those of a data directory, and how many fields a row has at least."""
_BLANKS = " \t\n\r\f\v"
_SPACE = re.compile(f"[{_BLANKS}]+")


class Row(NamedTuple):
    """A line of a table: its key, and what follows."""

    line: int
    key: str
    rest: str


@dataclass(frozen=True)
class Fault:
    """Fault of a data directory, with its cure; `line` 0 is the file as a whole."""

    path: Path
    line: int
    value: str
    reason: str
    cure: str

    def __str__(self) -> str:
        position = f"{self.path}:{self.line}" if self.line else f"{self.path}"
        value = f" {self.value!r}" if self.value else ""
        return f"{position}:{value} {self.reason}; {self.cure}"


def rows(path: Path) -> Iterator[Row]:
    """The rows of a table, one after another: a key, white space of any kind (ASCII), and the rest.

    Raises:
        ValueError: a line is not UTF-8.
    """
    with path.open("rb") as file:
        for line, row in enumerate(file, 1):
            try:
                key, rest = _SPACE.split(row.decode("utf-8").strip(_BLANKS) + " ", maxsplit=1)
            except UnicodeDecodeError as error:
                raise ValueError(f"{line}:{error.start}") from None
            yield Row(line, key, rest.strip(_BLANKS))


def merge_tables(directory: Path, names: Iterable[str]) -> Iterator[dict[str, Row]]:
    """For each key of sorted tables, in order, the rows that they have of it, by the name of the table."""

    def tagged(name: str) -> Iterator[tuple[str, str, Row]]:
        return ((row.key, name, row) for row in rows(directory / name))

    merged = heapq.merge(*map(tagged, names), key=itemgetter(0))
    for _, group in groupby(merged, key=itemgetter(0)):
        yield {name: row for _, name, row in group}


def find_faults(directory: Path) -> tuple[list[Fault], int]:
    """Faults of the tables, each by itself and between them; and the number of utterances."""
    faults, sizes = [], {}
    for name, fields in TABLES.items():
        path = directory / name
        if path.is_file():
            table_faults, sizes[name] = _table_faults(path, fields)
            faults += table_faults
        elif name in ("wav.scp", "utt2spk"):
            faults.append(Fault(path, 0, "", "is missing", "a data directory needs it"))
    if -1 not in sizes.values() and "wav.scp" in sizes and "utt2spk" in sizes:
        faults += _cross_faults(directory, set(sizes))
    return faults, sizes.get("utt2spk", 0)


def _table_faults(path: Path, fields: int) -> tuple[list[Fault], int]:
    """What is wrong within a table, and its rows; -1 if they cannot be read in order."""
    faults, last, in_order, line = [], Row(0, "", ""), True, 0
    try:
        for row in rows(path):
            line, key, rest = row
            fault = _row_fault(path.name, fields, key, rest)
            if line > 1 and key == last.key:
                fault = (key, f"is there twice (line {last.line})", "keep one of the rows")
            elif key < last.key:
                fault = fault or (
                    key,
                    f"comes after {last.key!r}: the table is not sorted",
                    "sort it with LC_ALL=C sort",
                )
            if fault:
                faults.append(Fault(path, line, *fault))
            in_order &= line == 1 or key > last.key
            last = max(last, row, key=lambda item: item.key)
    except ValueError as error:
        line, byte = map(int, str(error).split(":"))
        return [*faults, Fault(path, line, "", f"is not UTF-8 (byte {byte})", "convert it with iconv")], -1
    if not line:
        faults.append(Fault(path, 0, "", "is empty", "list at least one row or delete the file"))
    return faults, line if in_order else -1


def _row_fault(name: str, fields: int, key: str, rest: str) -> tuple[str, str, str] | None:
    if reason := bad_name(key):
        return key, reason, "rename it"
    if fields > 1 and len(rest.split(maxsplit=fields - 2)) < fields - 1:
        return f"{key} {rest}".strip(), f"has fewer than {fields} fields", "separate them by white space"
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
    """Why a name is not valid as a key or a speaker, or None: names become file names and table fields."""
    if not name or name in (".", ".."):
        return "is no name"
    if "/" in name or "\\" in name:
        return "has a slash in its name"
    if any(character.isspace() or not character.isprintable() for character in name):
        return "has a space or an invisible character in its name"
    return None


def _cross_faults(directory: Path, names: set[str]) -> list[Fault]:
    """What is wrong between the tables."""
    faults, origin = [], "segments" if "segments" in names else "wav.scp"
    totals: dict[str, tuple[int, int]] = {}  # of each speaker, its utterances and the sum of their keys' hashes

    def lacks(row: Row, name: str, required: str) -> None:
        cure = f"add it to {required} or delete it here"
        faults.append(Fault(directory / name, row.line, row.key, f"is missing in {required}", cure))

    for entry in merge_tables(directory, names & {"utt2spk", origin, "text"}):
        for name, required in (("utt2spk", origin), (origin, "utt2spk"), ("text", "utt2spk")):
            if name in entry and required not in entry:
                lacks(entry[name], name, required)
        if speaker := entry.get("utt2spk"):
            number, total = totals.get(speaker.rest, (0, 0))
            totals[speaker.rest] = number + 1, total + hash(speaker.key)
    if origin == "segments":
        recordings = {row.key for row in rows(directory / "wav.scp")}
        for row in rows(directory / "segments"):
            if row.rest and row.rest.split()[0] not in recordings:
                reason = f"names recording {row.rest.split()[0]!r}, which wav.scp does not list"
                cure = "add the recording or mend the name"
                faults.append(Fault(directory / "segments", row.line, row.key, reason, cure))
    if "spk2utt" in names:
        listed, lines = {}, {}
        for row in rows(directory / "spk2utt"):
            keys = set(row.rest.split())
            listed[row.key], lines[row.key] = (len(keys), sum(map(hash, keys))), row.line
        for speaker in sorted(totals.keys() | listed.keys()):
            if listed.get(speaker) != totals.get(speaker):
                reason, cure = (
                    "does not have the utterances of utt2spk",
                    "delete spk2utt, or write it anew from utt2spk",
                )
                faults.append(Fault(directory / "spk2utt", lines.get(speaker, 0), speaker, reason, cure))
    return faults
