import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import vqspeech
from vqspeech import InputError, SamplingConfig, audio, config
from vqspeech.audio import chunks, mulaw
from vqspeech.engines import torch_engine
from vqspeech.inference import autoregressive_vocoder, source_filter_vocoder, speech_codec
from vqspeech.inference.vocoder import Request
from vqspeech.models import checkpoint
from vqspeech.models.vqvae import VQVAE
from vqspeech.nn.f0 import f0_to_phase, interpolate_f0
from vqspeech.nn.source_filter import synthesize

SEED = SamplingConfig(seed=5)


@pytest.fixture
def short_pieces(monkeypatch):
    monkeypatch.setattr(speech_codec, "CHUNK_FRAMES", 8)


def command(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "vqspeech", *map(str, arguments)], capture_output=True, text=True)


@given(size=st.integers(3, 9), context=st.integers(1, 2), cuts=st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_pieces_hold_every_item_once_with_all_the_context_there_is(size, context, cuts):
    whole = np.arange(sum(cuts))
    found = []
    for piece, before, after in chunks.chunks_with_context(np.split(whole, np.cumsum(cuts)[:-1]), size, context):
        middle = piece[before : len(piece) - after]
        assert before == min(context, middle[0])
        assert after == min(context, len(whole) - 1 - middle[-1])
        assert np.array_equal(piece, np.arange(piece[0], piece[-1] + 1))
        found.append(middle)
    assert all(len(one) == size for one in found[:-1])
    assert np.array_equal(np.concatenate(found), whole)


@torch.no_grad()
def test_codes_by_pieces_are_the_codes_of_the_whole(run, speech, short_pieces):
    model, wave = vqspeech.load(run), speech(0.5)
    padded = torch.from_numpy(np.pad(mulaw.compress(wave), (0, -len(wave) % 16), constant_values=128))[None]
    assert np.array_equal(model.encode(wave), model.net.encode(padded)[0].numpy())


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(1, 700), min_size=1, max_size=6))
def test_any_cutting_of_the_input_gives_the_same_codes(cuts):
    model = _loose_model()
    wave = np.random.default_rng(0).uniform(-1, 1, sum(cuts)).astype(np.float32)
    streamed = np.concatenate(list(model.encode_blocks(np.split(wave, np.cumsum(cuts)[:-1]))))
    assert np.array_equal(streamed, model.encode(wave))
    assert len(streamed) == -(-len(wave) // 16)


def _loose_model():
    tree = {"encoder": {"channels": 8, "strides": [4, 4]}, "quantizer": {"codebook_size": 16, "codebook_dim": 4}}
    settings_ = config.from_tree({"model": tree, "training": {"segment_length": 256}}, "")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = VQVAE.from_config(settings_.model, 1)
    return speech_codec.SpeechCodec(checkpoint.Run(model.eval(), settings_, ["a"], ""))


ACOUSTIC = {"channels": 8}


def load(run, engine: str | None, **options) -> speech_codec.SpeechCodec:
    """By the WaveNet, in an engine; without one, by the source-filter vocoder."""
    return vqspeech.load(run, "wavenet" if engine else "source-filter", engine=engine, **options)


@pytest.fixture
def short_segments(monkeypatch):
    """Segments of 30 frames of 16 samples, overlaps of 4 frames, fades of 8 samples."""
    for name, seconds in {"SEGMENT_S": 480 / 16000, "OVERLAP_S": 64 / 16000, "FADE_S": 8 / 16000}.items():
        monkeypatch.setattr(autoregressive_vocoder, name, seconds)


@pytest.mark.parametrize(
    ("tiny", "engine"), [({}, "numba"), ({}, "torch"), (ACOUSTIC, "torch"), (ACOUSTIC, None)], indirect=["tiny"]
)
def test_speech_depends_on_codes_voice_and_seed_alone(run, engine, short_segments, monkeypatch):
    model, codes = load(run, engine), np.random.default_rng(0).integers(0, 16, 200)
    whole = model.decode(codes, "p226", SEED)
    assert len(whole) == 200 * model.hop
    streamed = [*model.decode_pieces(np.split(codes, [1, 2, 119]), "p226", SEED)]
    assert np.array_equal(np.concatenate(streamed), whole)
    requests = [Request([codes[:n]], "p226", SEED) for n in (1, 33, 200, 120)]
    for streams, steps in ((1, 7), (3, 256), (50, 40)):
        monkeypatch.setattr(autoregressive_vocoder, "STREAMS_PER_THREAD", streams)
        monkeypatch.setattr(autoregressive_vocoder, "FRAMES_PER_CALL", 4 * steps)
        spoken = [*load(run, engine, threads=1).decode_many(requests)]
        for number, request in enumerate(requests):
            wave = np.concatenate([wave for one, wave in spoken if one == number])
            assert np.array_equal(wave, model.decode(request.pieces[0], "p226", SEED))
    assert not np.array_equal(model.decode(codes, "p226", sampling=SamplingConfig(seed=6)), whole)


@pytest.mark.parametrize("tiny", [ACOUSTIC], indirect=True)
def test_a_draft_by_segments_is_the_draft_of_the_whole(run, monkeypatch):
    model, codes = vqspeech.load(run), np.random.default_rng(0).integers(0, 16, 900)
    net = model.net
    assert model.uses_source_filter
    with torch.inference_mode():  # the voicing of an untrained model is chance; let it be a voice, and glide
        net.acoustic_model.residual.bias[0] += 1
        net.acoustic_model.residual.weight[1] *= 3
        net.acoustic_model.residual.bias[1] -= 0.5  # a low one: rounding adds up in its phase, cycle by cycle
        net.adaptations = 0.05 * torch.randn(
            2, *net.acoustic_model.adaptation_shape, generator=torch.Generator().manual_seed(0)
        )
        prediction = net.predict_acoustics(
            net.quantizer.decode(torch.from_numpy(codes)[None, :, None]), torch.tensor([1])
        )
        pitch = interpolate_f0(prediction.f0, net.hop)
        noise = torch.from_numpy(np.random.default_rng(7).random(len(codes) * 16, dtype=np.float32))[None]
        spectra = source_filter_vocoder._formant_postfilter(prediction.log_mel.reshape(1, -1, 80))
        whole = (
            synthesize(net.acoustic_model.mel, spectra, pitch, f0_to_phase(pitch, 16000), noise, 16000)[0]
            .clamp(-1, 1)
            .numpy()
        )
    monkeypatch.setattr(source_filter_vocoder, "SEGMENT_S", 0.2)
    spoken = model.decode(codes, "p226", sampling=SamplingConfig(seed=7))
    assert (prediction.f0 > 0).float().mean() > 0.5
    assert np.abs(spoken - whole).max() < 1e-3 * np.abs(whole).max()


def test_sharpened_spectra_keep_their_level_and_have_steeper_formants():
    bands = torch.linspace(0, 20, 80).sin()[None, None]
    sharp = source_filter_vocoder._formant_postfilter(bands)
    assert torch.allclose(
        source_filter_vocoder._formant_postfilter(torch.full((1, 1, 80), 0.7)), torch.full((1, 1, 80), 0.7)
    )
    assert sharp.std() > (1 + 0.45 * source_filter_vocoder.POSTFILTER_GAIN) * bands.std()
    assert abs(sharp.mean() - bands.mean()) < 0.02


def test_a_model_without_an_outline_makes_no_draft(run):
    assert not vqspeech.load(run).uses_source_filter
    with pytest.raises(InputError, match="no acoustic model for the source-filter vocoder"):
        vqspeech.load(run, "source-filter")


def test_one_segment_is_what_the_engine_says(run):
    model, codes = load(run, "torch"), torch.arange(16)[None]
    cond = model.net.condition(model.net.quantizer.decode(codes[:, :, None]), torch.tensor([1]))
    uniforms = torch.from_numpy(np.random.default_rng(5).random((1, 256), dtype=np.float32))
    with torch.inference_mode():
        classes, _ = torch_engine.generate(model.net.wavenet, cond, uniforms)
    assert np.array_equal(model.decode(np.arange(16), "p226", SEED), mulaw.expand(classes[0].numpy()))


def test_what_is_further_back_than_a_lead_is_not_heard(run, short_segments):
    """The model hears nothing before its receptive field: two beginnings, and after the first segment one speech."""
    model = vqspeech.load(run, precision="float32")
    assert math.ceil((model.net.wavenet.receptive_field + 64) / 16) * 16 >= model.net.wavenet.receptive_field + 64
    codes = np.random.default_rng(0).integers(0, 16, 120)
    other = np.concatenate([codes[:5] * 0, codes[5:]])
    one, another = model.decode(codes, "p226"), model.decode(other, "p226")
    assert not np.array_equal(one[:480], another[:480])
    assert np.array_equal(one[480:], another[480:])


@given(shift=st.floats(-np.pi, np.pi), pitch=st.floats(80, 400))
def test_a_seam_is_no_rougher_than_what_it_joins(shift, pitch):
    time = np.arange(4000) / 16000
    first, second = (np.sin(2 * np.pi * pitch * time + f0_to_phase).astype(np.float32) for f0_to_phase in (0, shift))
    joined = np.concatenate([*chunks.crossfade([(first[:2000], 0), (second[500:], 1500)], 1024, 160)])
    assert len(joined) == 4000
    assert np.array_equal(joined[:976], first[:976])
    assert np.array_equal(joined[2000:], second[2000:])
    steepest = np.abs(np.diff(first)).max()
    assert np.abs(np.diff(joined)).max() < 1.5 * steepest + 2 / 160 * np.abs(first[976:2000] - second[976:2000]).min()


def test_engines_speak_alike(run):
    codes = np.arange(16)
    models = [load(run, "torch"), load(run, "numba", precision="float32")]
    one, other = (model.decode(codes, "alice") for model in models)
    assert np.array_equal(one, other)


def test_a_recording_that_breaks_off_costs_none_of_the_others(run, tmp_path, speech):
    audio.write(tmp_path / "a.wav", speech(0.2), 16000)
    wave = speech(3.0)
    wave[40000:] = np.nan
    soundfile.write(tmp_path / "b.wav", wave, 16000, subtype="FLOAT")
    audio.write(tmp_path / "c.wav", speech(0.1), 16000)
    soundfile.write(tmp_path / "none.wav", np.zeros(1), 44100)
    paths = [tmp_path / name for name in ("missing.wav", "a.wav", "b.wav", "c.wav", "none.wav")]
    done = command("convert", "--model", run, "--speaker", "alice", *paths, "--json")
    assert done.returncode == 2
    converted = [row["path"] for row in json.loads(done.stdout)]
    assert converted == [str(tmp_path / f"{name}.alice.wav") for name in ("a", "c", "none")]
    assert "missing.wav: no such file" in done.stderr
    assert soundfile.info(tmp_path / "none.alice.wav").frames == 0
    assert "b.wav: has samples that are not numbers" in done.stderr
    assert soundfile.info(tmp_path / "a.alice.wav").frames == 3200
    assert not (tmp_path / "b.alice.wav").exists()


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("seconds", [0.0013, 0.3, 0.50004])
def test_a_conversion_is_exactly_as_long_as_its_source(run, tmp_path, speech, rate, seconds):
    soundfile.write(tmp_path / "in.wav", speech(seconds, rate), rate)
    done = vqspeech.convert(tmp_path / "in.wav", "p225", run)
    assert done.path == tmp_path / "in.p225.wav"
    frames = soundfile.info(tmp_path / "in.wav").frames
    assert soundfile.info(done.path).frames == round(frames * 16000 / rate)
    assert soundfile.info(done.path).samplerate == 16000
    assert len(done.codes) == -(-soundfile.info(done.path).frames // 16)


def test_several_recordings_are_converted_into_a_folder_and_told_as_json(run, tmp_path, speech):
    for name in ("a.wav", "b.flac"):
        audio.write(tmp_path / name, speech(0.2), 16000)
    paths = [tmp_path / "a.wav", tmp_path / "b.flac"]
    options = ["--model", run, "--speaker", "alice", "--out-dir", tmp_path / "out", "--seed", 3, "--temperature", 0.8]
    done = command("convert", *options, "--json", *paths)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [one["path"] for one in told] == [str(tmp_path / "out" / name) for name in ("a.alice.wav", "b.alice.wav")]
    assert told[0]["duration_s"] == pytest.approx(0.2)
    again = vqspeech.convert(paths[0], "alice", run, tmp_path / "again.wav", sampling=SamplingConfig(0.8, seed=3))
    assert again.path.read_bytes() == (tmp_path / "out/a.alice.wav").read_bytes()


def test_voices_are_listed(run):
    assert command("speakers", "--model", run).stdout.split() == ["p225", "p226", "alice"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--speaker", "p255", "good.wav"], "unknown speaker 'p255'; nearest of 3 speakers: p225"),
        (["--speaker", "p225", "missing.wav"], "missing.wav: no such file"),
        (["--speaker", "p225", "empty.wav"], "is empty (0 bytes)"),
        (["--speaker", "p225", "text.wav"], "is not audio"),
        (["--speaker", "p225", "nan.wav"], "not numbers"),
        (["--speaker", "p225", "good.wav", "-o", "out.mp3"], "end the name in .wav or .flac"),
        (["--speaker", "p225", "good.wav", "-o", "no/such/out.wav"], "cannot be written"),
        (["--speaker", "p225", "good.wav", "-o", "good.wav"], "is read by this command"),
        (["--speaker", "p225", "good.wav", "good.wav"], "would overwrite each other"),
        (["--speaker", "p225", "good.wav", "nan.wav", "-o", "x.wav"], "use --out-dir"),
        (["--speaker", "p225", "good.wav", "--out-dir", "text.wav"], "text.wav: cannot be made (File exists)"),
        (["--speaker", "p225", "good.wav", "--engine", "abacus"], "choose from numba, torch"),
        (["--speaker", "p225", "good.wav", "--device", "toaster"], "toaster"),
        (["--speaker", "p225", "good.wav", "--temperature", "-1"], "temperature -1 is out of range"),
        (["--speaker", "p225", "good.wav", "--top-p", "0"], "top_p 0 is out of range"),
        (["--speaker", "p225", "good.wav", "--precision", "int3"], "choose from bfloat16, float32"),
        (
            ["--speaker", "p225", "good.wav", "--model", "nowhere"],
            "nowhere: is no run directory",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2_and_leaves_nothing(run, tmp_path, speech, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    audio.write("good.wav", speech(0.2), 16000)
    Path("empty.wav").write_bytes(b"")
    Path("text.wav").write_text("no sound\n" * 50)
    nan = np.full(1600, np.nan, np.float32)
    soundfile.write("nan.wav", nan, 16000, subtype="FLOAT")
    before = sorted(tmp_path.rglob("*"))
    model = [] if "--model" in arguments else ["--model", run]
    done = command("convert", *model, *arguments)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("vqspeech: ")]
    assert len(lines) == 1
    assert told in lines[0]
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_that_was_changed_is_refused_and_the_file_named(run):
    vqspeech.load(run)
    for name in ("config.yaml", "speakers.txt", "model.safetensors"):
        sound = (run / name).read_bytes()
        for place in (len(sound) // 2, len(sound) - 3):
            changed = bytearray(sound)
            changed[place] ^= 1
            (run / name).write_bytes(changed)
            with pytest.raises(InputError, match=name):
                vqspeech.load(run)
        (run / name).write_bytes(sound[: len(sound) // 2])
        with pytest.raises(InputError, match=name):
            vqspeech.load(run)
        (run / name).unlink()
        with pytest.raises(InputError, match=name):
            vqspeech.load(run)
        (run / name).write_bytes(sound)
    vqspeech.load(run)


def test_a_run_of_another_version_is_refused(run, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", "3")
    with pytest.raises(InputError, match="format '2', this version reads '3'"):
        vqspeech.load(run)


def test_a_code_outside_the_codebook_is_refused(run):
    with pytest.raises(InputError, match=r"code 16 is not in 0\.\.15"):
        vqspeech.load(run).decode(np.array([3, 16]), "p225")


def test_help_needs_no_heavy_import():
    heavy = (
        "import sys, vqspeech.cli.app; print([m for m in ('torch', 'numpy', 'numba', 'librosa') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
    assert "convert" in command("--help").stdout
