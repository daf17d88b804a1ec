"""Episodes, frames and the actions between them: walked in a world, or filmed by oneself."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from worlds import ACTIONS, MIRRORED, SIZE, World

from vqspeech import InputError
from vqspeech.system.files import atomic_path

FILMS = {".mp4", ".webm", ".avi", ".mkv", ".mov", ".gif"}


class Episode(NamedTuple):
    """`frames`: (time + 1, SIZE, SIZE, 3); `actions`: (time,), action t leads from frame t to t + 1.

    `origin`: where it can be walked again, a map and a seed; empty for a film.
    """

    frames: NDArray[np.uint8]
    actions: NDArray[np.uint8]
    origin: str


def walk(world: World, seed: int, actions: NDArray, origin: str) -> Episode:
    """Does these actions from the beginning of a world."""
    frames = [world.reset(seed)]
    frames += [world.step(int(action)) for action in actions]
    return Episode(np.stack(frames), actions.astype(np.uint8), origin)


def mirrored(episode: Episode) -> Episode:
    """The same in a mirror, where left is right; it cannot be walked again."""
    return Episode(np.flip(episode.frames, 2).copy(), np.array(MIRRORED, np.uint8)[episode.actions], "")


def write(path: Path, episode: Episode) -> None:
    """Writes a shard: `frames`, `actions` and `origin` in a compressed .npz, whole or not at all."""
    with atomic_path(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **{**episode._asdict(), "origin": np.array(episode.origin)})


def read(path: Path) -> Episode:
    """An episode from its shard.

    Raises:
        InputError: it cannot be read, or its arrays do not fit together.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            episode = Episode(arrays["frames"], arrays["actions"], str(arrays["origin"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is no whole shard ({error}); collect it again") from None
    wrong = episode.frames.shape != (len(episode.actions) + 1, SIZE, SIZE, 3) or episode.frames.dtype != np.uint8
    if wrong:
        raise InputError(f"{path}: {episode.frames.shape} are no frames for {len(episode.actions)} actions")
    check(episode.actions, str(path))
    return episode


def load(folder: Path) -> list[Episode]:
    """All episodes of a folder.

    Raises:
        InputError: it has none, or as `read`.
    """
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise InputError(f"{folder}: holds no shards (.npz); make some with `run.py collect`")
    return [read(path) for path in paths]


def check(actions: NDArray, source: str) -> None:
    """Raises InputError if one of the actions is none."""
    unknown = [int(action) for action in actions if not 0 <= action < len(ACTIONS)]
    if unknown:
        names = f"0 to {len(ACTIONS) - 1} ({_action_names()})"
        raise InputError(f"{source}: action {unknown[0]} is none; there are {names}")


def numbered(names: list[str], source: str) -> NDArray[np.uint8]:
    """Actions by name, as numbers.

    Raises:
        InputError: a name that is none of ACTIONS.
    """
    unknown = [name for name in names if name not in ACTIONS]
    if unknown:
        raise InputError(f"{source}: action {unknown[0]!r} is none; there are {_action_names()}")
    return np.array([ACTIONS.index(name) for name in names], np.uint8)


def filmed(folder: Path) -> Iterator[tuple[str, Episode]]:
    """The films of a folder as episodes, by name; actions.txt has a line for each, its name and its actions.

    ```
    walk.mp4 forward forward left left      the action between each frame and the next: one fewer than frames
    ```

    Raises:
        InputError: no table, a film that it does not have or that cannot be read, or another number of actions.
    """
    table = folder / "actions.txt"
    if not table.is_file():
        raise InputError(f"{table}: is missing; a line for each film says what was done between its frames")
    actions_by_name = {}
    for line in table.read_text(encoding="utf-8").splitlines():
        name, *actions = line.split()
        actions_by_name[name] = numbered(actions, f"{table}, {name}")
    films = sorted(path for path in folder.iterdir() if path.suffix.lower() in FILMS)
    for path in films:
        if path.name not in actions_by_name:
            raise InputError(f"{table}: says nothing of {path.name}")
        frames, actions = _frames(path), actions_by_name[path.name]
        if len(frames) != len(actions) + 1:
            raise InputError(f"{table}: {path.name} has {len(frames)} frames and {len(actions)} actions, not one fewer")
        yield path.stem, Episode(frames, actions, "")


def _frames(path: Path) -> NDArray[np.uint8]:
    """The middle square of each frame of a film, (frames, SIZE, SIZE, 3)."""
    try:
        import av
    except ImportError:
        raise InputError("films need PyAV; pip install 'vqspeech[video]'") from None
    from pictures import resized

    try:
        with av.open(path) as film:
            levels = (np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in film.decode(video=0))
            frames = [resized(frame, SIZE) for frame in levels]
    except (av.FFmpegError, IndexError) as error:
        raise InputError(f"{path}: is no film that can be read ({error}); leave it out") from None
    if not frames:
        raise InputError(f"{path}: has no frames; leave it out")
    return np.stack(frames)


def _action_names() -> str:
    return ", ".join(ACTIONS)
