"""Resumed trainings equal undisturbed ones."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vqspeech import config
from vqspeech.models import checkpoint
from vqspeech.training import tasks


def train(settings, packed: Path, run: Path, **changes) -> dict[str, float]:
    tree = settings.model_dump()
    tree["training"] |= changes
    return tasks.train_vqvae(config.from_tree(tree, "test"), [packed], [packed], run)


def command(settings, packed: Path, run: Path, *launcher: str) -> list[str]:
    (packed.parent / "config.yaml").write_text(config.to_yaml(settings))
    data = packed.parent
    held = ["--data", str(data), "--held-out", str(data), "--out", str(run)]
    return [*(launcher or (sys.executable, "-m")), "vqspeech", "train", str(data / "config.yaml"), *held]


def same(first: Path, second: Path) -> bool:
    first, second = load_file(first), load_file(second)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("muon", [0.0, 5.0])
def test_a_run_that_was_stopped_and_resumed_equals_the_undisturbed_one(tiny, packed, tmp_path, muon):
    changes = {"decay_steps": 6, "muon_lr_ratio": muon}
    steady = config.from_tree(tiny.model_dump() | {"training": tiny.training.model_dump() | changes}, "")
    train(steady, packed, tmp_path / "whole")
    for steps in (1, 4, 6):
        train(steady, packed, tmp_path / "parts", max_steps=steps)
    for name in (Path("model.safetensors"), Path("state/00000006.safetensors")):
        assert same(tmp_path / "whole" / name, tmp_path / "parts" / name)


def test_a_run_that_goes_on_longer_can_be_loaded_before_it_has_saved_again(tiny, packed, tmp_path):
    train(tiny, packed, tmp_path / "run", max_steps=2)
    weights = checkpoint.load(tmp_path / "run").model.state_dict()
    longer = tiny.model_copy(update={"training": tiny.training.model_copy(update={"max_steps": 9})})
    checkpoint.init_run_dir(tmp_path / "run", longer, ["s0", "s1", "s2"])
    again = checkpoint.load(tmp_path / "run")
    assert again.config.training.max_steps == 9
    assert all(torch.equal(tensor, weights[name]) for name, tensor in again.model.state_dict().items())


def test_a_run_that_was_killed_and_resumed_equals_the_undisturbed_one(tiny, packed, tmp_path):
    tree = tiny.model_dump()
    tree["training"] |= {"max_steps": 60, "save_every": 1, "evaluate_every": 100}
    settings = config.from_tree(tree, "test")
    train(settings, packed, tmp_path / "whole")
    for wait in (2, 9):  # states that must have been written before the kill
        process = subprocess.Popen(
            command(settings, packed, tmp_path / "killed"),
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1"},  # as here: another number of threads adds in another order
        )
        while process.poll() is None and _newest(tmp_path / "killed") < wait:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert 0 < _newest(tmp_path / "killed") < 60
    train(settings, packed, tmp_path / "killed")
    assert same(tmp_path / "whole/model.safetensors", tmp_path / "killed/model.safetensors")


def _newest(run: Path) -> int:
    return max((int(path.stem) for path in run.glob("state/[0-9]*.safetensors")), default=0)


def test_two_processes_with_the_same_global_batch_learn_the_same_codebook_as_one(tiny, packed, tmp_path):
    tree = tiny.model_dump()
    tree["training"] |= {"max_steps": 8, "learning_rate": 1e-3}
    settings = config.from_tree(tree, "test")
    train(settings, packed, tmp_path / "one")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", "-m"]
    done = subprocess.run(
        command(settings, packed, tmp_path / "two", *launch),
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (load_file(tmp_path / run / "state/00000008.safetensors") for run in ("one", "two"))
    for name in (
        "learner.quantizer.codebooks.0.codebook",
        "learner.quantizer.codebooks.0.cluster_size",
        "learner.wavenet.head.weight",
    ):
        assert torch.allclose(first[name], second[name], rtol=1e-3, atol=1e-4), name
    assert json.loads((tmp_path / "two/log.jsonl").read_text().splitlines()[-1])["step"] == 8


@pytest.fixture(params=["one machine", "two network namespaces"])
def machines(request):
    """What is set before a node's command, of both nodes, and the address of the first."""
    if request.param == "one machine":
        yield ([], []), "127.0.0.1"
        return
    names = [f"vqspeech-{os.getpid()}-{rank}" for rank in (0, 1)]
    steps = [f"netns add {name}" for name in names]
    steps += [f"link add vq0 netns {names[0]} type veth peer name vq1 netns {names[1]}"]
    for rank, name in enumerate(names):
        steps += [f"-n {name} address add 10.77.0.{rank + 1}/24 dev vq{rank}"]
        steps += [f"-n {name} link set {link} up" for link in ("lo", f"vq{rank}")]
    try:
        for step in steps:
            done = shutil.which("ip") and subprocess.run(["ip", *step.split()], capture_output=True, text=True)
            if not done or done.returncode:
                pytest.skip(f"network namespaces need iproute2 and root: {done.stderr if done else 'no ip'}")
        envs = [["env", f"GLOO_SOCKET_IFNAME=vq{rank}"] for rank in (0, 1)]
        yield [["ip", "netns", "exec", name, *env] for name, env in zip(names, envs, strict=True)], "10.77.0.1"
    finally:
        for name in names if shutil.which("ip") else ():
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def test_two_nodes_go_on_as_one_process_when_one_of_them_dies(tiny, packed, tmp_path, machines):
    tree = tiny.model_dump()
    tree["training"] |= {"max_steps": 3000, "decay_steps": 3000, "save_every": 2, "evaluate_every": 10_000}
    settings, port = config.from_tree(tree, "test"), str(_free_port())
    nodes, (before, address) = [], machines
    for rank in ("0", "1"):
        launch = [
            *before[int(rank)],
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nnodes",
            "2",
            "--node_rank",
            rank,
        ]
        launch += ["--nproc_per_node", "1", "--master_addr", address, "--master_port", port, "-m"]
        words = command(settings, packed, tmp_path / "run", *launch)
        nodes.append(
            subprocess.Popen(
                words,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
        )
    while all(node.poll() is None for node in nodes) and not _newest(tmp_path / "run"):
        time.sleep(0.05)
    assert nodes[1].poll() is None, nodes[1].communicate()[1][-3000:]
    workers = Path(f"/proc/{nodes[1].pid}/task/{nodes[1].pid}/children").read_text().split()
    for worker in workers:
        os.kill(int(worker), signal.SIGKILL)
    stderr = nodes[0].communicate(timeout=600)[1]
    assert nodes[0].returncode, stderr[-2000:]
    assert "SIGKILL" in nodes[1].communicate(timeout=600)[1]
    last = _newest(tmp_path / "run")
    assert 0 < last < 3000
    train(settings, packed, tmp_path / "run", max_steps=last + 2)
    assert _newest(tmp_path / "run") == last + 2
    checkpoint.load(tmp_path / "run")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
