import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.optim.swa_utils import AveragedModel

from vqspeech import InputError, config
from vqspeech.data import archives, batches
from vqspeech.models import checkpoint
from vqspeech.models.vqvae import VQVAE
from vqspeech.training import loop, state, tasks


def train(settings, packed: Path, run: Path, **changes) -> dict[str, float]:
    tree = settings.model_dump()
    tree["training"] |= changes
    return tasks.train_vqvae(config.from_tree(tree, "test"), [packed], [packed], run)


def command(settings, packed: Path, run: Path, *launcher: str) -> list[str]:
    (packed.parent / "config.yaml").write_text(config.to_yaml(settings))
    data = packed.parent
    held = ["--data", str(data), "--held-out", str(data), "--out", str(run)]
    return [*(launcher or (sys.executable, "-m")), "vqspeech", "train", str(data / "config.yaml"), *held]


def _newest(run: Path) -> int:
    return max((int(path.stem) for path in run.glob("state/[0-9]*.safetensors")), default=0)


def test_ctrl_c_ends_with_one_line_and_keeps_the_step(tiny, packed, tmp_path):
    tree = tiny.model_dump()
    tree["training"] |= {"max_steps": 100_000, "save_every": 5, "evaluate_every": 100_000}
    process = subprocess.Popen(
        command(config.from_tree(tree, "test"), packed, tmp_path / "run"), stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not _newest(tmp_path / "run"):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 2
    assert "Traceback" not in error
    assert f"stopped after step {_newest(tmp_path / 'run')}" in error
    checkpoint.load(tmp_path / "run")


def test_a_signal_does_not_wait_for_an_evaluation(tiny, packed, tmp_path, monkeypatch):
    def measure(*_):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
        raise AssertionError("was not interrupted")

    monkeypatch.setattr(tasks, "measure", measure)
    with pytest.raises(InputError, match=r"stopped after step 3; it is kept"):
        train(tiny, packed, tmp_path / "run", max_steps=100, evaluate_every=2)
    assert _newest(tmp_path / "run") == 3
    checkpoint.load(tmp_path / "run")


def test_a_batch_in_two_parts_takes_the_step_of_their_mean_gradient(tiny, packed, tmp_path):
    train(tiny, packed, tmp_path / "run", max_steps=1)  # lends the codebook its latents
    settings = tiny.model_copy(update={"training": tiny.training.model_copy(update={"max_steps": 2})})
    model = VQVAE.from_config(tiny.model, 3)
    adam = torch.optim.Adam(model.parameters())
    averaged = AveragedModel(model, use_buffers=True)
    state.resume_(tmp_path / "run", model, averaged, adam)
    for group in adam.param_groups:
        group["lr"] = loop._learning_rate(settings.training, 1, 0.0)
    crops = batches.Crops([archives.MulawShards(packed)], ["s0", "s1", "s2"], 256, 16, 0, 3.0, 1.0)
    for part in ((4, 5), (6, 7)):
        (model.loss(batches.collate([crops[number] for number in part])).total / 2).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), tiny.training.max_grad_norm)
    adam.step()
    train(tiny, packed, tmp_path / "run", max_steps=2, grad_accum_steps=2)
    taken = load_file(tmp_path / "run/state/00000002.safetensors")
    for name, tensor in model.state_dict().items():
        assert torch.allclose(tensor, taken[f"learner.{name}"], atol=1e-6), name


def test_a_compiled_training_equals_a_plain_one(tiny, packed, tmp_path):
    train(tiny, packed, tmp_path / "plain", max_steps=4)
    # all of the compiler but the code that it writes at last; in a process whose types nobody checks, which it dislikes
    traced = "import torch, functools; torch.compile = functools.partial(torch.compile, backend='aot_eager')"
    program = tmp_path / "traced.py"
    program.write_text(f"{traced}; from vqspeech.cli import main; main()\n")
    _, *words = command(tiny, packed, tmp_path / "compiled", "", str(program))
    words.remove("vqspeech")
    words += ["training.max_steps=4", "training.compile=true"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    plain, compiled = (load_file(tmp_path / run / "model.safetensors") for run in ("plain", "compiled"))
    for name in plain:
        assert torch.allclose(plain[name], compiled[name], rtol=1e-3, atol=1e-4), name


def test_the_clock_ends_a_training(tiny, packed, tmp_path):
    train(tiny, packed, tmp_path / "run", max_steps=10**6, max_minutes=0.02)
    assert 0 < _newest(tmp_path / "run") < 10**6
