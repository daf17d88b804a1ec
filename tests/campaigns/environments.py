#!/usr/bin/env python
"""Commands on random sources, targets and environments: python tests/campaigns/environments.py --rounds 300.

Each round draws a verb, one to three sources (sound, torn, empty, not audio, a folder, missing, a link; with plain,
blank, Latin-1 and long names), a target (none, a new file, an existing one, the source itself, a folder, a missing
folder, stdout, a device) and an environment (no HOME, a HOME that cannot be written, C and cp1252 as encodings, no
folder for caches, a proxy, a strict umask).  In every round the exit code is 0 or 2, there is no traceback, an error is
a line, sources and existing files are unchanged, the requested file exists if the code is 0, and nothing half written
is left.  Prints a table for docs/explanation/reliability.md, and ends with 1 if a round is different.
"""

import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated, NamedTuple

import torture
import typer

LIMIT_S = 120.0
NAMES = (b"plain", b"with blank", b"na\xefve", "żółw".encode(), b"x" * 120, b"-dash", b"a'quote\"", b"semi;colon")
ENVIRONMENTS: dict[str, dict[str, str | None]] = {
    "as it is": {},
    "no HOME": {"HOME": None},
    "HOME cannot be written": {"HOME": "/proc", "XDG_CACHE_HOME": "/proc/x", "XDG_DATA_HOME": "/proc/y"},
    "C locale": {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"},
    "cp1252": {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
    "no folder for caches": {"NUMBA_CACHE_DIR": "/proc/z", "XDG_CACHE_HOME": "/proc/x"},
    "a proxy": {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "ALL_PROXY": "socks5://127.0.0.1:9"},
    "TMPDIR is missing": {"TMPDIR": "/nowhere/at/all"},
}  # fmt: skip
VERBS = ("convert", "encode", "decode", "thin")
SOURCES = ("sound", "sound", "sound", "torn", "empty", "text", "folder", "missing", "link", "device")
TARGETS = ("none", "none", "new", "existing", "existing with --force", "source", "folder", "no such folder", "stdout",
           "device", "out-dir")  # fmt: skip


class Result(NamedTuple):
    """A round: what was drawn, how it ended, and what was wrong with that."""

    drawn: str
    code: int
    faults: list[str]


def main(
    rounds: Annotated[int, typer.Option(help="Number of commands.")] = 300,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Run the campaign."""
    with tempfile.TemporaryDirectory() as folder:
        origin = Path(folder) / "origin"
        torture.workplace(origin)
        subprocess.run([*_command("encode"), "0.wav", "--model", "../model"], cwd=origin / "wav", check=True)
        results = [play(origin, Path(folder) / str(number), seed + number) for number in range(rounds)]
    codes = Counter((result.drawn.split()[0], result.code) for result in results)
    print("| verb | commands | done | refused | anything else |\n|---|---|---|---|---|")
    for verb in VERBS:
        wrong = sum(bool(result.faults) for result in results if result.drawn.split()[0] == verb)
        done, refused = codes[verb, 0], codes[verb, 2]
        print(f"| {verb} | {sum(n for (name, _), n in codes.items() if name == verb)} | {done} | {refused} | {wrong} |")
    for result in results:
        for fault in result.faults:
            print(f"{result.drawn}: {fault}", file=sys.stderr)
    sys.exit(any(result.faults for result in results))


def play(origin: Path, folder: Path, seed: int) -> Result:
    """One round in a folder of its own, which is removed afterwards."""
    rng = random.Random(seed)
    verb, environment = rng.choice(VERBS), rng.choice(list(ENVIRONMENTS))
    folder.mkdir()
    good = origin / ("wav/0.wav" if verb in ("convert", "encode") else "wav/0.vqs")
    kinds = [rng.choice(SOURCES) for _ in range(rng.choice((1, 1, 2, 3)))]
    sources = [_source(folder, number, kind, good, rng) for number, kind in enumerate(kinds)]
    target = rng.choice(TARGETS)
    options, wanted = _target(folder, target, sources, rng)
    arguments = [*_command(verb), "--model", str(origin / "model")] if verb != "thin" else _command(verb)
    arguments += ["--speaker", "s1"] if verb == "convert" else []
    before = _digests(folder)
    settings = {name: value for name, value in (os.environ | ENVIRONMENTS[environment]).items() if value is not None}
    mask = rng.choice((0o022, 0o077))
    try:
        ended = subprocess.run(
            [*arguments, *options, "--", *sources], cwd=folder, env=settings, capture_output=True, timeout=LIMIT_S,
            umask=mask, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Result(f"{verb} {kinds} {target} {environment}", -1, [f"took more than {LIMIT_S:g} s"])
    faults = _faults(ended, folder, before, wanted, target)
    shutil.rmtree(folder)
    return Result(f"{verb} {kinds} -> {target}, {environment} (seed {seed})", ended.returncode, faults)


def _command(verb: str) -> list[str]:
    return [sys.executable, "-m", "vqspeech", *verb.split()]


def _source(folder: Path, number: int, kind: str, good: Path, rng: random.Random) -> bytes:
    name = str(number).encode() + rng.choice(NAMES) + good.suffix.encode()
    path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
    data = good.read_bytes()
    if kind == "device":
        return b"/dev/null"
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(good)
    elif kind != "missing":
        content = {"sound": data, "torn": data[: len(data) * 2 // 3], "empty": b"", "text": b"not a sound\n" * 99}[kind]
        path.write_bytes(content)
    return os.fsencode(path) if rng.random() < 0.5 else b"./" + name


def _target(folder: Path, kind: str, sources: list[bytes], rng: random.Random) -> tuple[list[str | bytes], Path | None]:
    """Options, and the file that must be there if the exit code is 0."""
    path = folder / "result.wav"
    if kind.startswith("existing"):
        path.write_bytes(b"precious")
        return ["-o", str(path), *(["--force"] if kind.endswith("force") else [])], path
    if kind == "source":
        return ["-o", rng.choice(sources)], None
    if kind == "folder":
        return ["-o", "results/"], None
    places: dict[str, tuple[list[str | bytes], Path | None]] = {
        "none": ([], None), "new": (["-o", str(path)], path), "no such folder": (["-o", "no/such/result.wav"], None),
        "stdout": (["-o", "-"], None), "device": (["-o", "/dev/null"], None), "out-dir": (["--out-dir", "out"], None),
    }  # fmt: skip
    return places[kind]


def _digests(folder: Path) -> dict[bytes, str]:
    """What files hold, by their paths."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {os.fsencode(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _faults(
    ended: subprocess.CompletedProcess, folder: Path, before: dict[bytes, str], wanted: Path | None, target: str
) -> list[str]:
    faults, after = [], _digests(folder)
    if ended.returncode not in (0, 2):
        faults.append(f"exit code {ended.returncode}: {ended.stderr[-300:]!r}")
    if b"Traceback" in ended.stderr:
        faults.append(f"a traceback: {ended.stderr[-300:]!r}")
    if ended.returncode == 2 and not ended.stderr.strip():
        faults.append("exit code 2 without a word")
    replaced = target == "existing with --force"
    changed = [path for path, digest in before.items() if after.get(path) != digest]
    if changed and not (replaced and changed == [os.fsencode(wanted or "")]):
        faults.append(f"changed {changed}")
    if ended.returncode == 0 and wanted and not wanted.exists():
        faults.append("exit code 0 without the file")
    if ended.returncode == 0 and target == "stdout" and not ended.stdout:
        faults.append("exit code 0 and nothing on stdout")
    new = [path.rpartition(b"/")[2] for path in after if path not in before]
    if any(name.endswith((b".part", b".tmp")) for name in new) or (folder / "~").exists():
        faults.append(f"left {new}")
    if not Path("/dev/null").is_char_device():
        faults.append("replaced a device")
    return faults


if __name__ == "__main__":
    typer.run(main)
