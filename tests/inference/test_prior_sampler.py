import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import vqspeech
from vqspeech import InputError, SamplingConfig, config
from vqspeech.codec import bitstream, entropy_coding, vqs_files
from vqspeech.data import corpus
from vqspeech.data.archives import Codes
from vqspeech.evaluation import likelihood, metrics
from vqspeech.inference import tokens
from vqspeech.inference.prior_sampler import PriorSampler
from vqspeech.models import checkpoint
from vqspeech.models.prior import Prior
from vqspeech.training import tasks

TREE = {
    "prior": {"residual_channels": 8, "skip_channels": 12, "layers": 4, "layers_per_stack": 3, "speaker_dim": 3},
    "training": {
        "batch_size": 4, "segment_length": 40, "learning_rate": 1e-2, "warmup_steps": 2, "max_steps": 60,
        "evaluate_every": 30, "save_every": 30, "ema_decay": 0.9, "precision": "float32", "input_noise": 0.05,
    },
}  # fmt: skip


@pytest.fixture
def data(run, tmp_path, speech) -> Path:
    tokens._cached_codec.cache_clear()
    utterances = []
    for number in range(6):
        soundfile.write(tmp_path / f"{number}.wav", speech(0.3, seed=number), 16000)
        utterances.append(
            corpus.Utterance(f"u{number}", ["p225", "alice"][number % 2], str(tmp_path / f"{number}.wav"))
        )
    corpus.write(tmp_path / "data", utterances)
    tokens.encode_corpus(run, tmp_path / "data")
    tokens.merge_shards(run, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def prior(run, tmp_path) -> Path:
    """A run directory of an untrained prior of `run`."""
    tree = TREE | {"prior": TREE["prior"] | {"codebook_size": 16, "model": vqspeech.load(run).run.digest}}
    settings = config.from_tree(tree, "")
    torch.manual_seed(1)
    checkpoint.init_run_dir(tmp_path / "prior", settings, ["alice", "p225"])
    model = Prior(settings.prior, 2)
    torch.nn.init.normal_(model.wavenet.logits.weight, std=1.0)  # opinions, where there is no training
    checkpoint.save(tmp_path / "prior", model)
    return tmp_path / "prior"


def test_training_a_prior_lowers_its_bits_and_names_its_model(run, data, tmp_path):
    settings = config.from_tree(TREE, "")
    numbers = tasks.train_prior(settings, [data], [data], tmp_path / "prior")
    assert numbers["held_out_bits_per_code"] < 3.5  # 4 bits is knowing nothing
    done = checkpoint.load_prior(tmp_path / "prior")
    assert done.config.prior.model == vqspeech.load(run).run.digest
    assert done.config.prior.codebook_size == 16
    places = [(Codes(data), at) for at in range(6)]
    (bits,) = likelihood.measure_prior(done.model, places, done.speakers)
    assert numbers["held_out_bits_per_code"] == pytest.approx(bits)
    assert numbers["uniform_bits_per_code"] == 4
    assert numbers["order_1_bits_per_code"] < numbers["unigram_bits_per_code"] < 4


def test_crops_of_codes_leave_out_what_is_not_there(data):
    from vqspeech.data.batches import UNKNOWN, CodeCrops

    crops = CodeCrops([Codes(data)], ["alice", "p225"], 400, 0, 16, noise=0.25)
    codes, past, _ = crops[0]
    assert (codes[300:] == UNKNOWN).all()
    assert ((codes[:300] >= 0) & (codes[:300] < 16)).all()
    assert ((past >= 0) & (past < 16)).all()
    assert 0.1 < (codes[:300] != past[:300]).float().mean() < 0.35
    assert all(torch.equal(one, other) for one, other in zip(crops[5][:2], crops[5][:2], strict=True))


@pytest.mark.parametrize(
    ("change", "told"),
    [({"codebook_size": 17}, "set prior.codebook_size=16"), ({"layer": 3}, "did you mean 'layers'")],
)
def test_a_prior_that_does_not_fit_is_told(data, tmp_path, change, told):
    tree = TREE | {"prior": TREE["prior"] | change}
    with pytest.raises(InputError, match=told):
        tasks.train_prior(config.from_tree(tree, ""), [data], [data], tmp_path / "prior")


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_composing_after_a_prompt_is_what_the_parallel_pass_says(run, prior, engine):
    sampler = PriorSampler(prior, vqspeech.load(run, engine=engine))
    prompt = np.random.default_rng(0).integers(16, size=(30, 1))
    codes = sampler.sample("alice", 20, number=3, sampling=SamplingConfig(0.0, seed=5), prompt=prompt)
    wavenet, cond = sampler.run.model.wavenet, sampler.run.model.condition(torch.tensor([0]))
    for one in codes:  # the likeliest, all of them the same
        whole = torch.from_numpy(np.concatenate([prompt, one])[:, 0])[None]
        assert torch.equal(wavenet(whole, cond)[0, :, 30:].argmax(0), whole[0, 30:])


def test_a_sequence_depends_on_seed_and_number_alone(run, prior):
    sampler = PriorSampler(prior, vqspeech.load(run))
    three, five = (sampler.sample("p225", 25, number=number, sampling=SamplingConfig(seed=2)) for number in (3, 5))
    assert np.array_equal(three, five[:3])
    assert not np.array_equal(five[0], five[1])
    assert not np.array_equal(three, sampler.sample("p225", 25, number=3, sampling=SamplingConfig(seed=3)))
    nucleus = sampler.sample("p225", 25, sampling=SamplingConfig(top_p=1e-6, seed=2))
    assert np.array_equal(nucleus, sampler.sample("p225", 25, sampling=SamplingConfig(0)))


def test_what_a_prior_expects_are_the_frequencies_of_the_parallel_pass(run, prior):
    sampler = PriorSampler(prior, vqspeech.load(run))
    codes = np.random.default_rng(0).integers(16, size=12)
    expectation, heard = sampler.symbol_model("alice"), []
    for code in codes:
        heard.append(expectation.next())
        expectation.push(int(code))
    logits = sampler.run.model.wavenet(torch.from_numpy(codes)[None], sampler.run.model.condition(torch.tensor([0])))
    shares = torch.softmax(logits[0].double(), 0).T.detach().numpy()
    assert all(one.sum() == 65536 and one.min() > 0 for one in heard)
    assert np.abs(np.stack(heard) / 65536 - shares).max() < 1e-3


def test_a_file_coded_with_a_prior_says_the_same_and_wants_its_own(run, prior, speech, monkeypatch):
    monkeypatch.setattr(bitstream, "CHUNK_FRAMES", 50)
    model, wave = vqspeech.load(run), speech(0.5)
    sampler = PriorSampler(prior, model)
    plain, coded = (
        b"".join(vqs_files.encode_blocks(model, [wave], "alice", coder, sampler)) for coder in ("packed", "prior")
    )
    assert len(coded) <= len(plain)
    monkeypatch.setattr(entropy_coding, "min", lambda payloads, key: payloads[-1], raising=False)  # the longest, too
    coded = b"".join(vqs_files.encode_blocks(model, [wave], "alice", "prior", sampler))
    assert {chunk.kind for chunk in bitstream.Reader().push(coded)} == {bitstream.PRIOR}
    said = np.concatenate([*vqs_files.decode_blocks(model, [coded], prior=sampler)])
    assert np.array_equal(said, np.concatenate([*vqs_files.decode_blocks(model, [plain])]))
    with pytest.raises(InputError, match="give it with --prior"):
        list(vqs_files.decode_blocks(model, [coded]))
    other = PriorSampler(sampler.run._replace(digest="ab" * 32), model)
    with pytest.raises(InputError, match=f"prior {sampler.run.digest[:24]}, this one is abab"):
        list(vqs_files.decode_blocks(model, [coded], prior=other))
    with torch.no_grad():
        sampler.run.model.wavenet.logits.bias[3] += 0.5
    with pytest.raises(InputError, match=r"expects something else here|are no codes"):
        list(vqs_files.decode_blocks(model, [coded], prior=sampler))


def test_a_prior_of_another_model_is_told(run, prior, tmp_path):
    model = vqspeech.load(run)
    model.run = model.run._replace(digest="cd" * 32)
    with pytest.raises(InputError, match="this one is cdcd"):
        PriorSampler(prior, model)
    with pytest.raises(InputError, match="holds a prior"):
        vqspeech.load(prior)
    with pytest.raises(InputError, match="holds no prior"):
        PriorSampler(run, model)


def test_the_commands_make_codes_and_speak_from_nothing(run, prior, data, tmp_path):
    def command(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "vqspeech", *map(str, arguments)], capture_output=True, text=True, cwd=tmp_path
        )

    done = command("tokenize", data, "--model", run, "--nj", 2, "--text", tmp_path / "codes.txt")
    assert done.returncode == 0, done.stderr
    assert "6 utterances" in done.stdout
    assert len((tmp_path / "codes.txt").read_text().splitlines()) == 6
    models = ("--model", run, "--prior", prior)
    done = command("sample", *models, "--speaker", "alice", "--seconds", 0.1, "--n", 2, "--prompt", "0.wav")
    assert done.returncode == 0, done.stderr
    for number in (1, 2):
        wave, rate = soundfile.read(tmp_path / f"samples/alice-{number}.wav")
        assert (len(wave), rate) == (4800 + 1600, 16000)  # whole frames, both
    for wrong, told in [
        (("sample", *models, "--speaker", "alic"), "unknown speaker 'alic'; nearest"),
        (("sample", *models, "--speaker", "p226"), "the prior does not know speaker 'p226'"),
        (("sample", *models, "--speaker", "alice", "--seconds", -1, "--force"), "seconds -1 is out of range"),
        (("sample", *models, "--speaker", "alice", "--prompt", "none.wav", "--force"), "none.wav: no such file"),
        (
            ("sample", "--model", run, "--prior", "nowhere", "--speaker", "alice", "--force"),
            "nowhere: is no run directory",
        ),
        (("tokenize", data, "--model", run, "--shard", "3"), "--shard 3 is not a part"),
        (("tokenize", data, "--model", run, "--shard", "1/2", "--merge"), "makes one part"),
        (("tokenize", "nowhere", "--model", run), "nowhere/wav.scp"),
        (("encode", "0.wav", "--model", run, "--coder", "prio"), "coder 'prio' is unknown"),
        (("encode", "0.wav", "--model", run, "--coder", "prior", "--prior", run), "holds no prior"),
    ]:
        done = command(*wrong)
        assert done.returncode == 2, wrong
        assert told in done.stderr
        assert done.stderr.count("\n") == 1


def test_bits_of_simple_coders():
    assert metrics.unigram_bits([np.array([0, 1, 2, 3])], [np.array([0, 3])], 4) == 2
    rhythm = np.tile([0, 1], 2000)
    assert metrics.order_1_bits([], [rhythm], 2) < 0.05
    assert metrics.unigram_bits([rhythm], [rhythm], 2) == pytest.approx(1.0)
    noise = np.random.default_rng(0).integers(8, size=20000)
    assert metrics.order_1_bits([noise], [noise[::-1]], 8) == pytest.approx(3.0, abs=0.02)
