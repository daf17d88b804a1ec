"""What a person gets who installs the package: an import that keeps to itself."""

import subprocess
import sys

WATCH = """
import os, sys
def report(event, arguments):
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes and arguments[0] not in ("/dev/null", os.devnull):
        print("opens", arguments[0])
    if event in ("socket.connect", "socket.getaddrinfo", "os.mkdir", "os.rename", "os.remove") or (
        event == "subprocess.Popen" and os.path.basename(arguments[0]) != "ldconfig"  # a list of libraries, for CUDA's
    ):
        print(event, arguments)
sys.addaudithook(report)
"""


def watched(code: str, **environment: str) -> str:
    command = [sys.executable, "-B", "-c", WATCH + code]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def test_an_import_asks_no_network_and_writes_no_file():
    modules = "cli.app", "inference.speech_codec", "training.tasks", "demo.page"
    assert watched(f"import vqspeech, {', '.join(f'vqspeech.{name}' for name in modules)}") == ""


def test_the_watch_sees_what_it_is_there_for(tmp_path):
    events = watched(
        f"open({str(tmp_path / 'a')!r}, 'w'); import socket; s = socket.socket(); s.connect_ex(('127.0.0.1', 9))"
    )
    assert "opens" in events
    assert "socket.connect" in events
