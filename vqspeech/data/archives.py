"""Shards of packed speech and of codes, mapped into memory."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech.data import kaldi
from vqspeech.data.remote import CachedRemoteFolder, LocalFolder, open_folder
from vqspeech.errors import InputError
from vqspeech.system.files import atomic_path

FORMAT, CODES_FORMAT, NO_CODES = 1, 2, "has no codes; run `vqspeech tokenize` on it"
STORED = {8: (".u8", "u1"), 16: (".i16", "<i2")}
"""Bits a packed sample: the suffix of a shard, and its type."""
MAPPED = 128
"""Files that are mapped at a time: each takes a file descriptor, of which a process may have some thousand."""


class Row(NamedTuple):
    """Place of one utterance: `length` symbols from `offset` on in `shard`."""

    key: str
    speaker: str
    shard: int
    offset: int
    length: int


class Manifest(Sequence[Row]):
    """Manifest: rows of all shards in columns, fifty bytes each instead of the four hundred of objects.

    `speaker` are places in `speakers`, which are sorted; `shard`, `offset` and `length` are those of `Row`.

    Args:
        tables: lists of rows, one after another.
    """

    def __init__(self, tables: Iterable[list[Row]]) -> None:
        names: dict[str, int] = {}
        columns = [
            (
                np.array([row.key.encode() for row in rows], dtype=np.bytes_),
                np.array([names.setdefault(row.speaker, len(names)) for row in rows], np.int32),
                np.array([row.shard for row in rows], np.int32),
                np.array([row.offset for row in rows], np.int64),
                np.array([row.length for row in rows], np.int64),
            )
            for rows in tables
            if rows
        ]
        self.speakers = sorted(names)
        if columns:
            self._keys, speaker, self.shard, self.offset, self.length = map(np.concatenate, zip(*columns, strict=True))
            places = {name: place for place, name in enumerate(self.speakers)}
            self.speaker = np.array([places[name] for name in names], np.int32)[speaker]
        else:
            self._keys = np.zeros(0, np.bytes_)
            self.speaker = self.shard = self.offset = self.length = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        key, speaker = bytes(self._keys[index]).decode(), self.speakers[self.speaker[index]]
        return Row(key, speaker, int(self.shard[index]), int(self.offset[index]), int(self.length[index]))


class MemmapPool:
    """Pool of memory-mapped files by number; the oldest mapping is dropped when there are too many.

    Args:
        find: where a file lies.
        dtype: of a symbol.
        most: how many stay mapped.
    """

    def __init__(self, find: Callable[[int], Path], dtype: str, most: int = MAPPED) -> None:
        self._find, self._dtype, self._most = find, dtype, most
        self._maps: dict[int, NDArray] = {}

    def __getitem__(self, number: int) -> NDArray:
        if number not in self._maps:
            while len(self._maps) >= self._most:
                self._maps.pop(next(iter(self._maps)))
            self._maps[number] = np.memmap(self._find(number), dtype=self._dtype, mode="r")
        return self._maps[number]

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_maps": {}}


class MulawShards:
    """Packed utterances of a data directory, memory-mapped.

    Args:
        directory: a `packed` folder as `vqspeech data pack` writes it: `packed.json`, and
            `shard-NNNNN.u8` (or `.i16`) with `shard-NNNNN.tsv` (key, speaker, offset, length); its path or URL.
        keep: of a URL, how many shards are kept on disk, 0 for all.

    Raises:
        InputError: the folder is missing, of another format, lacks a shard, or has one shorter than its
            table says.
    """

    def __init__(self, directory: str | Path, keep: int = 0) -> None:
        self._folder = open_folder(directory, keep)
        summary = _read_summary(
            self._folder, "packed.json", "holds no packed speech; run `vqspeech data pack` on its folder", FORMAT
        )
        if (bits := summary.get("bits", 8)) not in STORED:
            raise InputError(f"{self._folder}/packed.json: {bits} bits a sample, expected 8 or 16; pack again")
        self._suffix, dtype = STORED[bits]
        self._bytes = np.dtype(dtype).itemsize
        self._maps = MemmapPool(self._file, dtype, min(keep or MAPPED, MAPPED))  # a file that is mapped fills the disk
        seal = f"{self._folder}/packed.json"
        self.sample_rate: int = _number(seal, summary, "sample_rate")
        self._shards = [f"shard-{number:05d}" for number in range(_number(seal, summary, "shards"))]
        self._ends: list[int] = []
        self.rows = Manifest(self._tables())
        if not self.rows:
            raise InputError(f"{directory}: holds no utterance; pack again and look at skipped.tsv")
        self.speakers = self.rows.speakers

    def _tables(self) -> Iterator[list[Row]]:
        for number, rows in enumerate(read_tables(self._folder, [f"{shard}.tsv" for shard in self._shards])):
            self._ends.append(max((row.offset + row.length for row in rows), default=0))
            if any(row.offset < 0 or row.length < 0 for row in rows):
                raise InputError(f"{self._folder}/{self._shards[number]}.tsv: speaks of less than nothing; pack again")
            self._check(number)
            yield rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> NDArray:
        """One utterance, (time,): mu-law classes, uint8, or samples, int16; see `mulaw`.

        Raises:
            InputError: its shard cannot be fetched.
        """
        row = self.rows[index]
        return self._maps[row.shard][row.offset : row.offset + row.length]

    def check_sample_rate(self, sample_rate: int) -> None:
        """Raises InputError where a config wants another sample rate."""
        if self.sample_rate != sample_rate:
            raise InputError(
                f"{self._folder}: packed at {self.sample_rate} Hz, the config wants {sample_rate} Hz; "
                f"pack again with --sample-rate {sample_rate}"
            )

    def _file(self, shard: int) -> Path:
        path = self._folder.file(f"{self._shards[shard]}{self._suffix}")
        self._check(shard)
        return path

    def _check(self, shard: int) -> None:
        name = f"{self._shards[shard]}{self._suffix}"
        path = f"{self._folder}/{name}"
        try:
            size = self._folder.bytes(name)
        except OSError:
            raise InputError(f"{path}: is not there; pack again") from None
        if self._ends[shard] * self._bytes > size:
            raise InputError(f"{path}: {size} bytes, its table speaks of {self._ends[shard]}; delete it and pack again")


class CodeShards:
    """Codes of a data directory, memory-mapped; written by `vqspeech tokenize`.

    Args:
        directory: a Kaldi data directory with `codes.scp`.

    Raises:
        InputError: it has no codes, or they are not whole.
    """

    def __init__(self, directory: str | Path) -> None:
        directory = Path(directory)
        scp, path = directory / "codes.scp", f"{directory}/codes/about.json"
        self.about = _read_summary(LocalFolder(directory / "codes"), "about.json", NO_CODES, CODES_FORMAT)
        if not isinstance(self.about.get("model"), str):
            raise InputError(f"{path}: names no model; tokenize again")
        *_, self.codebooks = (_number(path, self.about, key) for key in ("codes", "hop", "sample_rate", "codebooks"))
        if not (scp.is_file() and (directory / "utt2spk").is_file()):
            raise InputError(f"{directory}: {NO_CODES}")
        self._files: list[Path] = []
        self._maps = MemmapPool(self._files.__getitem__, "<u2")
        rows = self._code_rows(directory)
        self.rows = Manifest(iter(lambda: list(islice(rows, 65536)), []))
        if not self.rows:
            raise InputError(f"{scp}: is empty; tokenize again")
        self.speakers = self.rows.speakers

    def _code_rows(self, directory: Path) -> Iterator[Row]:
        archives: dict[str, int] = {}
        line, described = 0, ""
        try:
            for entry in kaldi.merge_tables(directory, ["codes.scp", "utt2spk"]):
                if "codes.scp" not in entry:
                    continue
                line, key, place = entry["codes.scp"]
                described = f"{key} {place}"
                if "utt2spk" not in entry:
                    raise ValueError("is not in utt2spk, or not in its order")
                path, offset, length = place.rsplit(":", 2)
                if path not in archives:
                    archives[path] = len(archives)
                    self._files.append(Path(path))
                row = Row(key, entry["utt2spk"].rest, archives[path], int(offset), int(length))
                if not 0 <= row.offset <= row.offset + row.length <= len(self._maps[row.shard]) // self.codebooks:
                    raise ValueError("beyond the end of its archive")
                yield row
        except (OSError, ValueError) as error:
            raise InputError(
                f"{directory}/codes.scp:{line}: {described!r} cannot be read ({error}); tokenize again"
            ) from None

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[NDArray[np.uint16]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> NDArray[np.uint16]:
        """The codes of one utterance, (frames, codebooks)."""
        row, number = self.rows[index], self.codebooks
        return self._maps[row.shard][row.offset * number : (row.offset + row.length) * number].reshape(-1, number)


def _read_summary(folder: LocalFolder | CachedRemoteFolder, name: str, cure: str, version: int) -> dict[str, Any]:
    """Metadata of all shards."""
    try:
        summary = json.loads(folder.texts([name])[0])
    except (OSError, ValueError) as error:
        why = f" ({error})" if isinstance(folder, CachedRemoteFolder) else ""
        raise InputError(f"{folder}: {cure}{why}") from None
    if not isinstance(summary, dict) or summary.get("format") != version:
        described = summary.get("format") if isinstance(summary, dict) else "unknown"
        raise InputError(f"{folder}/{name}: format {described}, this version reads {version}; make it again")
    return summary


def _number(path: str, summary: dict[str, Any], key: str) -> int:
    if not isinstance(value := summary.get(key), int) or value < 1:
        raise InputError(f"{path}: has no {key}; make it again")
    return value


def write_shard(shard: Path, utterances: Iterable[tuple[str, str, NDArray]]) -> None:
    """Writes the symbols of utterances (key, speaker, symbols) one after another, and their table beside it.

    The table comes last: where it is, the shard is whole.
    """
    shard.with_suffix(".tsv").unlink(missing_ok=True)
    rows, offset = [], 0
    with atomic_path(shard) as part, part.open("wb") as file:
        for key, speaker, symbols in utterances:
            file.write(symbols.tobytes())
            rows.append((key, speaker, offset, len(symbols)))
            offset += len(symbols)
        file.flush()
        os.fsync(file.fileno())
    with atomic_path(shard.with_suffix(".tsv")) as part:
        part.write_text(table(("key", "speaker", "offset", "length"), rows), encoding="utf-8")


def read_rows(table: Path, shard: int) -> list[Row]:
    """The rows of a shard's table."""
    return next(read_tables(LocalFolder(table.parent), [table.name], shard))


def read_tables(folder: LocalFolder | CachedRemoteFolder, names: list[str], first: int = 0) -> Iterator[list[Row]]:
    """The rows of the tables of shards that are numbered from `first` on."""
    name = names[0] if names else ""
    try:
        for shard, (name, text) in enumerate(zip(names, folder.texts(names), strict=True), first):  # noqa: B007
            yield [
                Row(row["key"], row["speaker"], shard, int(row["offset"]), int(row["length"]))
                for row in csv.DictReader(io.StringIO(text), delimiter="\t")
            ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder}/{name}: is no table of a shard ({error}); delete the shard and pack again"
        ) from None


def table(header: Iterable[str], rows: Iterable[Iterable]) -> str:
    """Rows as tab-separated text under a header, as `read_rows` reads them."""
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows([list(header), *rows])
    return text.getvalue()
