"""Just-in-time compilation: numba and librosa with a cache that several processes may fill at once.

numba's own cache is not safe for that, and whoever loads what two writers have mixed crashes.  `import librosa`
compiles, so two workers that import it for the first time are enough.  Two things go wrong there, and are mended here:

* Data files are numbered, so that two writers give different code the same name.  Here a file is named by what it
  holds, and the index that lists the files is written under a lock.
* The wrapper of a generalised ufunc is looked up by the name of the function that it wraps, which is another one in
  each process that compiles; a wrapper of one writer and a function of another give a null pointer.  Here that name
  is part of the key.

The folder is `$NUMBA_CACHE_DIR` or the user's cache folder, and in it one of our own for this machine, so that a cache
that is broken already is not read.  Where no folder can be written, functions are compiled in memory.
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

LOCK_TIMEOUT_S, IMPORT_TIMEOUT_S = 10.0, 120.0
LAYOUT = 1
"""Version of the layout of the folder."""
UNREADABLE = (pickle.UnpicklingError, EOFError, ImportError, AttributeError, LookupError, TypeError, ValueError)
"""What unpickling a broken file can raise."""


def jit(function: Callable) -> Any:
    """The function compiled, with fused multiply-adds, and kept on disk where there is a place for it."""
    options = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
    return load_numba().njit(cache=True, **options)(function)


@functools.cache
def load_librosa() -> Any:
    """The module librosa, imported when it is needed.

    Some of its functions are compiled by that: once, while other processes wait to load what the first one has kept.
    """
    from filelock import FileLock, Timeout

    load_numba()
    folder, lock = cache_folder(), None
    if folder:
        lock = FileLock(folder / "librosa.lock", timeout=IMPORT_TIMEOUT_S)
        with contextlib.suppress(OSError, NotImplementedError, Timeout):  # then all of them compile, which is slower
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
    """The module numba, whose cache from now on is the one that this file describes."""
    import numba
    from numba.core import caching

    try:
        from numba.np.ufunc import wrappers

        locator = _locator_class(caching.UserProvidedCacheLocator)
        caching.IndexDataCacheFile = _cache_file_class(caching.IndexDataCacheFile)
        no_plain_file = caching.CacheImpl._locator_classes[-2:]  # of notebooks and of zip files
        caching.CacheImpl._locator_classes = [locator, *no_plain_file]
        wrappers._GufuncWrapper = _wrapper_class(wrappers._GufuncWrapper, wrappers.GufWrapperCache)
    except (ImportError, AttributeError):  # a numba that is built otherwise: compiled in memory
        caching.FunctionCache = lambda py_func: caching.NullCache()
    return numba


@functools.cache
def cache_folder() -> Path | None:
    """Where compiled functions are kept on this machine, or none if nothing can be written."""
    import numba
    import platformdirs

    name = f"{platform.node() or 'here'}-numba{numba.__version__}-py{sys.version_info[0]}{sys.version_info[1]}-{LAYOUT}"
    asked = os.environ.get("NUMBA_CACHE_DIR")
    user = Path(platformdirs.user_cache_dir("vqspeech"))
    own_temporary = Path(tempfile.gettempdir()) / f"vqspeech-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
    for parent in ([Path(asked)] if asked else []) + [user / "numba", own_temporary]:
        folder = parent / name
        if parent.is_absolute() and _writable(folder):
            return folder
    return None


def _writable(folder: Path) -> bool:
    """Whether a folder is there, belongs to this user and can be written; it is made if it is missing."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
    except OSError:
        return False


def _locator_class(base: type) -> type:
    class Locator(base):
        """Puts the compiled functions of any source file into `cache_folder`."""

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
    class WrapperCache(cache_class):
        """The cache of the wrapper of one function, which is part of the key."""

        wrapped = ""

        def _index_key(self, sig, codegen):
            return (*super()._index_key(sig, codegen), self.wrapped)

    class Wrapper(base):
        """The wrapper of a generalised ufunc."""

        def __init__(self, py_func, cres, sin, sout, cache, is_parfors):
            super().__init__(py_func, cres, sin, sout, False, is_parfors)
            if cache:
                self.cache = WrapperCache(py_func)
                self.cache.wrapped = cres.fndesc.mangled_name

    return Wrapper


def _cache_file_class(base: type) -> type:
    class CacheFile(base):
        """Index and data files of one function; what cannot be read or written is as if it were not there."""

        def save(self, key, data):
            from filelock import FileLock, Timeout

            stamp = self._dump((self._source_stamp, key))
            name = f"{Path(self._index_name).stem}.{hashlib.sha256(stamp).hexdigest()[:24]}.nbc"
            try:
                self._save_data(name, data)  # before the index names it
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
                raise OSError(f"{name}: {error}") from None  # which numba takes for a file that is not there

    return CacheFile
