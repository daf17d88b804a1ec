"""VCTK's two layouts, each with the gaps and oddities of the real one, as small trees."""

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vqspeech import InputError
from vqspeech.data import corpus

SCRIPT = Path(__file__).parents[2] / "egs/vctk/local/prepare_vctk.py"
SPEC = spec_from_file_location("prepare_vctk", SCRIPT)
prepare_vctk = module_from_spec(SPEC)
SPEC.loader.exec_module(prepare_vctk)


def recording(path: Path, text: str | None = None) -> None:
    """A recording of the given name, and its text in the tree that the name lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(480, np.float32), 48000)
    if text is not None:
        key, speaker = path.stem.split("_mic")[0], path.parent.name
        target = path.parents[2] / "txt" / speaker / f"{key}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """0.80: a speaker without text, one named unlike the others, and a recording that is no wave."""
    root = tmp_path / "VCTK-Corpus"
    recording(root / "wav48/p225/p225_001.wav", "Please call Stella.\n")
    recording(root / "wav48/p225/p225_002.wav", "Ask her\nto bring  these things.\n")
    recording(root / "wav48/p315/p315_001.wav")
    recording(root / "wav48/s5/s5_001.wav", "Please call Stella.\n")
    recording(root / "wav48/p376/p376_294.wav", "\n")
    (root / "wav48/p376/p376_295.raw").write_bytes(bytes(100))
    return root


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """0.92: two microphones, of which p280 and p315 have one; p362 lacks utterances that have a text."""
    root = tmp_path / "VCTK-Corpus-0.92"
    sound = root / "wav48_silence_trimmed"
    for name in (
        "p225/p225_001_mic1",
        "p225/p225_001_mic2",
        "p280/p280_001_mic1",
        "s5/s5_001_mic2",
        "p362/p362_001_mic2",
    ):
        recording(sound / f"{name}.flac", "Please call Stella.")
    recording(sound / "p315/p315_001_mic1.flac")
    (root / "txt/p362/p362_002.txt").write_text("A text without a recording.")
    (sound / "log.txt").write_text("p362 ...")
    return root


def names(utterances: list[corpus.Utterance]) -> dict[str, str]:
    return {utt.key: Path(utt.path).name for utt in utterances}


def test_the_old_layout_is_read(old: Path):
    utterances, left_out = prepare_vctk.find(old)
    by_key = {utt.key: utt for utt in utterances}
    assert set(by_key) == {"p225_001", "p225_002", "p315_001", "s5_001", "p376_294"}
    assert by_key["p225_002"].text == "Ask her to bring these things."
    assert by_key["p315_001"].text is None
    assert by_key["p376_294"].text is None
    assert by_key["s5_001"].speaker == "s5"
    assert left_out == {"no recording by its name": 1, "without text (kept)": 2}


def test_the_new_layout_gives_one_recording_an_utterance_from_the_microphone_that_is_there(new: Path):
    utterances, left_out = prepare_vctk.find(new)
    assert names(utterances) == {
        "p225_001": "p225_001_mic2.flac", "p280_001": "p280_001_mic1.flac", "p315_001": "p315_001_mic1.flac",
        "p362_001": "p362_001_mic2.flac", "s5_001": "s5_001_mic2.flac",
    }  # fmt: skip
    assert left_out["the other microphone"] == 1


def test_the_other_microphone_can_be_preferred(new: Path):
    assert names(prepare_vctk.find(new, "mic1")[0])["p225_001"] == "p225_001_mic1.flac"


@pytest.mark.parametrize("layout", ["old", "new"])
def test_the_script_writes_a_sound_directory(layout: str, tmp_path: Path, request):
    root = request.getfixturevalue(layout)
    done = subprocess.run([sys.executable, SCRIPT, root.parent, tmp_path / "data"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'data'}: 5 utterances of" in done.stdout
    assert "without text (kept)" in done.stdout
    assert corpus.validate(tmp_path / "data") == []
    assert corpus.read(tmp_path / "data") == sorted(prepare_vctk.find(root)[0], key=lambda utt: utt.key)


def test_a_folder_that_is_no_vctk_is_one_line_and_exit_code_2(tmp_path: Path):
    done = subprocess.run([sys.executable, SCRIPT, tmp_path, tmp_path / "data"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "holds neither wav48_silence_trimmed/ (0.92) nor wav48/ (0.80); give VCTK's folder" in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_vctk_without_recordings_is_refused(tmp_path: Path):
    (tmp_path / "wav48/p225").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no recording named like p225_001; unpack VCTK again"):
        prepare_vctk.find(tmp_path)
