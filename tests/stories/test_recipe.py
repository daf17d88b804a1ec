"""egs/vctk/run.sh from a VCTK to converted recordings, and its download, on small things near at hand."""

import hashlib
import http.server
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
import soundfile

ROOT = Path(__file__).parents[2]


def bash(*words: str | Path, workdir: Path) -> subprocess.CompletedProcess[str]:
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    surroundings = os.environ | {"PATH": programs, "OMP_NUM_THREADS": "1"}
    return subprocess.run(["bash", *words], cwd=workdir, env=surroundings, capture_output=True, text=True)


@pytest.fixture
def project(tmp_path: Path, tiny) -> Path:
    """A copy of the recipe with the environment that these tests run in, and a config of a minute model."""
    from vqspeech import config

    shutil.copytree(ROOT / "egs", tmp_path / "egs")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "tiny.yaml").write_text(config.to_yaml(tiny))
    return tmp_path


def test_the_recipe_goes_from_vctk_to_converted_recordings_and_repeats_only_what_failed(project: Path, speech):
    for number in range(48):
        name = f"p{225 + number % 2}/p{225 + number % 2}_{number:03d}"
        for folder in ("VCTK/wav48", "VCTK/txt", "labels"):
            (project / folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(project / f"VCTK/wav48/{name}.wav", speech(0.3, seed=number), 16000)
        (project / f"VCTK/txt/{name}.txt").write_text(f"Sentence {number}.\n")
        (project / f"labels/{name}.lab").write_text("0 800000 pau\n800000 1500000 s\n1500000 3000000 aa\n")
    recipe = ("egs/vctk/run.sh", "--vctk", "VCTK", "--config", "tiny.yaml", "--nj", "2")
    recipe += ("--set-prior", "training.max_steps=2", "--labels", "labels")
    failed = bash(*recipe, "--set", "training.batches=4", workdir=project)
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[-1].startswith(
        "vqspeech: tiny.yaml: unknown key training.batches; did you mean 'batch_size'?"
    )
    again = bash(*recipe, workdir=project)
    assert again.returncode == 0, again.stderr
    assert "stage 3, packing: data/VCTK/test is done" in again.stdout
    assert "stage 4, vqvae: exp/VCTK/tiny\n" in again.stdout
    assert re.search(r"[0-9.]+ bits per sample", again.stdout)
    converted = sorted((project / "exp/VCTK/tiny/converted").glob("*.wav"))
    assert converted
    assert all(str(path.relative_to(project)) in again.stdout for path in converted)
    before = [path.stat().st_mtime_ns for path in converted]
    assert re.search(r"[0-9.]+ bits per code by the prior", again.stdout)
    assert (project / "data/VCTK/test/codes.scp").exists()
    assert re.search(r"[0-9.]+ % of phones told from one code; always the commonest [0-9.]+, k-means", again.stdout)
    for measured in ("probe.json", "evaluation.csv", "report.html"):
        assert (project / "exp/VCTK/tiny" / measured).stat().st_size > 500
    assert "stage 7, conversion: exp/VCTK/tiny is done" in bash(*recipe, workdir=project).stdout
    assert [path.stat().st_mtime_ns for path in converted] == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--vctc", "x"], "run.sh: unknown option --vctc"),
        (["--stage"], "run.sh: --stage wants a value"),
        (["--vctk", "nowhere"], "holds neither wav48_silence_trimmed/ (0.92) nor wav48/ (0.80); give VCTK's folder"),
        (["--vctk", "nowhere", "--config", "my.yaml"], "run.sh: my.yaml: no such config"),
        (["--vctk", "nowhere", "--nj", "many"], "run.sh: --nj many is no whole number"),
    ],
)
def test_the_recipe_names_what_it_cannot_use(project: Path, words: list[str], message: str):
    done = bash("egs/vctk/run.sh", *words, workdir=project)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert not (project / "data").exists()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, with ranges as a download that goes on asks for them, and remembers where it began."""

    began: ClassVar[list[int]] = []

    def do_GET(self) -> None:
        whole = Path(self.translate_path(self.path)).read_bytes()
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))
        start = int(wanted[1]) if wanted else 0
        self.began.append(start)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(whole) - start))
        self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        self.end_headers()
        self.wfile.write(whole[start:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[tuple[Path, str, str]]:
    """A small VCTK as the archive that a server gives out: the file, its address, its checksum."""
    path = tmp_path / "served/VCTK.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("wav48_silence_trimmed/p225/p225_001_mic2.flac", bytes(range(256)) * 40)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(path.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield path, f"http://127.0.0.1:{server.server_port}/VCTK.zip", hashlib.sha256(path.read_bytes()).hexdigest()
    server.shutdown()


def test_a_download_that_was_stopped_goes_on_where_it_was(archive: tuple[Path, str, str], tmp_path: Path):
    path, url, checksum = archive
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads/VCTK.zip.part").write_bytes(path.read_bytes()[:4000])
    Quiet.began.clear()
    done = bash(ROOT / "egs/vctk/local/download_vctk.sh", "downloads", url, checksum, workdir=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "11 GB to download" in done.stderr
    assert Quiet.began == [4000]
    recording = tmp_path / "downloads/VCTK-Corpus-0.92/wav48_silence_trimmed/p225/p225_001_mic2.flac"
    assert recording.read_bytes() == bytes(range(256)) * 40


def test_a_download_with_another_checksum_is_not_unpacked(archive: tuple[Path, str, str], tmp_path: Path):
    done = bash(ROOT / "egs/vctk/local/download_vctk.sh", "downloads", archive[1], "0" * 64, workdir=tmp_path)
    assert done.returncode == 1
    assert "is not what it should be (SHA-256 differs); removed, try again" in done.stderr
    assert list((tmp_path / "downloads").iterdir()) == []


def test_every_command_of_the_readme_exists():
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.split("  #")[0] for block in blocks for line in block.splitlines()]
    verbs = [shlex.split(line.replace("'", " ")) for line in lines if "vqspeech " in line]
    assert len(verbs) > 5
    for words in verbs:
        words = words[words.index("vqspeech") + 1 :]
        verb = words[:2] if words[0] == "data" else words[:1]
        result = subprocess.run([sys.executable, "-m", "vqspeech", *verb, "--help"], capture_output=True, text=True)
        assert result.returncode == 0, verb
        for option in (word for word in words if word.startswith("--")):
            assert f"{option} " in result.stdout, f"{verb} has no {option}"
