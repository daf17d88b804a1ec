"""Files that arrive whole, folders with one writer."""

import os
import subprocess
import sys

import numpy as np
import pytest

from vqspeech import InputError, audio, config
from vqspeech.models import checkpoint
from vqspeech.system.files import atomic_path, exclusive_lock
from vqspeech.training import tasks


def test_a_file_arrives_whole_or_what_was_there_stays(tmp_path):
    path = tmp_path / "file"
    with atomic_path(path) as part:
        part.write_text("old")
        assert not path.exists()

    def tear() -> None:
        with atomic_path(path) as part:
            part.write_text("new, torn")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tear()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


def test_a_full_disk_is_one_line_and_what_was_there_stays(tmp_path):
    """The limit on a file's size stands for a disk that is full: the same calls fail at the same places."""
    old = tmp_path / "old.wav"
    audio.write(old, np.zeros(100, np.float32), 16000)
    before = old.read_bytes()
    program = f"""
import resource, signal, sys
import numpy as np, torch
from pathlib import Path
from vqspeech import InputError, audio
from vqspeech.models import checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
folder = Path({str(tmp_path)!r})
for write in (
    lambda: audio.write(folder / "old.wav", np.random.default_rng(0).uniform(-1, 1, 200_000), 16000),
    lambda: audio.write(folder / "new.flac", np.random.default_rng(0).uniform(-1, 1, 200_000), 16000),
    lambda: checkpoint.write_tensors(folder / "model.safetensors", {{"a": torch.zeros(100_000)}}, {{}}),
    lambda: checkpoint._write(folder / "config.yaml", "x" * 100_000),
):
    try:
        write()
    except InputError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert len(lines) == 4
    assert all("cannot be written" in line for line in lines)
    assert [path.name for path in tmp_path.iterdir()] == ["old.wav"]
    assert old.read_bytes() == before


def test_two_trainings_cannot_write_into_one_folder_and_the_second_changes_nothing(tiny, packed, tmp_path):
    run = tmp_path / "run"
    tasks.train_vqvae(tiny, [packed], [packed], run)
    config_before = (run / checkpoint.CONFIG).read_bytes()
    settings = config.from_tree(tiny.model_dump() | {"training": tiny.training.model_dump() | {"seed": 9}}, "")
    with exclusive_lock(run), pytest.raises(InputError, match="another process writes there"):
        tasks.train_vqvae(settings, [packed], [packed], run)
    assert (run / checkpoint.CONFIG).read_bytes() == config_before
    tasks.train_vqvae(tiny, [packed], [packed], run)  # the lock went with its holder


def test_what_a_killed_writer_had_begun_is_cleared_away(tmp_path):
    (tmp_path / "state").mkdir()
    program = f"""
import time
from pathlib import Path
from vqspeech.system.files import atomic_path, exclusive_lock
with exclusive_lock(Path({str(tmp_path)!r})), atomic_path(Path({str(tmp_path / "state/one")!r})) as part:
    part.write_text("torn")
    print("writing", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as killed:
        killed.stdout.readline()
        with pytest.raises(InputError), exclusive_lock(tmp_path):
            pass
        assert len(list((tmp_path / "state").iterdir())) == 1
        killed.kill()
    with exclusive_lock(tmp_path):
        assert not list((tmp_path / "state").iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_only_be_read_is_told(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"), exclusive_lock(tmp_path / "run"):
        pass
