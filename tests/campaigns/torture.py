#!/usr/bin/env python
"""Campaigns against what a person trusts: python tests/campaigns/torture.py kill --rounds 100; `make torture` runs all.

Each prints a table for docs/explanation/reliability.md and ends with 1 if something was lost, torn or not reported.
The suite runs a short form of each: tests/stories/test_torture.py.
"""

import contextlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
import yaml
from torch.optim.swa_utils import AveragedModel

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
RATE = 16000
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
CONFIG = """
model:
  features: {n_mels: 20, hop_length: 160, n_mfcc: 8, cmn_window_s: 0.5, use_f0: true}
  encoder: {channels: 8, strides: [2]}
  quantizer: {codebook_size: 16, codebook_dim: 4}
  wavenet: {residual_channels: 8, skip_channels: 12, layers: 4, layers_per_stack: 3}
  acoustic: {channels: 8}
  cond_channels: 6
  speaker_dim: 3
training: {batch_size: 4, segment_length: 1280, max_steps: 40, evaluate_every: 10, save_every: 5,
           evaluate_s: 1, log_audio: 0, precision: float32, decay_steps: 40}
"""
VERBS = {
    "pack": "data pack data",
    "tokenize": "tokenize data --model model",
    "train": "train config.yaml --data packed --held-out packed --out run",
    "encode": "encode wav/0.wav wav/1.wav wav/2.wav --model model --out-dir out",
    "convert": "convert wav/0.wav wav/1.wav --speaker s1 --model model --out-dir out",
    "enrol": "enrol --name bob --model model wav/long.wav",
    "run.sh": "bash egs/vctk/run.sh --vctk wav/VCTK --config my.yaml --set-prior training.max_steps=9 --stop-stage 7",
}
HANG_S, ROOM = 10.0, 2 << 30
"""Seconds that reading a small file may take, and bytes of memory."""
GROWTH = 1 << 30
SAID = re.compile(
    r"vqspeech: (interrupted|stopped after step).* kept.* (run the same command again|goes on from there)"
)
"""What a command says that was asked to end."""
STOPPED = 130
LATE_S = 2.0
"""After a request to end, a command may take this long."""


class Ended(NamedTuple):
    """How a command ended: its code (negative: by that signal), its stderr, the seconds from the signal to the end."""

    code: int
    stderr: str
    late_s: float


class Tally(NamedTuple):
    """Of one verb: what was counted, the longest end after a request, and what went wrong."""

    counts: Counter
    late_s: float
    faults: list[str]


def workplace(folder: Path) -> None:
    """Recordings, a data directory, a packed copy of it, and a model of them, small enough for a second's work."""
    from vqspeech import audio

    (folder / "wav").mkdir(parents=True)
    rng, time_s = np.random.default_rng(0), np.arange(40 * RATE) / RATE
    for number, seconds in enumerate((2, 2, 2, 1, 1, 1)):
        audio.write(folder / f"wav/{number}.wav", _voiced(rng, time_s[: seconds * RATE]), RATE)
    audio.write(folder / "wav/long.wav", _voiced(rng, time_s[: 14 * RATE]), RATE)
    for name in ("data", "packed"):
        (folder / name).mkdir()
        rows = [f"s{at // 3}-{at}" for at in range(6)]
        scp = "".join(f"{row} {folder}/wav/{at}.wav\n" for at, row in enumerate(rows))
        (folder / name / "wav.scp").write_text(scp)
        (folder / name / "utt2spk").write_text("".join(f"{row} {row[:2]}\n" for row in rows))
    (folder / "config.yaml").write_text(CONFIG)
    for at in range(30):  # a VCTK for run.sh, beside a copy of it
        name = f"p22{at % 2}/p22{at % 2}_{at:03d}"
        for kind in ("wav48", "txt"):
            (folder / "wav/VCTK" / kind / name).parent.mkdir(parents=True, exist_ok=True)
        audio.write(folder / f"wav/VCTK/wav48/{name}.wav", _voiced(rng, time_s[: RATE // 2]), RATE)
        (folder / f"wav/VCTK/txt/{name}.txt").write_text(f"Sentence {at}.\n")
    (folder / "my.yaml").write_text(CONFIG)
    shutil.copytree(Path(__file__).parents[2] / "egs", folder / "egs")
    (folder / ".venv").symlink_to(sys.prefix)
    for verb in ("data pack packed", "train config.yaml --data packed --held-out packed --out model --max-steps 5"):
        done = run(verb, folder)
        assert done.code == 0, done.stderr


def _voiced(rng: np.random.Generator, time_s: np.ndarray) -> np.ndarray:
    pitch = rng.uniform(90, 200)
    tone = sum(np.sin(2 * np.pi * k * pitch * time_s) / k for k in range(1, 12))
    return (0.15 * tone * np.abs(np.sin(5 * time_s)) + 0.003 * rng.standard_normal(len(time_s))).astype(np.float32)


def run(verb: str, folder: Path, after_s: float | None = None, sent: int = signal.SIGKILL) -> Ended:
    """Runs a command in a folder; after some seconds, if it still runs, it is sent a signal; a script and all that it
    began, together."""
    words, script = verb.split(), verb.startswith("bash ")
    process = subprocess.Popen(
        words if script else [sys.executable, "-m", "vqspeech", *words], cwd=folder, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        return Ended(process.wait(after_s), _stderr(process), 0.0)
    except subprocess.TimeoutExpired:
        began = time.monotonic()
        os.killpg(process.pid, sent) if script else process.send_signal(sent)
        stderr = process.communicate(timeout=120)[1]
        return Ended(process.returncode, stderr, time.monotonic() - began)


def _stderr(process: subprocess.Popen) -> str:
    assert process.stderr
    with process.stderr:
        return process.stderr.read()


def contents(folder: Path) -> dict[str, bytes]:
    """What a verb leaves, by path: not its inputs, logs and clocks."""
    aside = ("log.jsonl", "tensorboard", "state", "wav", "skipped.tsv", "packing.json", "egs")
    files = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part in aside or part.startswith(".") for part in parts):
            data = path.read_bytes().replace(str(folder).encode(), b"HERE")
            files["/".join(parts)] = _ordered(data) if path.suffix == ".safetensors" else data
    return files


def _ordered(data: bytes) -> bytes:
    """A safetensors file with the entries of its header in their order: they are written in any."""
    until = 8 + int.from_bytes(data[:8], "little")
    return json.dumps(json.loads(data[8:until]), sort_keys=True).encode() + data[until:]


def killed(name: str, rounds: int, seed: int, origin: Path) -> Tally:
    """Kills a verb at random moments, looks for torn files, lets the next one finish and compares."""
    verb, rng, counts, late_s, faults = VERBS[name], random.Random(seed), Counter(), 0.0, []
    with tempfile.TemporaryDirectory() as home:
        here = Path(home) / "here"
        _copied(origin, here)
        began = time.monotonic()
        whole = run(verb, here)
        lasts_s, expected = time.monotonic() - began, contents(here)
        if whole.code:
            return Tally(counts, late_s, [f"{name}: fails undisturbed: {whole.stderr}"])
        for number in range(rounds):
            _copied(origin, here)
            for _ in range(rng.randint(1, 3)):
                sent = rng.choice(list(SIGNALS))
                ended = run(verb, here, rng.uniform(0.3, lasts_s), SIGNALS[sent])
                counts[sent if ended.late_s else "was over before"] += 1
                if ended.late_s and sent != "SIGKILL":
                    late_s = max(late_s, ended.late_s)
                    if "Traceback" in ended.stderr or not (name == "run.sh" or _answered(ended, SIGNALS[sent])):
                        faults.append(f"{name}, round {number}, {sent}: code {ended.code}, {ended.stderr[-300:]!r}")
                faults += [f"{name}, round {number}, {sent}: {path} is torn" for path in _torn(name, here, expected)]
            faults += [f"{name}, round {number}: {fault}" for fault in _ended_otherwise(verb, here, expected)]
            left = [path.name for path in here.rglob(".*.part")]
            counts["left over"] += len(left)
    return Tally(counts, late_s, faults)


def _torn(name: str, here: Path, expected: dict[str, bytes]) -> list[str]:
    """Files that bear their final names and are neither what they must be in the end nor of something whole."""
    differ = [path for path, data in contents(here).items() if expected.get(path, data) != data]
    return [path for path in differ if not (name in ("train", "run.sh") and _reads(here / path))]


def _ended_otherwise(verb: str, here: Path, expected: dict[str, bytes]) -> list[str]:
    """Lets a verb run to its end; what is then not as if nothing had been."""
    last, result = run(verb, here), contents(here)
    if result == expected:  # a code other than 0 alone says that all was there, as of a voice's name
        return []
    differ = [path for path in expected | result if result.get(path) != expected.get(path)]
    return [f"code {last.code}, {differ} differ; {last.stderr[-300:]}"]


def _answered(ended: Ended, sent: int) -> bool:
    """Whether a request to end was answered in a line, or came too late, or while Python itself began.

    Python ends by SIGINT, not by the exit code that it is told, if the interruption went through an `exec` of its own.
    """
    lines = ended.stderr.strip().splitlines()
    answered = ended.code in (2, STOPPED, -signal.SIGINT) and lines and SAID.match(lines[-1])
    return bool(answered) or ended.code in (0, -sent)


def _copied(origin: Path, here: Path) -> None:
    """A fresh copy of the workplace, always under the same path: tables name it."""
    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(origin, here, symlinks=True)
    for table in here.glob("*/wav.scp"):
        table.write_text(table.read_text().replace(str(origin), str(here)))


def _reads(path: Path) -> bool:
    """Whether a file that differs from the final one is of a run or a data directory that is whole nevertheless."""
    from vqspeech import InputError
    from vqspeech.data import corpus
    from vqspeech.models import checkpoint

    run = next((parent for parent in path.parents if (parent / checkpoint.CONFIG).exists()), None)
    try:
        return bool(
            (checkpoint.load(run) if "prior" not in run.name else checkpoint.load_prior(run))
            if run
            else corpus.read(path.parent)
        )
    except InputError:
        return False


@app.command("kill")
def kill(
    rounds: Annotated[int, typer.Option(min=1, help="Of each verb; up to three kills each.")] = 100,
    only: Annotated[str, typer.Option(help="One verb of " + ", ".join(VERBS))] = "",
    seed: Annotated[int, typer.Option(help="Of moments and signals.")] = 0,
) -> None:
    """Verbs killed at random moments, run again, and their results compared with those of undisturbed ones."""
    faults = []
    print("| verb | rounds | SIGKILL | SIGTERM | SIGINT | over before | longest end after a request | lost or torn |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as home:
        origin = Path(home) / "origin"
        workplace(origin)
        for name in [only] if only else VERBS:
            tally = killed(name, rounds, seed, origin)
            counts = " | ".join(str(tally.counts[kind]) for kind in [*SIGNALS, "was over before"])
            print(f"| {name} | {rounds} | {counts} | {tally.late_s:.2f} s | {len(tally.faults)} |", flush=True)
            faults += tally.faults
            if tally.late_s > LATE_S:
                faults.append(f"{name}: took {tally.late_s:.2f} s to end")
    print("\n".join(faults), file=sys.stderr)
    raise typer.Exit(bool(faults))


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[Callable[[int], None]]:
    """A disk in memory, mounted on a folder; gives what sets its size in bytes.  Root alone may mount."""

    def resize(size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)

    options = ["-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)]
    subprocess.run(["mount", *options], check=True, capture_output=True)
    try:
        yield resize
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def filled(name: str, rounds: int, seed: int, origin: Path) -> Tally:
    """A verb on a disk that gets full at a random place; then, with room, it must end as if nothing had been."""
    verb, rng, counts, faults = VERBS[name], random.Random(seed), Counter(), []
    expected, needs = {}, 0
    with tempfile.TemporaryDirectory() as home:
        here = Path(home) / "here"
        here.mkdir()
        for number in range(rounds + 1):  # the first is not disturbed
            with mounted(here) as resize:
                _copied(origin, here / "work")
                before = shutil.disk_usage(here).used
                if number:
                    resize(before + rng.randrange(needs))
                ended = run(verb, here / "work")
                if not number:
                    if ended.code:
                        return Tally(counts, 0.0, [f"{name}: fails undisturbed: {ended.stderr}"])
                    expected, needs = contents(here / "work"), shutil.disk_usage(here).used - before
                    continue
                counts["full" if ended.code else "had room"] += 1
                last = ended.stderr.strip().splitlines()[-1] if ended.code else ""
                if ended.code and ("Traceback" in ended.stderr or not last.startswith("vqspeech: ") or ended.code != 2):
                    faults.append(f"{name}, round {number}: code {ended.code}, {ended.stderr[-300:]}")
                faults += [f"{name}, round {number}: {path} is torn" for path in _torn(name, here / "work", expected)]
                resize(ROOM)
                faults += [
                    f"{name}, round {number}: {fault}" for fault in _ended_otherwise(verb, here / "work", expected)
                ]
    return Tally(counts, 0.0, faults)


@app.command("disk")
def disk(
    rounds: Annotated[int, typer.Option(min=1, help="Of each verb.")] = 20,
    only: Annotated[str, typer.Option(help="One verb of " + ", ".join(VERBS))] = "",
    seed: Annotated[int, typer.Option(help="Of where the disk is full.")] = 0,
) -> None:
    """Verbs on a disk that gets full at random places, in memory (root alone may mount it), and again with room."""
    if os.geteuid():
        print("torture.py: a disk of one's own is for root to mount; left out", file=sys.stderr)
        return
    faults = []
    print("| verb | rounds | full | had room | lost, torn or untold |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as home:
        origin = Path(home) / "origin"
        workplace(origin)
        for name in [only] if only else [verb for verb in VERBS if verb != "run.sh"]:
            tally = filled(name, rounds, seed, origin)
            print(f"| {name} | {rounds} | {tally.counts['full']} | {tally.counts['had workdir']} ", end="")
            print(f"| {len(tally.faults)} |", flush=True)
            faults += tally.faults
    print("\n".join(faults), file=sys.stderr)
    raise typer.Exit(bool(faults))


class Outcome(NamedTuple):
    """Of mutated files: how many were read, how many refused in one line, the slowest, and what went wrong."""

    read: int
    refused: int
    slowest_s: float
    faults: list[str]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Bytes with some changed, cut away, put in or exchanged with others of the same file."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(changed) + 1) if rng.random() < 0.5 else rng.randrange(min(len(changed), 64) + 1)
        some = rng.choice((1, 2, 4, 4, 8, 100))
        match rng.randrange(5):
            case 0:
                changed[at : at + some] = rng.randbytes(some)
            case 1:
                changed[at : at + some] = rng.choice((b"\0", b"\xff", b"\x7f")) * some
            case 2:
                del changed[at : at + (some if rng.random() < 0.7 else len(changed))]
            case 3:
                changed[at:at] = rng.randbytes(some)
            case _:
                source = rng.randrange(len(changed) + 1)
                changed[at : at + some] = changed[source : source + some]
    return bytes(changed)


def good_audio(folder: Path) -> list[tuple[str, bytes]]:
    """A second of sound in each container that can be written here."""
    import soundfile

    wave = _voiced(np.random.default_rng(0), np.arange(RATE) / RATE)
    files = []
    opus = {"format": "OGG", "subtype": "OPUS"}
    kinds: dict[str, dict] = {"a.wav": {}, "f.wav": {"subtype": "FLOAT"}, "a.flac": {}, "a.ogg": {}, "a.mp3": {}}
    for name, options in (kinds | {"a.opus": opus}).items():
        soundfile.write(folder / name, wave, RATE, **options)
        files.append((name, (folder / name).read_bytes()))
    return files


def hostile_audio(files: int, seed: int) -> Outcome:
    """Mutated recordings through `audio.read`: a wave without NaN, or one line."""
    from vqspeech import audio

    def read(path: Path) -> None:
        wave = audio.read(path, RATE)
        assert np.isfinite(wave).all(), "not finite"

    with tempfile.TemporaryDirectory() as home:
        return _read_mutated(good_audio(Path(home)), read, files, seed, Path(home))


def hostile_vqs(files: int, seed: int) -> Outcome:
    """Mutated .vqs files through `codec.decode_blocks`' reader: codes within the codebook, or one line."""
    from vqspeech.codec import vqs_files
    from vqspeech.inference import speech_codec
    from vqspeech.inference.sampling_config import SamplingConfig

    with tempfile.TemporaryDirectory() as home:
        workplace(Path(home) / "origin")
        model = speech_codec.SpeechCodec(str(Path(home) / "origin/model"))
        wave = _voiced(np.random.default_rng(0), np.arange(RATE) / RATE)
        kinds = ("packed", "adaptive")
        good = [(f"{kind}.vqs", b"".join(vqs_files.encode_blocks(model, [wave], coder=kind))) for kind in kinds]
        codes_before = model.encode(wave)

        def read(path: Path) -> None:
            decoding = vqs_files._Decoding(
                model, [path.read_bytes()], "s1", SamplingConfig(), False, None, lambda _: None
            )
            codes = np.concatenate([np.zeros((0, model.codebooks), np.int64), *decoding.request.pieces])
            decoding.postprocess(np.zeros(len(codes) * model.hop, np.float32))
            decoding.finish()
            assert np.array_equal(codes, codes_before), "other codes, untold"

        return _read_mutated(good, read, files, seed, Path(home))


def hostile_models(files: int, seed: int) -> Outcome:
    """Run directories in which one file is mutated through `checkpoint.load`: the model as it was, or one line."""
    from vqspeech.models import checkpoint

    with tempfile.TemporaryDirectory() as home:
        workplace(Path(home) / "origin")
        model = Path(home) / "origin/model"
        names = (checkpoint.CONFIG, checkpoint.SPEAKERS, checkpoint.WEIGHTS, "voices.tsv")
        good = [(name, (model / name).read_bytes()) for name in names]
        digest = checkpoint.load(model).digest

        def read(path: Path) -> None:
            for name, original in good:
                (model / name).write_bytes(path.read_bytes() if name == path.name else original)
            assert checkpoint.load(model).digest == digest, "another model, untold"

        return _read_mutated(good, read, files, seed, Path(home))


def hostile_tables(files: int, seed: int) -> Outcome:
    """Data directories in which one table is mutated through `corpus.read` and the packing: read, or one line."""
    from vqspeech.data import archives, corpus

    with tempfile.TemporaryDirectory() as home:
        workplace(Path(home) / "origin")
        data = Path(home) / "origin/packed"
        names = ("wav.scp", "utt2spk", "packed/packed.json", "packed/shard-00000.tsv")
        good = [(name.replace("/", "%"), (data / name).read_bytes()) for name in names]

        def read(path: Path) -> None:
            for name, original in good:
                (data / name.replace("%", "/")).write_bytes(path.read_bytes() if name == path.name else original)
            corpus.read(data)
            for classes in (
                packed[at] for packed in [archives.MulawShards(data / "packed")] for at in range(len(packed))
            ):
                assert len(classes) < 100 * RATE, "longer than all there is"

        return _read_mutated(good, read, files, seed, Path(home))


def hostile_configs(files: int, seed: int) -> Outcome:
    """Mutated settings through `config.load`: settings within their limits, or one line."""
    from vqspeech import config

    here = Path(__file__).parents[2]
    paths = [here / "egs/vctk/conf/vctk64.yaml", here / "recipes/pretrained/conf/codes.yaml"]
    good = [(path.name, path.read_bytes()) for path in [*paths, here / "egs/vctk/conf/prior.yaml"]]

    def read(path: Path) -> None:
        settings = config.load(path)
        assert config.from_tree(yaml.safe_load(config.to_yaml(settings)), "again") == settings, (
            "not what is written again"
        )

    with tempfile.TemporaryDirectory() as home:
        return _read_mutated(good, read, files, seed, Path(home))


def hostile_runs(files: int, seed: int) -> Outcome:
    """Run directories in which a state, a log or TensorBoard's file is mutated: as it was, shown, or one line."""
    from vqspeech import config
    from vqspeech.evaluation import report
    from vqspeech.models.vqvae import VQVAE
    from vqspeech.training import state
    from vqspeech.training.logger import RunLogger

    with tempfile.TemporaryDirectory() as home:
        workplace(Path(home) / "origin")
        run = Path(home) / "origin/model"
        events = next((run / "tensorboard").iterdir())
        rows = [{"system": name, "source": "a.wav", "speaker": "s0", "dnsmos": 2.9} for name in ("vqspeech", "mu-law")]
        (run / "evaluation.json").write_text(json.dumps({"rows": rows}))
        paths = [state.states_of(run)[-1], run / "log.jsonl", events, run / "evaluation.json"]
        good = [(str(path.relative_to(run)).replace("/", "%"), path.read_bytes()) for path in paths]
        model = VQVAE.from_config(config.load(run / "config.yaml").model, 2)
        adam = torch.optim.Adam(model.parameters())
        assert state.resume_(run, model, AveragedModel(model), adam)[0] == 5
        expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}

        def read(path: Path) -> None:
            for name, original in good:
                (run / name.replace("%", "/")).write_bytes(path.read_bytes() if name == path.name else original)
            if "state" in path.name:
                assert state.resume_(run, model, AveragedModel(model), adam)[0] == 5, "another step, untold"
                same = (torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())
                assert all(same), "another state, untold"
            elif "tensorboard" in path.name:
                logger = RunLogger(run)
                logger.log_scalars(6, {"bits_per_sample": 4.0})
                logger.close()
                for added in (run / "tensorboard").iterdir():
                    added.unlink()
            else:
                report.write(run, run / "report.html")

        return _read_mutated(good, read, files, seed, Path(home))


HOSTILE = {"audio": hostile_audio, "vqs": hostile_vqs, "model": hostile_models, "tables": hostile_tables,
           "configs": hostile_configs, "runs": hostile_runs}  # fmt: skip


def _read_mutated(
    good: list[tuple[str, bytes]], read: Callable[[Path], None], files: int, seed: int, folder: Path
) -> Outcome:
    """Reads mutations of good files; more than ROOM more memory, or more than HANG_S, is a fault as well."""
    from vqspeech import InputError

    resource.setrlimit(resource.RLIMIT_AS, (_size() + ROOM, resource.RLIM_INFINITY))
    rng, done, refused, slowest_s, faults = random.Random(seed), 0, 0, 0.0, []
    for number in range(files):
        name, data = rng.choice(good)
        (folder / name).write_bytes(mutated(data, rng))
        began = time.monotonic()
        try:
            read(folder / name)
            done += 1
        except InputError as error:
            refused += 1
            if "\n" in str(error):
                faults.append(f"{number}, {name}: more than a line: {error}")
        except Exception as error:
            faults.append(f"{number}, {name}: {type(error).__name__}: {str(error)[:200]}")
            shutil.copy(folder / name, f"/tmp/fault-{len(faults)}-{name}")
        slowest_s = max(slowest_s, time.monotonic() - began)
    if slowest_s > HANG_S:
        faults.append(f"the slowest took {slowest_s:.1f} s")
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return Outcome(done, refused, slowest_s, faults)


def _size() -> int:
    """Bytes of address space that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


@app.command("hostile")
def hostile(
    files: Annotated[int, typer.Option(min=1, help="Of each kind.")] = 100_000,
    only: Annotated[str, typer.Option(help="One kind of " + ", ".join(HOSTILE))] = "",
    seed: Annotated[int, typer.Option(help="Of the mutations.")] = 0,
) -> None:
    """Files with bytes changed, cut, put in: read as what they are, or refused in one line; no crash, no hang."""
    print("| files | mutated | read | refused | slowest | crashed, hung or wrong |")
    print("|---|---|---|---|---|---|")
    faults = []
    for name in [only] if only else HOSTILE:
        tally = HOSTILE[name](files, seed)
        print(f"| {name} | {files:,} | {tally.read:,} | {tally.refused:,} | {tally.slowest_s:.2f} s ", end="")
        print(f"| {len(tally.faults)} |", flush=True)
        faults += [f"{name}, {fault}" for fault in tally.faults]
    print("\n".join(faults[:50]), file=sys.stderr)
    raise typer.Exit(bool(faults))


@app.command("memory")
def memory(
    hours: Annotated[float, typer.Option(help="Of the long recording.")] = 10.0,
    utterances: Annotated[int, typer.Option(help="Of the large corpus.")] = 100_000,
) -> None:
    """What a long recording and a large corpus take in memory, beside a short one and a small one."""
    faults = []
    print("| command | of | peak | of | peak | growth |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as home:
        here = Path(home)
        workplace(here)
        for name, seconds in (("short", 60), ("long", round(3600 * hours))):
            _long_recording(here / f"{name}.wav", seconds)
        for verb in ("encode {0}.wav --model model", "decode {0}.vqs --model model -o {0}.out.wav --speaker s1",
                     "convert {0}.wav --speaker s1 --model model -o {0}.converted.wav"):  # fmt: skip
            peaks = [_peak(verb.format(name), here) for name in ("short", "long")]
            _row(verb.split()[0], "60 s", peaks[0], f"{hours:g} h", peaks[1])
            if peaks[1] - peaks[0] > GROWTH:
                faults.append(f"{verb}: grew by {(peaks[1] - peaks[0]) / 2**20:.0f} MiB")
        for name, number in (("small", 1000), ("large", utterances)):
            _many_utterances(here, here / name, number)
        for verb in ("data pack {0}", "tokenize {0} --model model"):
            peaks = [_peak(verb.format(name), here) for name in ("small", "large")]
            _row(verb.replace(" {0}", "").split(" --")[0], "1,000", peaks[0], f"{utterances:,}", peaks[1])
            if peaks[1] - peaks[0] > GROWTH:
                faults.append(f"{verb}: grew by {(peaks[1] - peaks[0]) / 2**20:.0f} MiB")
    print("\n".join(faults), file=sys.stderr)
    raise typer.Exit(bool(faults))


def _long_recording(path: Path, seconds: int) -> None:
    """The same ten seconds again and again."""
    from vqspeech import audio

    wave = _voiced(np.random.default_rng(0), np.arange(10 * RATE) / RATE)
    with audio.Writer(path, RATE) as file:
        for _ in range(seconds // 10):
            file.write(wave)


def _many_utterances(here: Path, folder: Path, number: int) -> None:
    """A data directory that names the same short recording again and again."""
    from vqspeech import audio

    folder.mkdir()
    audio.write(here / "tick.wav", _voiced(np.random.default_rng(0), np.arange(RATE // 10) / RATE), RATE)
    for name, value in (("wav.scp", f"{here}/tick.wav"), ("utt2spk", "s0")):
        with (folder / name).open("w") as file:
            file.writelines(f"s0-{at:08d} {value}\n" for at in range(number))


def _peak(verb: str, folder: Path) -> int:
    """Bytes that a command has in memory at most, without what its processes share."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vqspeech", *verb.split()], cwd=folder, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, verb
    return usage.ru_maxrss * 1024


def _row(name: str, less: str, small: int, more: str, large: int) -> None:
    mib = 2**20
    print(f"| {name} | {less} | {small / mib:.0f} MiB | {more} | {large / mib:.0f} MiB ", end="")
    print(f"| {(large - small) / mib:.0f} MiB |", flush=True)


if __name__ == "__main__":
    app()
