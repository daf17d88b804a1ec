"""What a data directory holds of its utterances, mapped into memory: packed speech, and codes."""

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech.errors import InputError
from vqspeech.files import arriving

FORMAT = 1


class Row(NamedTuple):
    """Where one utterance lies: symbols (samples or codes) from `offset` on, `length` of them, in `shard`."""

    key: str
    speaker: str
    shard: int
    offset: int
    length: int


class Packed:
    """The packed utterances of a data directory, mapped into memory, never read whole.

    Args:
        directory: a `packed` folder as `vqspeech data pack` writes it: `packed.json`, and
            `shard-NNNNN.u8` with `shard-NNNNN.tsv` (key, speaker, offset, length).

    Raises:
        InputError: the folder is missing, of another format, lacks a shard, or has one shorter than its
            table says.
    """

    def __init__(self, directory: str | Path) -> None:
        directory = Path(directory)
        about = _about(directory / "packed.json", "holds no packed speech; run `vqspeech data pack` on its folder")
        self.sample_rate: int = _number(directory / "packed.json", about, "sample_rate")
        self.rows: list[Row] = []
        self._shards: list[Path] = sorted(directory.glob("shard-*.u8"))
        if len(self._shards) != about.get("shards"):
            raise InputError(f"{directory}: {len(self._shards)} of {about.get('shards')} shards are there; pack again")
        for number, shard in enumerate(self._shards):
            rows, size = read_rows(shard.with_suffix(".tsv"), number), shard.stat().st_size
            end = max((row.offset + row.length for row in rows), default=0)
            if end > size or any(row.offset < 0 or row.length < 0 for row in rows):
                raise InputError(f"{shard}: {size} bytes, its table speaks of {end}; delete it and pack again")
            self.rows += rows
        if not self.rows:
            raise InputError(f"{directory}: holds no utterance; pack again and look at skipped.tsv")
        self.speakers: list[str] = sorted({row.speaker for row in self.rows})

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """The mu-law classes of one utterance, (time,)."""
        row = self.rows[index]
        return self._map(row.shard)[row.offset : row.offset + row.length]

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "_maps"}

    def _map(self, shard: int) -> NDArray[np.uint8]:
        maps = self.__dict__.setdefault("_maps", {})
        if shard not in maps:
            maps[shard] = np.memmap(self._shards[shard], dtype=np.uint8, mode="r")
        return maps[shard]


class Codes:
    """The codes of a data directory, mapped into memory: what `vqspeech tokenize` made of it.

    Args:
        directory: a Kaldi data directory with `codes.scp`.

    Raises:
        InputError: it has no codes, or they are not whole.
    """

    def __init__(self, directory: str | Path) -> None:
        directory = Path(directory)
        scp, about = directory / "codes.scp", directory / "codes" / "about.json"
        self.about = _about(about, "holds no codes; run `vqspeech tokenize` on its directory")
        if not isinstance(self.about.get("model"), str):
            raise InputError(f"{about}: names no model; tokenize again")
        for key in ("codes", "hop", "sample_rate"):
            _number(about, self.about, key)
        try:
            places = [line.split() for line in scp.read_text(encoding="utf-8").splitlines()]
            speakers = dict(line.split() for line in (directory / "utt2spk").read_text(encoding="utf-8").splitlines())
        except (OSError, ValueError):
            raise InputError(f"{directory}: has no codes; run `vqspeech tokenize` on it") from None
        self._archives: list[NDArray[np.uint16]] = []
        self.rows: list[Row] = []
        known: dict[str, int] = {}
        for line, fields in enumerate(places, 1):
            try:
                key, place = fields
                path, offset, length = place.rsplit(":", 2)
                if path not in known:
                    known[path] = len(known)
                    self._archives.append(np.memmap(path, dtype="<u2", mode="r"))
                row = Row(key, speakers[key], known[path], int(offset), int(length))
                if not 0 <= row.offset <= row.offset + row.length <= len(self._archives[row.shard]):
                    raise ValueError("beyond the end of its archive")
            except (OSError, ValueError, KeyError) as error:
                raise InputError(
                    f"{scp}:{line}: {' '.join(fields)!r} cannot be read ({error}); tokenize again"
                ) from None
            self.rows.append(row)
        if not self.rows:
            raise InputError(f"{scp}: is empty; tokenize again")
        self.speakers: list[str] = sorted({row.speaker for row in self.rows})

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[NDArray[np.uint16]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> NDArray[np.uint16]:
        """The codes of one utterance, (frames,)."""
        row = self.rows[index]
        return self._archives[row.shard][row.offset : row.offset + row.length]


def _about(path: Path, cure: str) -> dict[str, Any]:
    """What is said of all shards together."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{path.parent}: {cure}") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        told = about.get("format") if isinstance(about, dict) else "unknown"
        raise InputError(f"{path}: format {told}, this version reads {FORMAT}; make it again")
    return about


def _number(path: Path, about: dict[str, Any], key: str) -> int:
    if not isinstance(value := about.get(key), int) or value < 1:
        raise InputError(f"{path}: has no {key}; make it again")
    return value


def write_shard(shard: Path, utterances: Iterable[tuple[str, str, NDArray]]) -> None:
    """Writes the symbols of utterances (key, speaker, symbols) one after another, and their table beside it.

    The table comes last: where it is, the shard is whole.
    """
    shard.with_suffix(".tsv").unlink(missing_ok=True)
    rows, offset = [], 0
    with arriving(shard) as part, part.open("wb") as file:
        for key, speaker, symbols in utterances:
            file.write(symbols.tobytes())
            rows.append((key, speaker, offset, len(symbols)))
            offset += len(symbols)
        file.flush()
        os.fsync(file.fileno())
    with arriving(shard.with_suffix(".tsv")) as part:
        part.write_text(table(("key", "speaker", "offset", "length"), rows), encoding="utf-8")


def read_rows(table: Path, shard: int) -> list[Row]:
    """The rows of a shard's table."""
    try:
        with table.open(encoding="utf-8", newline="") as file:
            return [
                Row(row["key"], row["speaker"], shard, int(row["offset"]), int(row["length"]))
                for row in csv.DictReader(file, delimiter="\t")
            ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{table}: is no table of a shard ({error}); delete the shard and pack again") from None


def table(header: Iterable[str], rows: Iterable[Iterable]) -> str:
    """Rows as tab-separated text under a header, as `read_rows` reads them."""
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows([list(header), *rows])
    return text.getvalue()
