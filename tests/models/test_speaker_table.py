"""Where models lie, voices that come later, and how loud a conversion is."""

import http.server
import json
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import vqspeech
from vqspeech import InputError, SamplingConfig, audio
from vqspeech.audio import loudness, preprocessing
from vqspeech.inference import conversion, speaker_enrolment
from vqspeech.models import checkpoint, exporting, hub, speaker_table
from vqspeech.models.speaker_table import EnrolledSpeaker, SpeakerInfo
from vqspeech.models.vqvae import VQVAE


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "vqspeech", *map(str, arguments)], capture_output=True, text=True,
        env=os.environ | environment,
    )  # fmt: skip


@given(cuts=st.lists(st.integers(1, 3000), min_size=1, max_size=8), seed=st.integers(0, 9))
def test_levels_do_not_depend_on_how_the_blocks_come(cuts, seed):
    wave = np.random.default_rng(seed).normal(0, 0.1, sum(cuts)).astype(np.float32)
    whole, blocks = (loudness.analyse_level(one, 16000) for one in ([wave], np.split(wave, np.cumsum(cuts)[:-1])))
    assert whole.levels_db == pytest.approx(blocks.levels_db, abs=1e-3)
    assert whole.level_db == pytest.approx(blocks.level_db, abs=1e-3)
    assert whole.peak == blocks.peak


def test_the_level_of_speech_leaves_the_pauses_out(speech):
    wave, silence = speech(2.0), np.zeros(32000, np.float32)
    alone, paused = (loudness.analyse_level([one], 16000) for one in (wave, np.concatenate([silence, wave, silence])))
    assert paused.level_db == pytest.approx(alone.level_db, abs=0.1)
    assert loudness.analyse_level([wave / 2], 16000).level_db == pytest.approx(alone.level_db - 6.02, abs=0.1)
    assert math.isnan(loudness.analyse_level([silence], 16000).level_db)
    assert math.isnan(loudness.analyse_level([], 16000).level_db)


def test_long_pauses_become_silent_and_short_ones_and_speech_stay():
    rng = np.random.default_rng(0)
    tone, hiss = 0.3 * np.sin(np.arange(16000) / 5), rng.normal(0, 0.003, 16000)
    source = np.concatenate([hiss, tone, hiss[:2000], tone, hiss]).astype(np.float32)
    heard, said = loudness.analyse_level([source], 16000), rng.normal(0, 0.1, len(source)).astype(np.float32)
    out = np.concatenate([*loudness.gate_pauses(np.split(said, [777, 20000, 40000]), heard)])
    assert np.array_equal(out[16000:50000], said[16000:50000])
    assert not out[: 16000 - 2000].any()
    assert not out[50000 + 2000 :].any()
    middle = np.concatenate([tone, hiss, tone]).astype(np.float32)
    out = np.concatenate([*loudness.gate_pauses([said[:48000]], loudness.analyse_level([middle], 16000))])
    assert not out[18000:30000].any()
    assert out[:16000].all()


@pytest.fixture
def known(run) -> Path:
    """A run whose voices' levels are known."""
    speaker_table.write(run, [SpeakerInfo("p225", 90.0, -20.0, "F", "English"), SpeakerInfo("p226", 30.0, -30.0)])
    return run


def test_a_conversion_is_as_loud_as_the_voice_or_the_source_and_never_clips(known, speech, tmp_path):
    model = vqspeech.load(known)
    wave = np.concatenate([np.zeros(16000), speech(1.0), np.zeros(16000)]).astype(np.float32)
    audio.write(tmp_path / "in.wav", wave / 4, 16000)
    source = loudness.analyse_level([wave / 4], 16000).level_db

    def said(speaker: str, level: str):
        conversion.convert(model, tmp_path / "in.wav", speaker, tmp_path / "out.wav", level=level)
        return audio.read(tmp_path / "out.wav", 16000)

    for speaker, level, expected in (("p226", "voice", -30.0), ("p226", "source", source), ("alice", "voice", source)):
        out = loudness.analyse_level([said(speaker, level)], 16000)
        assert abs(out.level_db - expected) < 0.2 or (out.level_db < expected and abs(out.peak - 0.98) < 0.01)
        assert out.peak <= 0.981
        assert not said(speaker, level)[: 16000 - 3000].any()
    codes = model.encode(audio.read(tmp_path / "in.wav", 16000))
    raw = model.decode(codes, "p226", length=len(wave))
    assert np.abs(said("p226", "raw") - raw).max() < 1e-4
    with pytest.raises(InputError, match="level 'loud' is unknown"):
        said("p226", "loud")


def test_silence_and_the_loudest_of_recordings_are_converted(known, tmp_path):
    model = vqspeech.load(known)
    square = np.where(np.arange(8000) % 100 < 50, 1.0, -1.0).astype(np.float32)
    for name, wave in (("silence", np.zeros(8000, np.float32)), ("square", square), ("tick", np.eye(1, 8000)[0])):
        audio.write(tmp_path / f"{name}.wav", wave, 16000)
        for level in ("voice", "source"):
            done = conversion.convert(model, tmp_path / f"{name}.wav", "p225", tmp_path / "out.wav", level=level)
            out = audio.read(done.path, 16000)
            assert len(out) == 8000
            assert np.abs(out).max() <= 0.981
            assert name != "silence" or not out.any()


def test_a_table_of_voices_is_read_as_it_was_written_and_rubbish_is_told(tmp_path):
    table = [SpeakerInfo("p225", 90.5, -20.1, "F", "English"), SpeakerInfo("名前", 1.0, -3.0)]
    speaker_table.write(tmp_path, table)
    assert speaker_table.read(tmp_path) == {one.name: one for one in table}
    for text in ("name\tseconds\tlevel_db\np225\tx\t1\n", "a\tb\n1\t2\n", "name\tseconds\np225\t1\n", "\xff"):
        (tmp_path / speaker_table.TABLE).write_text(text, encoding="latin-1")
        with pytest.raises(InputError, match="is no table of voices"):
            speaker_table.read(tmp_path)


@pytest.mark.parametrize("name", ["../../a", "a/b", "a\\b", "a b", "a\u202eb", ".."])
def test_a_model_whose_voices_have_names_that_are_paths_is_not_loaded(tiny, tmp_path, name):
    checkpoint.init_run_dir(tmp_path / "run", tiny, ["p225", name])
    checkpoint.save(tmp_path / "run", VQVAE.from_config(tiny.model, 2))
    with pytest.raises(InputError, match=r"do not trust this model$"):
        vqspeech.load(tmp_path / "run")


@pytest.mark.parametrize(
    "name", ["", "a/b", "../a", ".a", "a b", "a\nb", "a" * 65, "-a", "a\u202eb", "a\x00", "a\\b", '"']
)
def test_names_that_could_be_paths_or_tricks_are_refused(name, run, tmp_path):
    with pytest.raises(InputError, match="cannot name a voice"):
        speaker_table.check_name(name)
    with pytest.raises(InputError, match="cannot name a voice"):
        speaker_table.delete(tmp_path, name)


def test_an_enrolled_voice_is_one_of_the_models_for_every_verb(run, tmp_path):
    plain = checkpoint.load(run)
    vector = np.array([1.0, -2.0, 3.0], np.float32)
    speaker_table.save(run, plain.digest, EnrolledSpeaker(SpeakerInfo("bob", 12.0, -21.5), vector))
    with_bob = checkpoint.load(run)
    assert with_bob.speakers == ["p225", "p226", "alice", "bob"]
    assert with_bob.digest == plain.digest
    assert np.array_equal(with_bob.model.speaker.weight[3].detach().numpy(), vector)
    assert torch.equal(with_bob.model.speaker.weight[:3], plain.model.speaker.weight)
    assert with_bob.voices["bob"].level_db == -21.5
    codes = np.arange(16)
    same, model = vqspeech.load(plain), vqspeech.load(run)
    assert np.array_equal(same.decode(codes, "p226"), model.decode(codes, "p226"))
    assert len(model.decode(codes, "bob")) == 256
    assert command("speakers", "--model", run).stdout.split() == with_bob.speakers
    speaker_table.delete(run, "bob")
    assert checkpoint.load(run).speakers == plain.speakers
    with pytest.raises(InputError, match="no voice 'bob' was enrolled; there are none"):
        speaker_table.delete(run, "bob")


@pytest.mark.parametrize("tiny", [{"channels": 8}], indirect=True)
def test_an_enrolled_voice_keeps_its_manner_and_so_does_an_export(run, speech, tmp_path, monkeypatch):
    monkeypatch.setattr(speaker_enrolment, "CROP", 1600)
    plain = vqspeech.load(run)
    assert plain.net.adaptations is None
    audio.write(tmp_path / "a.wav", speech(5.0), 16000)
    speaker_enrolment.enrol(plain, "bob", [tmp_path / "a.wav"], 1)
    whole = vqspeech.load(run)
    adaptations = whole.net.adaptations
    assert adaptations.shape == (4, *whole.net.speaker_shapes[1])
    assert not adaptations[:3].any()
    assert adaptations[3].any()
    codes = np.arange(16)
    assert np.array_equal(whole.decode(codes, "p226"), plain.decode(codes, "p226"))  # which has none
    exporting.export(run, tmp_path / "bob", speakers=["bob"])
    only = vqspeech.load(tmp_path / "bob")
    assert torch.equal(only.net.adaptations, adaptations[3:])
    assert np.array_equal(only.decode(codes, "bob"), whole.decode(codes, "bob"))
    whole.net.adaptations = None
    assert not np.array_equal(only.decode(codes, "bob"), whole.decode(codes, "bob"))


def test_a_voice_of_another_model_or_a_broken_one_is_left_out_and_told(run, tmp_path):
    vector = np.ones(3, np.float32)
    speaker_table.save(run, "another", EnrolledSpeaker(SpeakerInfo("bob"), vector))
    speaker_table.save(run, checkpoint.load(run).digest, EnrolledSpeaker(SpeakerInfo("eve"), np.ones(5, np.float32)))
    speaker_table.save(run, checkpoint.load(run).digest, EnrolledSpeaker(SpeakerInfo("nan"), vector * np.nan))
    (run / "voices/junk.safetensors").write_bytes(b"\xff" * 99)
    assert checkpoint.load(run).speakers == ["p225", "p226", "alice"]
    told = command("speakers", "--model", run).stderr.splitlines()
    assert [line.split("/")[-1].split(".")[0] for line in told] == ["bob", "eve", "junk", "nan"]


def test_enrolling_finds_the_voice_that_said_it(run, speech, tmp_path, monkeypatch):
    """A voice with a vector of its own speaks; enrolling on what it said makes that likelier than any known voice."""
    monkeypatch.setattr(speaker_enrolment, "CROP", 1600)
    # without the high-pass: this test is about what an untrained model says, which is no speech
    monkeypatch.setattr(preprocessing.HighPass, "__call__", lambda self, block: block)
    for name in ("DRIFT_DB", "NOISE"):  # a model that was drawn has not learned to mistrust its past
        monkeypatch.setattr(speaker_enrolment, name, 0.0)
    plain = checkpoint.load(run)
    plain.model.speaker.weight.data.mul_(10)  # the speakers of a model that was drawn are hard to tell apart
    plain.model.wavenet.cond.weight.data.mul_(3)
    checkpoint.save(run, plain.model)
    model = vqspeech.load(run)
    torch.manual_seed(3)
    model.net.speaker.weight.data[2] = 2 * torch.randn(3)
    for number in range(2):
        codes = np.random.default_rng(number).integers(0, 16, 3000)
        audio.write(tmp_path / f"{number}.wav", model.decode(codes, "alice", SamplingConfig(seed=number)), 16000)
    told, warned = [], []
    model = vqspeech.load(run)
    path = speaker_enrolment.enrol(
        model, "bob", [tmp_path / "0.wav", tmp_path / "1.wav"], 40, progress=told.append, warn=warned.append
    )
    assert path == run / "voices/bob.safetensors"
    assert told[-1] == 1.0
    assert told == sorted(told)
    again = vqspeech.load(run)
    assert again.speakers[-1] == "bob"
    wave = audio.read(tmp_path / "1.wav", 16000)
    new = torch.from_numpy(speaker_enrolment.mulaw.compress(wave)[None, -16000:])
    crops = speaker_enrolment._Crops(new, new, torch.from_numpy(again.encode(wave)[None, -16000 // again.hop :]))
    with torch.inference_mode():
        nats = [float(speaker_enrolment._nats(again, crops, vector)) for vector in again.net.speaker.weight]
    assert np.argmin(nats) == 3
    with pytest.raises(InputError, match="there is a voice 'bob' already"):
        speaker_enrolment.enrol(again, "bob", [tmp_path / "0.wav"])
    speaker_enrolment.remove(again, "bob")
    assert not path.exists()


def test_enrolling_warns_of_few_noisy_and_clipped_seconds_and_refuses_less(run, speech, tmp_path, monkeypatch):
    monkeypatch.setattr(speaker_enrolment, "CROP", 1600)
    model, warned = vqspeech.load(run), []
    audio.write(tmp_path / "short.wav", speech(1.0), 16000)
    audio.write(tmp_path / "silence.wav", np.zeros(160000), 16000)
    for name in ("short", "silence"):
        with pytest.raises(InputError, match="s of speech in all; give at least 10 s"):
            speaker_enrolment.enrol(model, "bob", [tmp_path / f"{name}.wav"])
    noise = np.random.default_rng(0).normal(0, 0.05, 96000)
    audio.write(tmp_path / "noisy.wav", speech(6.0) + noise, 16000)
    audio.write(tmp_path / "clipped.wav", 20 * speech(6.0), 16000)
    speaker_enrolment.enrol(model, "bob", [tmp_path / "noisy.wav"], 1, warn=warned.append)
    speaker_enrolment.enrol(model, "eve", [tmp_path / "clipped.wav"], 1, warn=warned.append)
    assert any("noisy.wav: is noisy" in line for line in warned)
    assert any("clipped.wav: is clipped" in line for line in warned)
    assert any("s of speech are few" in line for line in warned)


def test_the_command_enrols_and_removes_and_bad_input_is_one_line(run, speech, tmp_path):
    audio.write(tmp_path / "a.wav", speech(5.0), 16000)
    done = command("enrol", "--model", run, "--name", "bob", "--max-steps", 1, tmp_path / "a.wav")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(run / "voices/bob.safetensors")
    wave, out = tmp_path / "a.wav", tmp_path / "out.wav"
    assert command("convert", "--model", run, "--speaker", "bob", "-o", out, wave).returncode == 0
    assert json.loads(command("speakers", "--model", run, "--json").stdout)[-1]["name"] == "bob"
    assert command("enrol", "--model", run, "--name", "bob", "--remove").stdout == "removed bob\n"
    for arguments, told in (
        (["--name", "a/b", wave], "'a/b' cannot name a voice"),
        (["--name", "p225", wave], "there is a voice 'p225' already"),
        (["--name", "p225", "--remove"], "no voice 'p225' was enrolled"),
        (["--name", "bob", tmp_path / "none.wav"], "none.wav: no such file"),
        (["--name", "bob"], "give recordings"),
        ([wave], "a voice needs a name"),
    ):
        done = command("enrol", "--model", run, *arguments)
        assert done.returncode == 2
        assert told in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_an_export_says_the_same_with_the_voices_that_were_kept(known, tmp_path):
    digest = checkpoint.load(known).digest
    speaker_table.save(known, digest, EnrolledSpeaker(SpeakerInfo("bob", 12.0, -21.5), np.ones(3, np.float32)))
    model, codes = vqspeech.load(known), np.arange(16)
    exporting.export(known, tmp_path / "all")
    whole = vqspeech.load(tmp_path / "all")
    assert whole.speakers == ["p225", "p226", "alice", "bob"]
    for name in whole.speakers:
        assert np.array_equal(whole.decode(codes, name), model.decode(codes, name))
    exporting.export(known, tmp_path / "few", at_least_s=60.0, bfloat16=True)
    few = vqspeech.load(tmp_path / "few")
    assert few.speakers == ["p225"]
    assert few.run.voices == {"p225": SpeakerInfo("p225", 90.0, -20.0, "F", "English")}
    assert (tmp_path / "few/model.safetensors").stat().st_size < (tmp_path / "all/model.safetensors").stat().st_size
    for name, tensor in few.net.state_dict().items():
        if name != "speaker.weight":
            assert torch.allclose(tensor.float(), model.net.state_dict()[name].float(), rtol=0.01), name
    assert "pip install vqspeech" in (tmp_path / "few/README.md").read_text()
    (tmp_path / "few/README.md").write_text("our own card\n")
    exporting.export(tmp_path / "few", tmp_path / "again", speakers=["p225"])
    assert (tmp_path / "again/README.md").read_text() == "our own card\n"
    exporting.export(known, tmp_path / "some", speakers=["p2*", "b?b"])
    assert vqspeech.load(tmp_path / "some").speakers == ["p225", "p226", "bob"]
    for wrong, told in (
        ((known, tmp_path / "few"), "holds something"),
        ((known, tmp_path / "x", ["nobody"]), "has no voice 'nobody'"),
        ((known, tmp_path / "x", [], 1000.0), "no voice has 1000 s"),
        (("nowhere", tmp_path / "x"), "is no run directory"),
    ):
        with pytest.raises(InputError, match=told):
            exporting.export(*wrong)
    assert not (tmp_path / "x").exists()


def test_results_of_a_model_that_is_not_ones_own_go_to_exp(run):
    from vqspeech.cli.options import results_of

    assert results_of(str(run)) == run
    assert results_of("hf:owner/name") == Path("exp/owner-name")
    assert results_of("english-16k") == Path("exp/english-16k")


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
        files = {one.name: one.read_bytes() for one in self.folder.iterdir() if one.is_file()}
        if path.startswith("/api/models/me/tiny/tree/"):
            tree = [{"type": "file", "path": name, "size": len(data), "oid": name} for name, data in files.items()]
            data = json.dumps(tree).encode()
        elif path.startswith("/api/models/me/tiny"):
            siblings = [{"rfilename": name} for name in files]
            data = json.dumps({"id": "me/tiny", "sha": self.commit, "siblings": siblings}).encode()
        elif path.startswith(f"/me/tiny/resolve/{self.commit}/") and (name := path.rsplit("/", 1)[1]) in files:
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


def test_a_repository_is_downloaded_once_kept_and_checked(known, tmp_path):
    exporting.export(known, tmp_path / "shared")
    (tmp_path / "shared/model.py").write_text("raise SystemExit('code of a repository was run')\n")
    _Repository.folder = tmp_path / "shared"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Repository)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = {"HF_HOME": str(tmp_path / "hf"), "XDG_DATA_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1"}
    there = home | {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
    try:
        first = command("speakers", "--model", "hf:me/tiny", **there)
        assert first.stdout.split() == ["p225", "p226", "alice"], first.stderr
        missing = command("speakers", "--model", "hf:me/other", **there)
        assert (missing.returncode, len(missing.stderr.splitlines())) == (2, 1), missing.stderr
        assert "hf:me/other: cannot be had" in missing.stderr
    finally:
        server.shutdown()
        server.server_close()
    away = home | {"HF_HUB_OFFLINE": "1"}
    assert command("speakers", "--model", "hf:me/tiny", **away).stdout == first.stdout
    other = command("speakers", "--model", "hf:me/other", **away)
    assert "is not in the cache" in other.stderr
    assert not list((tmp_path / "hf").rglob("model.py"))
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
        with pytest.raises(InputError, match="is no repository"):
            hub.resolve(wrong)
