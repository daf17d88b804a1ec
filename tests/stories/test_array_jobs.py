"""Corpus work as array jobs, under something that stands in for Slurm's sbatch on this machine."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vqspeech import audio
from vqspeech.data import packing
from vqspeech.inference import tokens

SBATCH = """#!/usr/bin/env bash
# sbatch --array 1-N --wait --wrap COMMAND: all of them at once, the second one twice, as after a node was lost
set -eu
while [ $# -gt 0 ]; do
  case $1 in --array) last=${2#1-}; shift ;; --wrap) command=$2; shift ;; --wait) ;; *) exit 64 ;; esac
  shift
done
pids=()
for task in $(seq "$last") 2; do
  SLURM_ARRAY_TASK_ID=$task bash -c "$command" & pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
"""


@pytest.fixture
def directory(tmp_path, speech, monkeypatch) -> Path:
    """Nine utterances, two a shard."""
    (tmp_path / "wav").mkdir()
    (tmp_path / "data").mkdir()
    for number in range(9):
        audio.write(tmp_path / f"wav/{number}.wav", speech(0.3 + 0.02 * number, seed=number), 16000)
    rows = range(9)
    (tmp_path / "data/wav.scp").write_text("".join(f"s-{n} {tmp_path}/wav/{n}.wav\n" for n in rows))
    (tmp_path / "data/utt2spk").write_text("".join(f"s-{n} s\n" for n in rows))
    monkeypatch.setattr(packing, "SHARD_UTTERANCES", 2)
    return tmp_path / "data"


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name[0] != "."}


def test_parts_that_are_packed_side_by_side_make_the_whole(directory):
    packing.pack(directory, 16000)
    whole = bytes_of(directory / "packed")
    for path in (directory / "packed").iterdir():
        path.unlink()
    for number in (3, 1, 3, 2):
        assert packing.pack_part(directory, 16000, (number, 3)) == (2, 2, 1)[number - 1]
        assert not (directory / "packed/packed.json").exists()
    times = {path: path.stat().st_mtime_ns for path in (directory / "packed").glob("shard-*")}
    packing.pack(directory, 16000)
    assert bytes_of(directory / "packed") == whole
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())  # nothing was packed again
    packing.pack_part(directory, 16000, (1, 3))
    assert bytes_of(directory / "packed") == whole  # a job that comes late breaks no seal


def test_array_jobs_pack_and_tokenize_a_corpus_as_one_process_does(directory, run, tmp_path):
    sbatch = tmp_path / "bin/sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(SBATCH)
    sbatch.chmod(0o755)
    environment = os.environ | {"PATH": f"{sbatch.parent}:{os.environ['PATH']}"}
    vqspeech = f"{sys.executable} -m vqspeech"

    def submit(command: str) -> None:
        wrapped = f"{vqspeech} {command} --shard $SLURM_ARRAY_TASK_ID/3"
        subprocess.run(["sbatch", "--array", "1-3", "--wait", "--wrap", wrapped], env=environment, check=True)

    submit(f"data pack {directory}")
    submit(f"tokenize {directory} --model {run}")
    subprocess.run(f"{vqspeech} data pack {directory}", shell=True, check=True)
    subprocess.run(f"{vqspeech} tokenize {directory} --model {run} --merge", shell=True, check=True)
    codes = [list(utterance_codes) for utterance_codes in tokens.archives.CodeShards(directory)]
    (directory / "codes.scp").unlink()
    tokens.encode_corpus(run, directory)
    tokens.merge_shards(run, directory)
    assert all(np.array_equal(a, b) for a, b in zip(codes, tokens.archives.CodeShards(directory), strict=True))
    assert (directory / "packed/packed.json").exists()
