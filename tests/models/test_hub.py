"""Models by name, folder and hub address."""

import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vqspeech import InputError
from vqspeech.models import exporting, hub


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "vqspeech", *map(str, arguments)], capture_output=True, text=True,
        env=os.environ | environment,
    )  # fmt: skip


def test_a_prior_is_found_beside_its_model(run):
    with pytest.raises(InputError, match="no prior lies beside it"):
        hub.resolve_prior("", run)
    for beside in (run.with_name("run-prior"), run / "prior"):
        beside.mkdir()
        (beside / "model.safetensors").touch()
        assert hub.resolve_prior("", run) == beside


class _Repository(http.server.BaseHTTPRequestHandler):
    """What a client asks a Hugging Face server for: the files of a commit, and each of them."""

    folder: Path
    commit = "0123456789abcdef0123456789abcdef01234567"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path, kind, headers = self.path.partition("?")[0], "application/json", {}
        paths = (path for path in self.folder.rglob("*") if path.is_file())
        files = {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths}
        if path.startswith("/api/models/me/tiny/tree/"):
            tree = [{"type": "file", "path": name, "size": len(data), "oid": name} for name, data in files.items()]
            data = json.dumps(tree).encode()
        elif path.startswith("/api/models/me/tiny"):
            siblings = [{"rfilename": name} for name in files]
            data = json.dumps({"id": "me/tiny", "sha": self.commit, "siblings": siblings}).encode()
        elif path.startswith(f"/me/tiny/resolve/{self.commit}/") and (name := path.split("/", 5)[5]) in files:
            data, kind = files[name], "application/octet-stream"
            headers = {"ETag": f'"{name}"', "X-Repo-Commit": self.commit}
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def test_a_repository_is_downloaded_once_kept_and_checked(run_with_levels, tmp_path):
    exporting.export(run_with_levels, tmp_path / "shared")
    (tmp_path / "shared/model.py").write_text("raise SystemExit('code of a repository was run')\n")
    (tmp_path / "shared/vocoder").mkdir()
    (tmp_path / "shared/vocoder/config.yaml").write_text("vocoder: {}\n")
    _Repository.folder = tmp_path / "shared"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Repository)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = {"HF_HOME": str(tmp_path / "hf"), "XDG_DATA_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1"}
    served = home | {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
    try:
        first = command("speakers", "--model", "hf:me/tiny", **served)
        assert first.stdout.split() == ["p225", "p226", "alice"], first.stderr
        missing = command("speakers", "--model", "hf:me/other", **served)
        assert (missing.returncode, len(missing.stderr.splitlines())) == (2, 1), missing.stderr
        assert "hf:me/other: cannot be downloaded" in missing.stderr
    finally:
        server.shutdown()
        server.server_close()
    away = home | {"HF_HUB_OFFLINE": "1"}
    assert command("speakers", "--model", "hf:me/tiny", **away).stdout == first.stdout
    uncached = command("speakers", "--model", "hf:me/other", **away)
    assert "is not in the cache" in uncached.stderr
    assert not list((tmp_path / "hf").rglob("model.py"))
    assert list((tmp_path / "hf").rglob("vocoder/config.yaml"))
    weights = next((tmp_path / "hf").rglob("model.safetensors")).resolve()
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    broken = command("speakers", "--model", "hf:me/tiny", **away)
    assert (broken.returncode, "was changed after training" in broken.stderr) == (2, True)


def test_what_belongs_to_a_model_that_was_downloaded_lies_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    assert hub.user_data_dir(tmp_path / "run", "f" * 64) == tmp_path / "run"
    assert hub.user_data_dir(hub.SHIPPED / "english-16k", "f" * 64) == tmp_path / "home/vqspeech" / ("f" * 24)
    assert hub.user_data_dir(tmp_path / "hf/snapshots/0123", "f" * 64) == tmp_path / "home/vqspeech" / ("f" * 24)
    for wrong in ("hf:", "hf:name", "hf:a/b/c", "hf:../x", "hf:a/b c"):
        with pytest.raises(InputError, match="is not a repository"):
            hub.resolve(wrong)
