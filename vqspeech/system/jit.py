"""Just-in-time compilation: numba and librosa with a cache that several processes may fill at once.

numba's own cache is not safe for that: a process that loads the mixed output of two writers crashes.  `import librosa`
compiles functions, so two workers that import it for the first time suffice.  The cache has two faults, which this
module fixes:

* numba numbers the data files, so two writers give different code the same name.  Here the name of a file is a digest
  of source and key, and the index of the files is written under a lock.
* numba looks up the wrapper of a generalised ufunc by the name of the wrapped function, which differs between the
  processes that compile it; the wrapper of one process and the function of another give a null pointer.  Here that
  name is part of the key.

The cache is in `$NUMBA_CACHE_DIR` or the user's cache folder, in a subfolder of this project and machine, so that
existing corrupt caches are not read.  Where no folder can be written, functions are compiled in memory.
"""

import contextlib
import functools
import hashlib
import os
import pickle
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOCK_TIMEOUT_S = 10.0
"""Longest wait for the lock of an index."""
IMPORT_TIMEOUT_S = 120.0
"""Longest wait for another process that imports librosa."""
LAYOUT = 1
"""Version of the layout of the cache folder."""
UNREADABLE = (pickle.UnpicklingError, EOFError, ImportError, AttributeError, LookupError, TypeError, ValueError)
"""Exceptions from unpickling a corrupt file."""


def jit(function: Callable) -> Any:
    """Compiled function, with fused multiply-adds, cached on disk where a folder can be written."""
    options = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
    return load_numba().njit(cache=True, **options)(function)


@functools.cache
def load_librosa() -> Any:
    """Module librosa, imported on first use.

    The import compiles some functions: in one process, while other processes wait to load them from the cache.
    """
    from filelock import FileLock, Timeout

    load_numba()
    folder, lock = cache_folder(), None
    if folder:
        lock = FileLock(folder / "librosa.lock", timeout=IMPORT_TIMEOUT_S)
        with contextlib.suppress(
            OSError, NotImplementedError, Timeout
        ):  # each process compiles for itself, which is slower
            lock.acquire()
    try:
        import librosa
        import librosa.core.pitch
        import librosa.sequence
    finally:
        if lock:
            lock.release()
    return librosa


@functools.cache
def load_numba() -> Any:
    """Module numba, with its cache replaced by that of this module."""
    import numba
    from numba.core import caching

    try:
        from numba.np.ufunc import wrappers

        locator = _locator_class(caching.UserProvidedCacheLocator)
        caching.IndexDataCacheFile = _cache_file_class(caching.IndexDataCacheFile)
        no_plain_file = caching.CacheImpl._locator_classes[-2:]  # for notebooks and zip files
        caching.CacheImpl._locator_classes = [locator, *no_plain_file]
        wrappers._GufuncWrapper = _wrapper_class(wrappers._GufuncWrapper, wrappers.GufWrapperCache)
    except (ImportError, AttributeError):  # another version of numba: compile in memory
        caching.FunctionCache = lambda py_func: caching.NullCache()
    return numba


@functools.cache
def cache_folder() -> Path | None:
    """Folder of the compiled functions of this machine, or None if no folder can be written."""
    import numba
    import platformdirs

    name = f"{platform.node() or 'here'}-numba{numba.__version__}-py{sys.version_info[0]}{sys.version_info[1]}-{LAYOUT}"
    requested = os.environ.get("NUMBA_CACHE_DIR")
    user = Path(platformdirs.user_cache_dir("vqspeech"))
    temporary = Path(tempfile.gettempdir()) / f"vqspeech-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
    for parent in ([Path(requested)] if requested else []) + [user / "numba", temporary]:
        folder = parent / name
        if parent.is_absolute() and _make_writable(folder):
            return folder
    return None


def _make_writable(folder: Path) -> bool:
    """Makes a folder if it is missing; returns whether it belongs to this user and can be written."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
    except OSError:
        return False


def _locator_class(base: type) -> type:
    """Subclass of a numba cache locator."""

    class Locator(base):
        """Cache locator that puts the compiled functions of any source file into `cache_folder`."""

        def __init__(self, py_func, py_file):
            self._py_file, self._lineno = py_file, py_func.__code__.co_firstlineno
            folder = cache_folder() or Path(os.devnull)
            self._cache_path = str(folder / self.get_suitable_cache_subpath(py_file))

        def ensure_cache_path(self):
            if cache_folder():
                Path(self._cache_path).mkdir(parents=True, exist_ok=True)

        @classmethod
        def from_function(cls, py_func, py_file):
            return cls(py_func, py_file) if Path(py_file).is_file() else None

    return Locator


def _wrapper_class(base: type, cache_class: type) -> type:
    """Subclass of the numba wrapper of generalised ufuncs."""

    class WrapperCache(cache_class):
        """Cache of ufunc wrappers with the name of the wrapped function in the key."""

        wrapped = ""

        def _index_key(self, sig, codegen):
            return (*super()._index_key(sig, codegen), self.wrapped)

    class Wrapper(base):
        """Wrapper of a generalised ufunc, cached by `WrapperCache`."""

        def __init__(self, py_func, cres, sin, sout, cache, is_parfors):
            super().__init__(py_func, cres, sin, sout, False, is_parfors)
            if cache:
                self.cache = WrapperCache(py_func)
                self.cache.wrapped = cres.fndesc.mangled_name

    return Wrapper


def _cache_file_class(base: type) -> type:
    """Subclass of the numba cache file."""

    class CacheFile(base):
        """Index and data files of one function; files that cannot be read or written count as missing."""

        def save(self, key, data):
            from filelock import FileLock, Timeout

            stamp = self._dump((self._source_stamp, key))
            name = f"{Path(self._index_name).stem}.{hashlib.sha256(stamp).hexdigest()[:24]}.nbc"
            try:
                self._save_data(name, data)  # before the index refers to it
                with FileLock(f"{self._index_path}.lock", timeout=LOCK_TIMEOUT_S):
                    self._save_index(self._load_index() | {key: name})
            except (OSError, NotImplementedError, Timeout):
                return  # the next process compiles it again

        def _load_index(self):
            try:
                return super()._load_index()
            except (OSError, *UNREADABLE):
                return {}

        def _load_data(self, name):
            try:
                return super()._load_data(name)
            except UNREADABLE as error:
                raise OSError(f"{name}: {error}") from None  # numba treats it as a missing file

    return CacheFile
