"""Speech from a prior by the command."""

import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from vqspeech.data import corpus
from vqspeech.inference import tokens


@pytest.fixture
def data(run, tmp_path, speech) -> Path:
    tokens._cached_codec.cache_clear()
    utterances = []
    for number in range(6):
        soundfile.write(tmp_path / f"{number}.wav", speech(0.3, seed=number), 16000)
        utterances.append(
            corpus.Utterance(f"u{number}", ["p225", "alice"][number % 2], str(tmp_path / f"{number}.wav"))
        )
    corpus.write(tmp_path / "data", utterances)
    tokens.encode_corpus(run, tmp_path / "data")
    tokens.merge_shards(run, tmp_path / "data")
    return tmp_path / "data"


def test_the_commands_make_codes_and_speak_from_nothing(run, prior, data, tmp_path):
    def command(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "vqspeech", *map(str, arguments)], capture_output=True, text=True, cwd=tmp_path
        )

    done = command("tokenize", data, "--model", run, "--nj", 2, "--text", tmp_path / "codes.txt")
    assert done.returncode == 0, done.stderr
    assert "6 utterances" in done.stdout
    assert len((tmp_path / "codes.txt").read_text().splitlines()) == 6
    models = ("--model", run, "--prior", prior)
    done = command("sample", *models, "--speaker", "alice", "--seconds", 0.1, "--n", 2, "--prompt", "0.wav")
    assert done.returncode == 0, done.stderr
    for number in (1, 2):
        wave, rate = soundfile.read(tmp_path / f"samples/alice-{number}.wav")
        assert (len(wave), rate) == (4800 + 1600, 16000)  # whole frames, both
    for wrong, told in [
        (("sample", *models, "--speaker", "alic"), "unknown speaker 'alic'; nearest"),
        (("sample", *models, "--speaker", "p226"), "the prior does not know speaker 'p226'"),
        (("sample", *models, "--speaker", "alice", "--seconds", -1, "--force"), "seconds -1 is out of range"),
        (("sample", *models, "--speaker", "alice", "--prompt", "none.wav", "--force"), "none.wav: no such file"),
        (
            ("sample", "--model", run, "--prior", "nowhere", "--speaker", "alice", "--force"),
            "nowhere: is no run directory",
        ),
        (("tokenize", data, "--model", run, "--shard", "3"), "--shard 3 is not a part"),
        (("tokenize", data, "--model", run, "--shard", "1/2", "--merge"), "makes one part"),
        (("tokenize", "nowhere", "--model", run), "nowhere/wav.scp"),
        (("encode", "0.wav", "--model", run, "--coder", "prio"), "coder 'prio' is unknown"),
        (("encode", "0.wav", "--model", run, "--coder", "prior", "--prior", run), "holds no prior"),
    ]:
        done = command(*wrong)
        assert done.returncode == 2, wrong
        assert told in done.stderr
        assert done.stderr.count("\n") == 1
