"""Compiled functions: what several processes keep at once is whole, and what cannot be kept is compiled in memory."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import vqspeech

ROOT = Path(vqspeech.__file__).parent
USE = """
import os
import numpy as np
from vqspeech.system import jit
numba = jit.load_numba()
for _ in range(int.from_bytes(os.urandom(1)) % 5):  # numba numbers what a process compiles
    numba.njit(lambda x: x)(1)
import work
total = np.zeros(1)
work.add_all(np.arange(4.0), total)
print(work.double(np.arange(4.0)).sum() + work.double(np.arange(4)).sum() + work.triple(np.float32(2)) + total[0])
"""
WORK = """
import numba
@numba.njit(cache=True)
def double(x):
    return 2 * x
@numba.vectorize(["float32(float32)", "float64(float64)"], cache=True)
def triple(x):
    return 3 * x
@numba.guvectorize(["void(float64[:], float64[:])", "void(float32[:], float32[:])"], "(n)->()", cache=True)
def add_all(x, total):
    total[0] = x.sum()
"""


def start(folder: Path, code: str, **environment: str) -> subprocess.Popen:
    """A Python that runs `code` with `work` importable and its compiled functions under `folder`."""
    settings = {"PYTHONPATH": f"{folder}:{ROOT.parent}", "NUMBA_CACHE_DIR": str(folder / "cache")} | environment
    return subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | settings, cwd=folder, stdout=-1, stderr=-1, text=True
    )


@pytest.mark.parametrize("trial", range(3))
def test_eight_processes_fill_an_empty_cache_at_once(tmp_path, trial):
    (tmp_path / "work.py").write_text(WORK)
    for _ in range(2):  # those that compile, and those that load what these have kept
        running = [start(tmp_path, USE) for _ in range(8)]
        answers = {process.communicate()[0] for process in running}
        assert [process.returncode for process in running] == [0] * 8
        assert answers == {"36.0\n"}


def test_what_was_compiled_is_loaded(tmp_path):
    (tmp_path / "work.py").write_text(WORK)
    assert start(tmp_path, USE).wait() == 0
    code = USE + "\nprint(work.double.stats.cache_hits, sum(work.double.stats.cache_misses.values()))"
    assert start(tmp_path, code).communicate()[0].splitlines()[1].endswith(" 0")


def test_a_cache_that_is_broken_or_was_made_by_numba_itself_is_not_read(tmp_path):
    (tmp_path / "work.py").write_text(WORK)
    plain = "import numpy as np, work; print(work.double(np.arange(4.0)).sum())"
    assert start(tmp_path, plain).wait() == 0
    for file in [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]:
        file.write_bytes(b"broken")
    assert start(tmp_path, USE).communicate()[0] == "36.0\n"
    for file in (tmp_path / "cache").rglob("*.nb?"):
        file.write_bytes(b"broken")
    assert start(tmp_path, USE).communicate()[0] == "36.0\n"


def test_without_a_folder_that_can_be_written_functions_are_compiled_in_memory(tmp_path):
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "file").write_text("")
    nowhere = str(tmp_path / "file" / "x")  # even root cannot make a folder below a file
    places = dict.fromkeys(("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME", "TMPDIR", "TEMP", "TMP"), nowhere)
    code = "import tempfile; tempfile.tempdir = " + repr(nowhere) + USE
    out, err = start(tmp_path, code, **places).communicate()
    assert (out, err) == ("36.0\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "work.py"]


def test_numba_and_librosa_are_imported_in_one_place():
    inside = {"jit.py", "simd.py"}  # simd extends numba and compiles nothing
    for path in ROOT.rglob("*.py"):
        names = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            for name in (
                [alias.name for alias in node.names] if isinstance(node, ast.Import)
                else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            )
        }  # fmt: skip
        assert path.name in inside or not names & {"numba", "librosa"}, path
