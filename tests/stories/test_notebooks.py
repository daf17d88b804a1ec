"""The notebooks in docs/notebooks run from top to bottom, and are stored without outputs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(ROOT.glob("docs/notebooks/*.ipynb"))
# what a notebook has beyond Python: players, which play nothing here, and lines with `!`, which are commands
PREAMBLE = """
import subprocess, sys
def shell(command):
    subprocess.run(command.replace("vqspeech", sys.executable + " -m vqspeech", 1), shell=True, check=True)
def Audio(data=None, rate=None, filename=None):
    return data if filename is None else open(filename, "rb").read()
def display(value):
    pass
"""


def script(path: Path) -> str:
    """The code cells of a notebook as a program."""
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    source = "\n\n".join("".join(cell["source"]) for cell in cells)
    source = source.replace("from IPython.display import Audio, display\n", "")
    return PREAMBLE + re.sub(r"^!(.*)$", r'shell(f"""\1""")', source, flags=re.MULTILINE)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_without_data_and_network(path, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg", "VQSPEECH_MINUTES": "0.1"}
    done = subprocess.run(
        [sys.executable, "-c", script(path)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_there_are_two_notebooks_stored_without_outputs():
    assert [path.stem for path in NOTEBOOKS] == ["codes_of_a_word", "train_on_ten_minutes"]
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs"), path.name
            assert cell.get("execution_count") is None, path.name
