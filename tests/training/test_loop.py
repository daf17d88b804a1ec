import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.optim.swa_utils import AveragedModel

from vqspeech import InputError, config
from vqspeech.audio import mulaw
from vqspeech.data import archives, batches
from vqspeech.inference import speech_codec
from vqspeech.models import checkpoint, exporting, speaker_table
from vqspeech.models.vqvae import VQVAE
from vqspeech.training import loop, state, tasks
from vqspeech.training.muon import RMS, Muon, orthogonal


def train(settings, packed: Path, run: Path, **changes) -> dict[str, float]:
    tree = settings.model_dump()
    tree["training"] |= changes
    return tasks.train_vqvae(config.from_tree(tree, "test"), [packed], [packed], run)


def command(settings, packed: Path, run: Path, *launcher: str) -> list[str]:
    (packed.parent / "config.yaml").write_text(config.to_yaml(settings))
    data = packed.parent
    held = ["--data", str(data), "--held-out", str(data), "--out", str(run)]
    return [*(launcher or (sys.executable, "-m")), "vqspeech", "train", str(data / "config.yaml"), *held]


def same(one: Path, other: Path) -> bool:
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_training_lowers_the_loss_and_leaves_a_run_directory(tiny, packed, tmp_path):
    numbers = train(tiny, packed, tmp_path / "run", max_steps=150, evaluate_every=150, learning_rate=1e-2)
    assert numbers["held_out_bits_per_sample"] < 7.0  # 8 bits is knowing nothing
    assert 1 <= numbers["held_out_perplexity"] <= numbers["held_out_codes_used"] <= 16
    run = checkpoint.load(tmp_path / "run")
    assert run.speakers == ["s0", "s1", "s2"]
    rows = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert {"bits_per_sample", "quantizer_loss", "held_out_bits_per_sample", "epoch_codes_used"} <= set().union(*rows)
    assert list((tmp_path / "run/tensorboard").iterdir())
    assert len(list((tmp_path / "run/state").iterdir())) == 2


@pytest.mark.parametrize("tiny", [{"channels": 16}], indirect=True)
def test_a_sketch_learns_its_outline_and_a_voice_begins_with_it(tiny, packed, tmp_path):
    acoustic = {"stage": "acoustic", "evaluate_every": 200, "learning_rate": 3e-3}
    drawn, learned = (
        train(tiny, packed, tmp_path / "sketch", max_steps=steps, **acoustic)["held_out_mel_l1"] for steps in (1, 200)
    )
    assert learned < 0.5 * drawn
    run = checkpoint.load(tmp_path / "sketch")
    first = tasks.drawn(lambda: VQVAE.from_config(tiny.model, 3), 0).wavenet.state_dict()
    assert all(torch.equal(one, run.model.wavenet.state_dict()[name]) for name, one in first.items())
    model = speech_codec.SpeechCodec(run)
    codes = model.encode(np.zeros(1000, np.float32))
    with pytest.raises(InputError, match="has an untrained WaveNet; choose --vocoder source-filter"):
        speech_codec.SpeechCodec(run, "wavenet").decode(codes, "s0")
    assert len(model.decode(codes, "s0")) == 63 * 16
    with pytest.raises(InputError, match="describes another model"):
        train(tiny, packed, tmp_path / "sketch")
    numbers = train(tiny, packed, tmp_path / "run", init_from=str(tmp_path / "sketch"), max_steps=2)
    assert numbers["held_out_mel_l1"] < 1.3 * learned
    assert len(speech_codec.SpeechCodec(tmp_path / "run").decode(codes, "s0")) == 63 * 16


@pytest.mark.parametrize("tiny", [{"channels": 16}], indirect=True)
def test_a_training_ends_with_each_voices_own_manner(tiny, packed, tmp_path):
    train(tiny, packed, tmp_path / "run", max_steps=60, stage="acoustic", learning_rate=3e-3)
    run, part = checkpoint.load(tmp_path / "run"), archives.MulawShards(packed)
    net, mel = run.model, run.model.acoustic_model.mel

    def acoustic_losses() -> list[float]:
        heard = {name: [] for name in run.speakers}
        for at, row in enumerate(part.rows):
            batch = batches.utterance_batch(part[at], run.speakers.index(row.speaker), net.hop)
            wave = torch.from_numpy(mulaw.LEVELS[batch.classes.numpy()])
            prediction = net.predict_acoustics(net.quantizer.decode(net.encode(batch.classes)), batch.speakers)
            heard[row.speaker].append((prediction.log_mel - mel(wave).transpose(1, 2)).square().mean())
        return [float(sum(each)) for each in heard.values()]

    with torch.inference_mode():
        own, net.adaptations = acoustic_losses(), net.adaptations.roll(1, 0)
        strange, net.adaptations = acoustic_losses(), None
        none = acoustic_losses()
    assert all(one < 0.9 * min(two, three) for one, two, three in zip(own, none, strange, strict=True))


@pytest.mark.parametrize("tiny", [{"channels": 16}], indirect=True)
def test_a_run_knows_that_labels_were_learned_from_before_it(tiny, packed, tmp_path):
    labelled = {"stage": "acoustic", "phone_weight": 1.0, "max_steps": 2}
    with pytest.raises(InputError, match="has no phone posteriors"):
        train(tiny, packed, tmp_path / "none", **labelled)
    train(tiny, packed, tmp_path / "run", stage="acoustic", max_steps=2)
    assert not checkpoint.has_phone_labels(checkpoint.load(tmp_path / "run").config)
    net, tasks = checkpoint.load_trained(tmp_path / "run").model, tiny.training.model_copy(update=labelled)
    checkpoint.init_run_dir(tmp_path / "with", tiny.model_copy(update={"training": tasks}), ["a", "b", "c"])
    checkpoint.save(tmp_path / "with", net)
    train(tiny, packed, tmp_path / "next", stage="acoustic", max_steps=2, init_from=str(tmp_path / "with"))
    assert checkpoint.has_phone_labels(checkpoint.load(tmp_path / "next").config)
    exporting.export(tmp_path / "next", tmp_path / "out")
    assert "learned with phone labels" in " ".join((tmp_path / "out/README.md").read_text().split())


@pytest.mark.parametrize("tiny", [{"channels": 16}], indirect=True)
def test_a_training_that_is_over_leaves_the_run_and_its_enrolled_voices_alone(tiny, packed, tmp_path):
    settings = {"max_steps": 3, "stage": "acoustic"}
    train(tiny, packed, tmp_path / "run", **settings)
    run = checkpoint.load(tmp_path / "run")
    vector, adaptation = (np.ones(shape, np.float32) for shape in run.model.speaker_shapes)
    speaker_table.save(
        tmp_path / "run",
        run.digest,
        speaker_table.EnrolledSpeaker(speaker_table.SpeakerInfo("bob", 12.0, -20.0), vector, adaptation),
    )
    before = (tmp_path / "run/model.safetensors").read_bytes()
    train(tiny, packed, tmp_path / "run", **settings)
    assert (tmp_path / "run/model.safetensors").read_bytes() == before
    assert checkpoint.load(tmp_path / "run").speakers == [*run.speakers, "bob"]
    checkpoint.save(tmp_path / "run", checkpoint.load_trained(tmp_path / "run").model)
    assert checkpoint.load(tmp_path / "run").digest == run.digest


@pytest.mark.parametrize("tiny", [{}, {"channels": 16}], indirect=True)
@pytest.mark.parametrize("muon", [0.0, 5.0])
def test_a_wavenet_that_learns_alone_leaves_the_codes_and_their_outline_as_they_are(tiny, packed, tmp_path, muon):
    train(tiny, packed, tmp_path / "before", max_steps=3)
    with pytest.raises(InputError, match=r"needs codes that are learned; set training\.init"):
        train(tiny, packed, tmp_path / "none", stage="wavenet")
    only = {"stage": "wavenet", "init_from": str(tmp_path / "before"), "learning_rate": 3e-3, "muon_lr_ratio": muon}
    first, last = (
        train(tiny, packed, tmp_path / "run", max_steps=steps, evaluate_every=steps, **only)["held_out_bits_per_sample"]
        for steps in (1, 100)
    )
    assert last < 0.95 * first
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("before", "run"))
    learned = {name for name in before if not torch.equal(before[name], after[name])}
    told = "acoustic_model.to_conditioning"
    told = told if f"{told}.weight" in before else "context"
    assert {name for name in learned if not name.startswith("wavenet.")} == {f"{told}.weight", f"{told}.bias"}
    assert any(name.startswith("wavenet.") for name in learned)


def test_a_model_without_an_outline_may_be_begun_with_by_one_that_has(tiny, packed, tmp_path):
    train(tiny, packed, tmp_path / "plain", max_steps=2)
    tree = tiny.model_dump()
    tree["model"]["acoustic"] = {"channels": 16}
    prediction = config.from_tree(tree, "")
    train(prediction, packed, tmp_path / "run", init_from=str(tmp_path / "plain"), max_steps=1, learning_rate=1e-9)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("plain", "run"))
    assert all(torch.allclose(value, other[name], atol=1e-6) for name, value in one.items() if "quantizer" not in name)


def test_a_sketch_needs_an_outline(tiny):
    tree = tiny.model_dump()
    tree["training"]["stage"] = "acoustic"
    with pytest.raises(InputError, match="the acoustic stage needs an acoustic model"):
        config.from_tree(tree, "test")


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
    one, two = (load_file(tmp_path / run / "state/00000008.safetensors") for run in ("one", "two"))
    for name in (
        "learner.quantizer.codebooks.0.codebook",
        "learner.quantizer.codebooks.0.cluster_size",
        "learner.wavenet.head.weight",
    ):
        assert torch.allclose(one[name], two[name], rtol=1e-3, atol=1e-4), name
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
    told = nodes[0].communicate(timeout=600)[1]
    assert nodes[0].returncode, told[-2000:]
    assert "SIGKILL" in nodes[1].communicate(timeout=600)[1]
    last = _newest(tmp_path / "run")
    assert 0 < last < 3000
    train(settings, packed, tmp_path / "run", max_steps=last + 2)
    assert _newest(tmp_path / "run") == last + 2
    checkpoint.load(tmp_path / "run")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


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
    one, two = (load_file(tmp_path / run / "model.safetensors") for run in ("plain", "compiled"))
    for name in one:
        assert torch.allclose(one[name], two[name], rtol=1e-3, atol=1e-4), name


def test_a_matrix_is_made_orthogonal_as_its_singular_values_would_be():
    drawn = torch.randn(3, 24, 40, generator=torch.Generator().manual_seed(1))
    for matrices in (drawn, drawn.mT):
        u, _, vt = torch.linalg.svd(matrices, full_matrices=False)
        along = u.mT @ orthogonal(matrices) @ vt.mT  # diagonal, if the singular vectors are kept
        values = along.diagonal(dim1=1, dim2=2)
        assert torch.allclose(along, torch.diag_embed(values), atol=1e-5)
        assert values.min() > 0.6
        assert values.max() < 1.3


def test_muon_steps_are_as_long_as_adams_and_what_is_no_matrix_takes_adams_own(tiny):
    muons, adams = (VQVAE.from_config(tiny.model, 3) for _ in range(2))
    adams.load_state_dict(muons.state_dict())
    gradients = [torch.randn(one.shape, generator=torch.Generator().manual_seed(2)) for one in muons.parameters()]
    before = {name: one.detach().clone() for name, one in muons.named_parameters()}
    for net, optimiser in ((muons, Muon(muons, 1e-3, 1.0)), (adams, torch.optim.Adam(adams.parameters(), 1e-3))):
        for one, gradient in zip(net.parameters(), gradients, strict=True):
            one.grad = gradient.clone()
        optimiser.step()
    twins = dict(adams.named_parameters())
    for name, one in muons.named_parameters():
        layer = name.removesuffix(".weight")
        if name.startswith("wavenet.") and name != layer and isinstance(muons.get_submodule(layer), torch.nn.Conv1d):
            step = (one - before[name]).flatten(1)
            assert 0.6e-3 < float(step.detach().square().mean().sqrt()) / RMS < 1.3e-3, name
        else:
            assert torch.allclose(one, twins[name], atol=1e-7), name


def test_the_clock_ends_a_training(tiny, packed, tmp_path):
    train(tiny, packed, tmp_path / "run", max_steps=10**6, max_minutes=0.02)
    assert 0 < _newest(tmp_path / "run") < 10**6


def test_crops_depend_on_seed_and_number_alone_and_visit_everything(packed):
    crops = batches.Crops([archives.MulawShards(packed)], ["s0", "s1", "s2"], 256, 16, seed=3)
    again = batches.Crops([archives.MulawShards(packed)], ["s0", "s1", "s2"], 256, 16, seed=3)
    far = len(crops) * 5 + 7
    assert torch.equal(crops[far][0], again[far][0])
    assert torch.equal(crops[0][0], again[0][0])
    assert {crops[number][3] for number in range(len(crops))} == {0, 1, 2}
    first, second = ([crops[epoch * len(crops) + n][3] for n in range(len(crops))] for epoch in (0, 1))
    assert sorted(first) == sorted(second)
    assert first != second


def test_balance_says_how_much_a_long_voice_is_heard_more_than_a_short_one(packed):
    part = archives.MulawShards(packed)
    lengths = {speaker: sum(row.length for row in part.rows if row.speaker == speaker) for speaker in part.speakers}
    speakers = sorted(lengths)
    for balance in (1.0, 0.5, 0.0):
        schedule = batches.CropSampler([part], speakers, 256, 3, balance)
        epochs = 20
        heard = np.bincount([schedule[number][1] for number in range(epochs * len(schedule))])
        expected = np.array([float(lengths[speaker]) for speaker in speakers]) ** balance
        assert heard / heard.sum() == pytest.approx(expected / expected.sum(), rel=0.03)
    once = batches.CropSampler([part], speakers, 256, 3, 0.5)
    twice = batches.CropSampler([part, part], speakers, 256, 3, 0.5)
    assert len(twice) == 2 * len(once)


def test_what_is_given_twice_is_heard_twice_and_was_not_said_twice(tiny, packed, tmp_path):
    tree = tiny.model_dump()
    tree["training"]["max_steps"] = 1
    tasks.train_vqvae(config.from_tree(tree, "test"), [packed, packed], [packed], tmp_path / "run")
    rows = archives.MulawShards(packed).rows
    said = {name: sum(row.length for row in rows if row.speaker == name) / 16000 for name in ("s0", "s1", "s2")}
    assert {name: one.seconds for name, one in speaker_table.read(tmp_path / "run").items()} == pytest.approx(
        said, abs=0.06
    )


def test_a_past_that_is_misheard_drifts_around_the_true_one():
    rng = np.random.default_rng(0)
    classes = mulaw.compress(0.1 * np.sin(np.arange(64000) / 7))
    assert np.array_equal(batches.corrupt_history(classes, rng, 0.0, 0.0), classes)
    past = batches.corrupt_history(classes, rng, 4.0, 0.0)
    level = [10 * np.log10(np.square(mulaw.expand(part)).reshape(-1, 320).mean(1)) for part in (classes, past)]
    assert np.std(level[1] - level[0]) == pytest.approx(4.0 * np.sqrt(2 / 3), rel=0.3)
    assert abs(np.mean(level[1] - level[0])) < 1.5
    noisy = batches.corrupt_history(classes, rng, 0.0, 3.0).astype(int) - classes
    assert 0 < np.std(noisy) <= 3.2


def test_crops_tell_the_past_beside_the_truth(packed):
    crops = batches.Crops([archives.MulawShards(packed)], ["s0", "s1", "s2"], 256, 16, 3, drift_db=6.0, noise=2.0)
    plain = batches.Crops([archives.MulawShards(packed)], ["s0", "s1", "s2"], 256, 16, 3)
    assert torch.equal(crops[5][0], plain[5][0])
    assert torch.equal(plain[5][0], plain[5][1])
    told = [torch.equal(crops[number][0], crops[number][1]) for number in range(40)]
    assert 10 < sum(told) < 30
    unsure = told.index(False)
    assert torch.equal(crops[unsure][1], crops[unsure][1])


def test_a_part_that_is_spoken_costs_what_it_costs_within_the_whole(tiny, packed):
    torch.manual_seed(0)
    model = VQVAE.from_config(tiny.model, 3).eval()
    crops = batches.Crops([archives.MulawShards(packed)], ["s0", "s1", "s2"], 512, 16, 3, spoken=128)
    batch = batches.collate([crops[number] for number in range(6)])
    assert batch.past.shape == (6, 128)
    assert len(set(batch.starts.tolist())) > 1
    latents, speakers = model.quantizer.decode(model.encode(batch.classes)), model.speaker(batch.speakers)
    cond = model.condition(latents, batch.speakers)
    for one, start in enumerate(batch.starts.tolist()):
        own = slice(start * 16, start * 16 + 128)
        assert torch.equal(batch.past[one], batch.classes[one, own])
        logits = model.wavenet(batch.past[one : one + 1], cond[one : one + 1, :, start : start + 8])
        expected = torch.nn.functional.cross_entropy(logits, batch.classes[one : one + 1, own].long())
        part = (x[one : one + 1] for x in (batch.classes, batch.past, batch.starts, latents, speakers))
        assert float(model.nats(*part)[0].detach()) == pytest.approx(float(expected), rel=1e-5)


def test_what_is_shorter_than_a_crop_is_followed_by_silence(packed):
    crops = batches.Crops([archives.MulawShards(packed)], ["s0", "s1", "s2"], 16000, 16, seed=0)
    classes = crops[0][0].numpy()
    assert np.all(classes[9000:] == 128)
    assert not np.all(classes[:3000] == 128)


def test_a_shard_shorter_than_its_table_is_told(packed):
    shard = packed / "shard-00000.u8"
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(InputError, match="its table speaks of"):
        archives.MulawShards(packed)
    with pytest.raises(InputError, match="run `vqspeech data pack`"):
        archives.MulawShards(packed / "nowhere")


def test_what_does_not_fit_together_is_told_before_a_step(tiny, packed, tmp_path):
    with pytest.raises(InputError, match=r"packed at 16000 Hz, the config wants 8000 Hz"):
        tasks.train_vqvae(
            config.from_tree(tiny.model_dump() | {"model": tiny.model.model_dump() | {"sample_rate": 8000}}, ""),
            [packed], [packed], tmp_path / "run",
        )  # fmt: skip
    train(tiny, packed, tmp_path / "run", max_steps=1)
    tree = tiny.model_dump()
    tree["model"]["quantizer"]["codebook_size"] = 32
    with pytest.raises(InputError, match="describes another model"):
        tasks.train_vqvae(config.from_tree(tree, ""), [packed], [packed], tmp_path / "run")
    with pytest.raises(InputError, match=r"make it a multiple of 3"):
        train(tiny, packed, tmp_path / "run", grad_accum_steps=3)


def test_a_training_may_begin_with_the_weights_of_another_and_keeps_its_voices_by_name(tiny, packed, tmp_path):
    train(tiny, packed, tmp_path / "first")
    rows = (packed / "shard-00000.tsv").read_text()
    other = tmp_path / "other"
    shutil.copytree(packed, other)
    (other / "shard-00000.tsv").write_text(rows.replace("\ts0\t", "\tnew\t"))
    still = {"max_steps": 1, "learning_rate": 1e-9, "warmup_steps": 0}
    train(tiny, other, tmp_path / "second", init_from=str(tmp_path / "first"), **still)
    first, second = (checkpoint.load(tmp_path / name) for name in ("first", "second"))
    assert first.speakers == ["s0", "s1", "s2"]
    assert second.speakers == ["new", "s1", "s2"]
    for name, weights in first.model.state_dict().items():
        if "quantizer" not in name and name != "speaker.weight":
            assert torch.allclose(second.model.state_dict()[name], weights, atol=1e-6), name
    before, after = first.model.speaker.weight, second.model.speaker.weight
    assert torch.allclose(after[1:], before[1:], atol=1e-6)
    assert torch.allclose(after[0], before.mean(0), atol=1e-6)
    fewer = tiny.model.model_copy(update={"quantizer": config.Quantizer(codebook_size=8, codebook_dim=4)})
    with pytest.raises(
        InputError, match=r"first: quantizer.codebooks.0.codebook is \(16, 4\), in this config \(8, 4\)"
    ):
        train(tiny.model_copy(update={"model": fewer}), packed, tmp_path / "third", init_from=str(tmp_path / "first"))
