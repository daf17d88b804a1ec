"""Output paths, checked against all sources of a command before it begins.

```
no target is a source       nor the same file by another name, nor a table or recording of a directory that is one
nothing is lost             what is there is replaced if this tool made it from the same sources and nobody changed it
                            since (`files.is_own`), anything else with --force alone
-, devices, pipes           are written to (`files.atomic_path`)
out/ or a folder            is a folder, in which results have the names that they have by default
```
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from vqspeech.data import kaldi
from vqspeech.errors import InputError
from vqspeech.system import files

RESERVED = {*kaldi.TABLES, "codes.scp", "phones.ctm", "config.yaml", "speakers.txt", "model.safetensors", "voices.tsv"}
"""What a data directory or a model is made of: never a result beside it."""
FOLDERS = ("codes", "packed", "voices", "state")
"""Their folders, likewise."""


def place(out: str | None, name: str) -> Path | None:
    """The file that an option means: the one that it names, or `name` in the folder that it names.

    >>> str(place("out/", "in.vqs"))
    'out/in.vqs'
    """
    return None if out is None else Path(out) / name if is_folder(out) else Path(out)


def is_folder(out: str | None) -> bool:
    """Whether an option names a folder: one that is there, or any name with a slash at its end."""
    return bool(out) and (str(out).endswith(("/", os.sep)) or Path(str(out)).is_dir())


def check(
    sources: Sequence[str | Path], targets: Iterable[Path] = (), force: bool = False, folders: Iterable[Path] = (),
    each: bool = False,
) -> None:  # fmt: skip
    """Check sources and targets of a command before it begins.

    Args:
        sources: files and folders that it reads; URLs and `-` are no files.
        targets: files that it writes.
        force: whether files that are there may be replaced.
        folders: data directories and the like that it writes.
        each: whether target n is made from source n alone.

    Raises:
        InputError: a target is a source, is given twice, is a folder, or is there already.
    """
    read = [Path(source) for source in sources if str(source) != "-" and "://" not in str(source)]
    real_paths: set[str] = set()
    for number, target in enumerate(targets):
        if files.is_stream(target):
            continue
        if target.is_dir():
            raise InputError(f"{target}: is a folder; name a file in it")
        if (real := os.path.realpath(target)) in real_paths:
            raise InputError(
                f"{target}: two results have this name and would overwrite each other; take them one by one"
            )
        real_paths.add(real)
        if any(_is_same_file(source, target) or _holds(source, target) for source in read):
            raise InputError(f"{target}: is read by this command; choose another place for the result")
        _check_replaced(target, target, [sources[number]] if each else sources, force)
    for folder in folders:
        if folder == files.STDOUT or (folder.exists() and not folder.is_dir()):
            raise InputError(f"{folder}: is no folder; name another one")
        if any(_is_same_file(source, folder) for source in read):
            raise InputError(f"{folder}: is read by this command; choose another folder for the result")
        for name in sorted(RESERVED):
            _check_replaced(folder / name, folder, sources, force)


def _check_replaced(path: Path, display: Path, sources: Sequence[str | Path], force: bool) -> None:
    if path.exists() and not force and not files.is_own(path, map(Path, sources)):
        problem = "is there already" if path == display else f"holds {path.name} already"
        raise InputError(f"{display}: {problem}; replace it with --force, or choose another name")


def _is_same_file(first: Path, second: Path) -> bool:
    """Whether two paths lead to one file or folder, by whatever name."""
    with suppress(OSError):
        return first.samefile(second)
    return os.path.realpath(first) == os.path.realpath(second)


def _holds(directory: Path, target: Path) -> bool:
    """Whether a target is a part of a data directory or a model, or a recording that it lists."""
    if not directory.is_dir():
        return False
    folder, real = Path(os.path.realpath(directory)), Path(os.path.realpath(target))
    if (real.parent == folder and real.name in RESERVED) or any(folder / name in real.parents for name in FOLDERS):
        return True
    with suppress(OSError, ValueError):
        if target.exists() and (folder / "wav.scp").is_file():
            return any(_is_same_file(Path(row.rest), target) for row in kaldi.rows(folder / "wav.scp"))
    return False
