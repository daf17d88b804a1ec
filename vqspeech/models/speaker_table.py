"""Speaker table: metadata of training speakers, and enrolled speakers.

```
exp/name/voices.tsv                 name, seconds of speech it was trained on, level, sex, accent
exp/name/voices/alice.safetensors   a voice that was enrolled: its vector, and the digest of the model it is for
```
"""

import csv
import io
import unicodedata
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from vqspeech.errors import InputError
from vqspeech.system.files import atomic_path

TABLE, FOLDER, SUFFIX, FORMAT = "voices.tsv", "voices", ".safetensors", "1"
LONGEST = 64

Shapes = tuple[tuple[int, ...], tuple[int, ...]]


class SpeakerInfo(NamedTuple):
    """A row of the table; `level_db` is the level of its speech without the pauses, in dB below full scale."""

    name: str
    seconds: float = 0.0
    level_db: float = float("nan")
    sex: str = ""
    accent: str = ""


class EnrolledSpeaker(NamedTuple):
    """A speaker enrolled after training: embedding, (dim,), and adaptation, (features, bands), of an acoustic model."""

    voice: SpeakerInfo
    embedding: NDArray[np.float32]
    adaptation: NDArray[np.float32] = np.zeros((0, 0), np.float32)


def read(folder: Path) -> dict[str, SpeakerInfo]:
    """The table of a model's folder, by name; empty where there is none.

    Raises:
        InputError: it is no such table.
    """
    path = folder / TABLE
    if not path.exists():
        return {}
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")), delimiter="\t", strict=True))
        return {row["name"]: _speaker_info(row) for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: is no table of voices ({reason}); restore the file or delete it") from None


def write(folder: Path, table: list[SpeakerInfo]) -> None:
    """Writes the table; the inverse of `read`."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(SpeakerInfo._fields)
    for speaker in table:
        writer.writerow(
            [speaker.name, f"{speaker.seconds:.1f}", f"{speaker.level_db:.1f}", speaker.sex, speaker.accent]
        )
    with atomic_path(folder / TABLE) as part:
        part.write_text(text.getvalue(), encoding="utf-8")


def check_name(name: str) -> None:
    """Whether a new voice may have this name: letters, digits, `-`, `_` and `.`, no dot in front.

    Raises:
        InputError: it may not.
    """
    letters = all(unicodedata.category(character)[0] in "LMN" or character in "-_." for character in name)
    if not (0 < len(name) <= LONGEST and letters and name[0] not in ".-"):
        raise InputError(
            f"{name[:LONGEST]!r} cannot name a voice; take up to {LONGEST} letters, digits, '-', '_' and '.', "
            "beginning with a letter or digit"
        )


def enrolled(user_data_dir: Path, model: str, shapes: Shapes) -> tuple[list[EnrolledSpeaker], list[str]]:
    """The voices that were enrolled for a model, by name, and the files there that are not for it (or are none).

    Args:
        model: its digest.
        shapes: of a speaker's embedding and adaptation.
    """
    speakers, strange = [], []
    for path in sorted((user_data_dir / FOLDER).glob(f"*{SUFFIX}")):
        try:
            with safe_open(path, "np") as file:
                metadata = file.metadata() or {}
                parts = [file.get_tensor(name) for name in ("embedding", "adaptation")]
            fits = metadata["format"] == FORMAT and metadata["model"] == model
            fits &= tuple(part.shape for part in parts) == shapes
            if not fits or not all(part.dtype == np.float32 and np.isfinite(part).all() for part in parts):
                raise ValueError("another model's")
            speakers.append(
                EnrolledSpeaker(_speaker_info({**metadata, "name": path.name.removesuffix(SUFFIX)}), *parts)
            )
        except (SafetensorError, OSError, KeyError, ValueError):
            strange.append(path.name)
    return speakers, strange


def save(user_data_dir: Path, model: str, speaker: EnrolledSpeaker) -> Path:
    """Writes an enrolled voice; it is there whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    path = user_data_dir / FOLDER / f"{speaker.voice.name}{SUFFIX}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{path.parent}: cannot be made ({error.strerror}); set XDG_DATA_HOME to a folder of yours"
        ) from None
    metadata = {"format": FORMAT, "model": model, "seconds": f"{speaker.voice.seconds:.2f}"}
    metadata |= {"level_db": f"{speaker.voice.level_db:.2f}", "sex": speaker.voice.sex, "accent": speaker.voice.accent}
    with atomic_path(path) as part:
        parts = {"embedding": speaker.embedding, "adaptation": speaker.adaptation}
        parts = {name: np.ascontiguousarray(numbers, np.float32) for name, numbers in parts.items()}
        save_file(parts, part, metadata=metadata)
    return path


def delete(user_data_dir: Path, name: str) -> None:
    """Removes an enrolled voice.

    Raises:
        InputError: there is none of that name.
    """
    check_name(name)
    try:
        (user_data_dir / FOLDER / f"{name}{SUFFIX}").unlink()
    except OSError:
        names = [path.name.removesuffix(SUFFIX) for path in sorted((user_data_dir / FOLDER).glob(f"*{SUFFIX}"))]
        raise InputError(f"no voice {name!r} was enrolled; there are {', '.join(names) or 'none'}") from None


def _speaker_info(row: dict[str, str]) -> SpeakerInfo:
    name, sex, accent = row["name"], row.get("sex", ""), row.get("accent", "")
    return SpeakerInfo(name, float(row["seconds"]), float(row["level_db"]), sex, accent)
