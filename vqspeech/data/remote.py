"""Folders of shards, local or remote; shards of a URL are fetched when needed, and the latest are cached."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from vqspeech.errors import InputError
from vqspeech.system.files import atomic_path

AT_ONCE = 16
"""Small files of a URL that are read at a time."""


class LocalFolder:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __str__(self) -> str:
        return str(self.folder)

    def texts(self, names: list[str]) -> list[str]:
        """Contents of small files.

        Raises:
            OSError, ValueError: one is not there, or is no text.
        """
        return [(self.folder / name).read_text(encoding="utf-8") for name in names]

    def file(self, name: str) -> Path:
        """Local path of a large file."""
        return self.folder / name

    def bytes(self, name: str) -> int:
        """How large a file is; raises OSError where there is none."""
        return (self.folder / name).stat().st_size


class CachedRemoteFolder:
    """A folder behind a URL that fsspec knows (https, s3, gs, ...); its large files lie in a folder of this machine.

    Several processes may share that folder.  Of the files in it the `keep` that were used last stay; one that is
    mapped into memory and goes is still read by who has it.

    Args:
        url: of the folder; its credentials are those that fsspec finds.
        keep: how many large files are kept; 0 for all.

    Raises:
        InputError: fsspec, or the package that it needs for this kind of URL, is not installed.
    """

    def __init__(self, url: str, keep: int) -> None:
        self.url, self.keep = url.rstrip("/"), keep
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vqspeech" / "shards"
        self.cache_dir = home / hashlib.sha256(self.url.encode()).hexdigest()[:24]
        self._open()

    def __str__(self) -> str:
        return self.url

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_system"}

    def texts(self, names: list[str]) -> list[str]:
        """As `LocalFolder.texts`."""
        system = self._open()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            contents = pool.map(lambda name: _download(system, f"{self.url}/{name}"), names)
            return [data.decode("utf-8") for data in contents]

    def file(self, name: str) -> Path:
        """Local path of a large file, which is fetched if necessary.

        Raises:
            InputError: it cannot be had.
        """
        path = self.cache_dir / name
        try:
            os.utime(path)  # and not touch: another process may just have cleared it away
        except FileNotFoundError:
            self._fetch(path)
        self._clear(path)
        return path

    def bytes(self, name: str) -> int:
        """How large a file is that was fetched, else unknown: a very large number."""
        path = self.cache_dir / name
        return path.stat().st_size if path.exists() else 1 << 62

    def _fetch(self, path: Path) -> None:
        self.cache_dir.mkdir(parents=True, exist_ok=True)
        try:
            with atomic_path(path) as part:
                self._open().get_file(f"{self.url}/{path.name}", str(part))
        except Exception as error:  # each kind of URL has its own
            raise InputError(f"{self.url}/{path.name}: cannot be fetched ({_reason(error)})") from None

    def _clear(self, newest: Path) -> None:
        if not self.keep:
            return
        aged = []
        for path in self.cache_dir.glob("shard-*.u8"):
            try:
                aged.append((path.stat().st_mtime_ns, path))
            except FileNotFoundError:  # another process was faster
                continue
        for _, path in sorted(aged, reverse=True)[self.keep :]:
            if path != newest:
                path.unlink(missing_ok=True)

    def _open(self) -> Any:
        """The file system of the URL; of each process its own, also where one began as the copy of another."""
        if self.__dict__.get("_system", (0,))[0] != os.getpid():
            try:
                import fsspec.asyn

                if "_system" in self.__dict__:  # a copy has no thread that would answer; fsspec of old does not know
                    fsspec.asyn.reset_lock()
                self._system = os.getpid(), fsspec.core.url_to_fs(self.url, skip_instance_cache=True)[0]
            except (ImportError, ValueError) as error:
                cure = "pip install 'vqspeech[remote]', or what fsspec needs for it"
                raise InputError(f"{self.url}: cannot be opened ({_reason(error)}); {cure}") from None
        return self._system[1]


def open_folder(place: str | Path, keep: int = 0) -> LocalFolder | CachedRemoteFolder:
    """A folder by its path or its URL."""
    return CachedRemoteFolder(str(place), keep) if "://" in str(place) else LocalFolder(Path(place))


def _download(system: Any, url: str) -> bytes:
    try:
        return system.cat_file(url)
    except Exception as error:  # each kind of URL has its own
        raise OSError(_reason(error)) from None


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
