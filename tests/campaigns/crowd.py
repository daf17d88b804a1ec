#!/usr/bin/env python
"""The page under load: python tests/campaigns/crowd.py --people 50 --minutes 3, on this machine alone.

Everybody converts a recording of their own, over and over, and compares what comes back, byte by byte, with what must;
others send halves of requests, rubbish, and a byte a second.  Prints a table for docs/explanation/reliability.md and
ends with 1 if somebody got another's result, or something was not bounded.
"""

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
RATE = 16000
SERVER = """
import sys
from vqspeech.demo import page
from vqspeech.demo.service import DemoService
from vqspeech.demo.uploads import Limits
page.serve(DemoService([sys.argv[1]], Limits(kept_s=float(sys.argv[3])), enrolment=False), port=int(sys.argv[2]))
"""


class Found(NamedTuple):
    """What came of it: answers by kind, the server's memory in bytes (first, most), files (most, left), and faults."""

    answers: Counter
    memory: tuple[int, int]
    files: tuple[int, int]
    faults: list[str]


def crowd(model: str, people: int, seconds: float, folder: Path, kept_s: float = 60.0) -> Found:
    """So many people at a page for so long."""
    port, temporary = _free_port(), folder / "temporary"
    temporary.mkdir()
    expected = {number: _expected(model, _recording(folder, number), number) for number in range(people)}
    environment = os.environ | {"TMPDIR": str(temporary)}
    server = subprocess.Popen([sys.executable, "-c", SERVER, model, str(port), str(kept_s)], env=environment,
                              stdout=subprocess.DEVNULL, stderr=(folder / "server.log").open("w"))  # fmt: skip
    try:
        _until(lambda: _answers(port), 120)
        answers, faults = Counter(), []
        _person(port, folder, 0, expected[0], time.monotonic() + 1, answers, faults)  # so that all is loaded
        first, end = _memory(server.pid), time.monotonic() + seconds
        sizes, counts = [first], [0]

        def watch() -> None:
            while time.monotonic() < end + 5:
                sizes.append(_memory(server.pid))
                counts.append(_files(temporary))
                time.sleep(1)

        acts = [
            lambda person=person: _person(port, folder, person, expected[person], end, answers, faults)
            for person in expected
        ]
        acts += [
            lambda: _half(port, end),
            lambda: _slow(port, end),
            lambda: _rubbish(port, folder, end, answers),
            watch,
        ]
        threads = [threading.Thread(target=act, daemon=True) for act in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds + 240)
        if any(thread.is_alive() for thread in threads):
            faults.append("somebody was never answered")
        if server.poll() is not None:
            faults.append(f"the server ended: {(folder / 'server.log').read_text()[-300:]}")
        else:  # two more, late: what was made for the others must be gone by then
            time.sleep(2 * kept_s)
            late = Counter()
            _person(port, folder, 0, expected[0], time.monotonic() + 1, late, faults)
            time.sleep(2 * kept_s)
            if not late["right"]:
                faults.append("the page no longer answers")
        left = _files(temporary)
    finally:
        server.terminate()
        server.wait(30)
    if answers["wrong"]:
        faults.append(f"{answers['wrong']} answers were not what was asked for")
    if max(sizes) - first > 1 << 30:
        faults.append(f"the server grew by {(max(sizes) - first) >> 20} MiB")
    if left > 12:
        faults.append(f"{left} files were left")
    return Found(answers, (first, max(sizes)), (max(counts), left), faults)


def _recording(folder: Path, number: int) -> Path:
    from vqspeech import audio

    rng = np.random.default_rng(number)
    time_s = np.arange(RATE + 200 * number) / RATE
    wave = sum(np.sin(2 * np.pi * k * rng.uniform(90, 250) * time_s) / k for k in range(1, 8))
    path = folder / f"{number}.wav"
    audio.write(path, (0.1 * wave * np.abs(np.sin(4 * time_s))).astype(np.float32), RATE)
    return path


def _expected(model: str, recording: Path, number: int) -> str:
    """The digest of what this person must hear."""
    from vqspeech.demo.service import DemoService

    if model not in _studios:
        _studios[model] = DemoService([model])
    studio = _studios[model]
    return hashlib.sha256(studio.convert(str(recording), _voice(studio, number)).wav.read_bytes()).hexdigest()


_studios: dict = {}


def _voice(studio, number: int) -> str:
    names = [name for _, name in studio.voices()]
    return names[number % len(names)]


def _person(port: int, folder: Path, number: int, expected: str, end: float, answers: Counter, faults: list) -> None:
    from gradio_client import Client, handle_file

    voice = _voice(next(iter(_studios.values())), number)
    downloads = folder / "heard" / str(number)
    client = None
    while time.monotonic() < end:
        try:
            client = client or Client(f"http://127.0.0.1:{port}", verbose=False, download_files=str(downloads))
            out = client.predict(handle_file(folder / f"{number}.wav"), voice, 0.9, "voice", api_name="/convert")
        except Exception as error:  # the client has many kinds
            message = str(error)
            kind = "queue full" if "full" in message.lower() else "refused"
            if kind == "refused":
                faults.append(f"person {number}: {message[:160]}")
            answers[kind] += 1
            time.sleep(1)
            continue
        right = hashlib.sha256(Path(out[0]).read_bytes()).hexdigest() == expected
        answers["right" if right else "wrong"] += 1


def _half(port: int, end: float) -> None:
    """Sends the first half of an upload, and goes."""
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as line:
            line.sendall(b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
                         b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n" + bytes(5000))  # fmt: skip
        time.sleep(0.2)


def _slow(port: int, end: float) -> None:
    """Sends a request a byte a second."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as line:
        for byte in b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"a" * 10000:
            if time.monotonic() > end:
                break
            line.sendall(bytes([byte]))
            time.sleep(1)


def _rubbish(port: int, folder: Path, end: float, answers: Counter) -> None:
    """Sends what is no recording."""
    from gradio_client import Client, handle_file

    bad = folder / "rubbish.wav"
    bad.write_bytes(np.random.default_rng(0).bytes(5000))
    while time.monotonic() < end:
        try:
            client = Client(f"http://127.0.0.1:{port}", verbose=False, download_files=str(folder / "none"))
            client.predict(handle_file(bad), "p225", 0.9, "voice", api_name="/convert")
            answers["wrong"] += 1
        except Exception:  # as it must be
            answers["rubbish refused"] += 1
        time.sleep(1)


def _free_port() -> int:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return line.getsockname()[1]


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _until(true, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError("the server did not come up")
        time.sleep(0.2)


def _memory(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * int(next((line.split()[1] for line in lines if line.startswith("VmRSS")), 0))


def _files(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))  # what goes meanwhile is no error


@app.command()
def main(
    people: Annotated[int, typer.Option(help="At once.")] = 50,
    minutes: Annotated[float, typer.Option(help="For so long.")] = 3.0,
    model: Annotated[str, typer.Option(help="As everywhere.")] = "english-16k",
) -> None:
    """The page under load."""
    with tempfile.TemporaryDirectory() as folder:
        result = crowd(model, people, 60 * minutes, Path(folder))
    answers, (first, most), (files, left) = result.answers, result.memory, result.files
    summary = {
        "people": people, "minutes": f"{minutes:g}", "heard their own": answers["right"],
        "heard another's": answers["wrong"], "queue was full": answers["queue full"],
        "refused otherwise": answers["refused"], "rubbish refused": answers["rubbish refused"],
        "server, MiB": first >> 20, "at most": most >> 20, "files at most": files, "left": left,
    }  # fmt: skip
    for row in (summary, dict.fromkeys(summary, "---"), {name: str(value) for name, value in summary.items()}):
        print(f"| {' | '.join(row if row is summary else row.values())} |")
    for fault in result.faults[:20]:
        print(fault, file=sys.stderr)
    raise typer.Exit(1 if result.faults else 0)


if __name__ == "__main__":
    app()
