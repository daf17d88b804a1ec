"""Phones: names, manners of articulation, times in an utterance, and label files.

```
phones.ctm    utterance 1 start_s duration_s phone       in the order of utterances and time
```
Times count from the start of the utterance, also where `segments` cuts it out of a longer recording.
"""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech.data import corpus
from vqspeech.errors import InputError

PAUSE = "pau"
MANNERS = {
    "vowel": "aa ae ah ao aw ax ay eh er ey ih iy ow oy uh uw",
    "stop": "b d g k p t",
    "affricate": "ch jh",
    "fricative": "dh f hh s sh th v z zh",
    "nasal": "m n ng",
    "approximant": "l r w y",
    "pause": PAUSE,
}
"""The 41 phones of the paper (the VCTK of its time was labelled with Festival's), by manner of articulation."""
PHONES = tuple(sorted(phone for phones in MANNERS.values() for phone in phones.split()))
_SAME = {
    PAUSE: "sil sp spn # <eps> +spn+ +noise+ +breath+ +cough+ +smack+ +um+ +uh+ h# pcl tcl kcl bcl dcl gcl epi q",
    "ax": "ax-h", "ah": "@", "er": "axr", "ih": "ix", "uw": "ux", "l": "el", "m": "em", "n": "en nx", "ng": "eng",
    "t": "dx", "hh": "hv h",
}  # fmt: skip
_FOLDED = {alias: phone for phone, aliases in _SAME.items() for alias in aliases.split()} | {"": PAUSE}
PAUSES = frozenset({PAUSE, "", *_SAME[PAUSE].split()})
_HTK_UNITS = 1e7  # HTK counts time in units of 100 ns


class Phone(NamedTuple):
    """Phone with its start and end in seconds."""

    start_s: float
    end_s: float
    phone: str


def fold(phone: str) -> str:
    """One of PHONES for a phone of ARPAbet, TIMIT or CMUdict, with stress or without.

    >>> fold("AH0"), fold("sil"), fold("dx")
    ('ah', 'pau', 't')

    Raises:
        InputError: it is no such phone.
    """
    name = phone.lower()
    name = re.sub(r"(?<=[a-z])[0-2]$", "", name)
    name = _FOLDED.get(name, name)
    if name not in PHONES:
        nearest = difflib.get_close_matches(name, PHONES, 1, 0.3)
        hint = f" (nearest: {nearest[0]})" if nearest else ""
        raise InputError(f"phone {phone!r} is not of ARPAbet, TIMIT or CMUdict{hint}; rename it")
    return name


def write(directory: str | Path, phones: dict[str, list[Phone]]) -> None:
    """Writes phones.ctm."""
    rows = (
        f"{key} 1 {phone.start_s:.4f} {phone.end_s - phone.start_s:.4f} {phone.phone or PAUSE}\n"
        for key in sorted(phones)
        for phone in phones[key]
    )
    corpus.write_text_atomic(Path(directory) / "phones.ctm", "".join(rows))


def read(directory: str | Path) -> dict[str, list[Phone]]:
    """The phones of each utterance of a data directory; the inverse of `write`.

    Raises:
        InputError: there is no phones.ctm, or it is none.
    """
    path = Path(directory) / "phones.ctm"
    if not path.is_file():
        raise InputError(f"{path}: is missing; make it with `vqspeech data align {directory}`")
    return read_ctm(path)


def read_ctm(path: Path) -> dict[str, list[Phone]]:
    """The rows `utterance channel start_s duration_s phone` of a CTM file, by utterance and in order of time.

    Raises:
        InputError: a row is none.
    """
    phones: dict[str, list[Phone]] = {}
    for line, row in enumerate(_text(path).splitlines(), 1):
        if not row.strip() or row.startswith(";;"):
            continue
        try:
            key, _, start, duration, phone = row.split()[:5]
            interval = Phone(float(start), float(start) + float(duration), phone)
            if not 0 <= interval.start_s <= interval.end_s < np.inf:
                raise ValueError
        except ValueError:
            form = "`utterance channel start_s duration_s phone`"
            raise InputError(f"{path}:{line}: {row[:60]!r} is not {form}; mend it") from None
        phones.setdefault(key, []).append(interval)
    return {key: sorted(rows) for key, rows in phones.items()}


def read_htk(path: Path) -> list[Phone]:
    """The rows of an HTK label file.

    Raises:
        InputError: a row is not `start end phone` in units of 100 ns.
    """
    rows = []
    for line, row in enumerate(_text(path).splitlines(), 1):
        fields = row.split()
        if not fields or fields == ["#"]:
            continue
        try:
            phone = fields[2] if fields[2:] else ""
            rows.append(Phone(int(fields[0]) / _HTK_UNITS, int(fields[1]) / _HTK_UNITS, phone))
        except (ValueError, IndexError):
            form = "`start end phone` in units of 100 ns"
            raise InputError(f"{path}:{line}: {row[:60]!r} is not {form}; mend it") from None
    return rows


def read_textgrid(path: Path) -> list[Phone]:
    """The intervals of a Praat TextGrid's tier of phones, as the Montreal Forced Aligner writes it.

    Raises:
        InputError: it is no TextGrid, or has no tier whose name speaks of phones.
    """
    try:
        from praatio import textgrid
        from praatio.utilities.errors import PraatioException
    except ImportError:
        raise InputError("TextGrids need praatio; pip install 'vqspeech[measure]'") from None
    try:
        grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=True)
    except (PraatioException, OSError, ValueError, IndexError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: is no TextGrid ({type(error).__name__}); export it from Praat again") from None
    tiers = [name for name in grid.tierNames if name.lower().endswith(("phones", "phone", "phonemes", "segments"))]
    if not tiers:
        raise InputError(f"{path}: has no tier of phones (but {', '.join(grid.tierNames)}); name it `phones`")
    return [Phone(*interval) for interval in grid.getTier(tiers[0]).entries]


def frame_phones(phones: Iterable[Phone], frames: int, hop: int, sample_rate: int) -> NDArray[np.int64]:
    """Phone index at the middle of each frame; that of a pause where there is none."""
    labels = np.full(frames, PHONES.index(PAUSE))
    middles = (np.arange(frames) + 0.5) * hop / sample_rate
    for start_s, end_s, phone in phones:
        labels[np.searchsorted(middles, start_s) : np.searchsorted(middles, end_s)] = PHONES.index(fold(phone))
    return labels


def boundary_errors(phones: list[Phone], reference: list[Phone]) -> NDArray[np.float64]:
    """Distance of each phone boundary to the nearest one of `reference`, in s; consecutive pauses count as one."""
    ours, theirs = (_boundaries(rows) for rows in (phones, reference))
    return np.abs(ours[:, None] - theirs[None]).min(axis=1) if len(theirs) else np.full(len(ours), np.inf)


def _boundaries(phones: list[Phone]) -> NDArray[np.float64]:
    names = [fold(phone.phone) for phone in phones]
    return np.array([phone.start_s for at, phone in enumerate(phones) if at and names[at] != names[at - 1]])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
