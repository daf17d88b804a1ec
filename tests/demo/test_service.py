"""Service of the page: what it makes, and what it refuses."""

import threading
import time

import numpy as np
import pytest

from vqspeech import InputError, audio
from vqspeech.demo.service import DemoService
from vqspeech.demo.uploads import Limits


def test_a_conversion_comes_with_its_codes_a_picture_and_its_sizes(demo_service, wav):
    shares = []
    said = demo_service.convert(str(wav), "p226", progress=shares.append)
    assert len(audio.read(said.wav, 16000)) == 32000
    assert said.picture.read_bytes()[:4] == b"\x89PNG"
    assert shares[-1] == 1.0
    assert said.wav.name == "my_recording.p226.wav"
    assert f"{said.vqs.stat().st_size:,} bytes of codes" in said.about
    again, told = demo_service.decode(str(said.vqs))
    assert len(audio.read(again, 16000)) == 32000
    assert "said by p226" in told
    assert "said by alice" in demo_service.decode(str(said.vqs), "alice")[1]


def test_two_people_at_once_get_their_own_results(demo_service, tmp_path, speech):
    paths, results = [], {}
    for number in range(4):
        paths.append(tmp_path / f"{number}.wav")
        audio.write(paths[-1], speech(0.5 + 0.25 * number, seed=number), 16000)
    alone = {
        number: audio.read(demo_service.convert(str(path), "p225").wav, 16000) for number, path in enumerate(paths)
    }

    def ask(number: int) -> None:
        results[number] = audio.read(demo_service.convert(str(paths[number]), "p225").wav, 16000)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert all(np.array_equal(results[number], alone[number]) for number in range(4))


def test_what_strangers_send_is_refused_in_a_sentence(demo_service, wav, tmp_path, speech):
    (tmp_path / "text.wav").write_text("no sound\n" * 50)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "large.wav").write_bytes(b"RIFF" + bytes(20_000_001))
    audio.write(tmp_path / "long.wav", np.zeros(16000 * 21), 16000)
    good = demo_service.convert(str(wav), "p225").vqs
    (tmp_path / "cut.vqs").write_bytes(good.read_bytes()[:-3])
    (tmp_path / "other.vqs").write_bytes(wav.read_bytes())
    for ask, told in (
        (lambda: demo_service.convert(None, "p225"), "there is no recording yet"),
        (
            lambda: demo_service.convert(str(tmp_path / "text.wav"), "p225"),
            "the recording is not audio that can be read",
        ),
        (lambda: demo_service.convert(str(tmp_path / "empty.wav"), "p225"), "the recording is empty"),
        (lambda: demo_service.convert(str(tmp_path / "large.wav"), "p225"), "20,000,000 are allowed here"),
        (
            lambda: demo_service.convert(str(tmp_path / "long.wav"), "p225"),
            "21 s of speech; more than 0, up to 20 are taken",
        ),
        (lambda: demo_service.convert(str(wav), "p22"), "unknown speaker 'p22'"),
        (lambda: demo_service.decode(str(tmp_path / "cut.vqs")), "the file is cut short"),
        (lambda: demo_service.decode(str(tmp_path / "other.vqs")), "the file is no .vqs file"),
        (lambda: demo_service.enrol(str(wav), "../x"), "cannot name a voice"),
        (lambda: demo_service.enrol(str(wav), "bob"), "s of speech; give"),
        (lambda: demo_service.remove("p225"), "no voice 'p225' was enrolled"),
        (lambda: demo_service.sample("p225", 99.0), "99 s of speech"),
        (lambda: demo_service.say_codes([], "p225"), "there is nothing to say"),
        (lambda: demo_service.say_codes([16], "p225"), "code 16 is not in 0..15"),
        (lambda: demo_service.model("other"), "is not open here"),
    ):
        with pytest.raises(InputError) as error:
            ask()
        assert told in str(error.value)
        assert str(tmp_path) not in str(error.value)


def test_work_that_takes_too_long_ends_and_what_was_made_goes_again(run, wav):
    demo_service = DemoService([str(run)], Limits(work_s=0.0, kept_s=0.0))
    with pytest.raises(InputError, match="this took longer than 0 s"):
        demo_service.convert(str(wav), "p225")
    time.sleep(0.01)
    request_dir = demo_service.upload_folder.request_dir()
    assert [path for path in demo_service.upload_folder.folder.iterdir() if path.is_dir()] == [request_dir]
    demo_service.upload_folder.close()
    assert not demo_service.upload_folder.folder.exists()


def test_a_voice_is_added_for_all_and_removed_and_that_can_be_switched_off(run, tmp_path, speech, monkeypatch):
    monkeypatch.setattr("vqspeech.inference.speaker_enrolment.EVALUATE_EVERY", 1)
    monkeypatch.setattr("vqspeech.inference.speaker_enrolment.PATIENCE", 1)
    audio.write(tmp_path / "me.wav", speech(5.0), 16000)
    demo_service = DemoService([str(run)])
    assert any("s of speech are few" in line for line in demo_service.enrol(str(tmp_path / "me.wav"), " bob "))
    assert ("bob", "bob") in demo_service.voices()
    assert demo_service.enrolled() == ["bob"]
    assert demo_service.convert(str(tmp_path / "me.wav"), "bob").wav.name == "me.bob.wav"
    demo_service.remove("bob")
    assert demo_service.enrolled() == []
    closed = DemoService([str(run)], enrolment=False)
    for ask in (lambda: closed.enrol(str(tmp_path / "me.wav"), "bob"), lambda: closed.remove("bob")):
        with pytest.raises(InputError, match="no voices can be"):
            ask()


def test_codes_and_phones_are_told_both_ways(demo_service, wav):
    words = demo_service.dictionary()
    assert words.phones() == {"aa": list(range(8)), "b": list(range(8, 15))}
    assert words.shares(15) == []
    assert words.shares(0) == [("aa", 1.0)]
    assert [share for _, share in words.shares(9)] == [0.5, 0.5]
    assert len(audio.read(demo_service.say_codes([1, 2], "p225"), 16000)) == 2 * 8 * 320
    assert len(audio.read(demo_service.sample("p225", 1.0, prompt=str(wav)), 16000)) == 3 * 16000


def test_the_model_that_ships_has_two_vocoders_and_one_or_two_codebooks(wav):
    service = DemoService(["english-16k"])
    try:
        assert service.vocoders() == [("WaveNet", "wavenet"), ("fast", "source-filter")]
        fast, slow = (
            audio.read(service.convert(str(wav), "p225", vocoder=vocoder).wav, 16000)
            for _, vocoder in service.vocoders()
        )
        assert len(fast) == len(slow)
        assert not np.allclose(fast, slow, atol=0.01)
        both, first = (service.encode(str(wav), "p225", codebooks=books)[0].stat().st_size for books in (None, 1))
        assert first < 0.7 * both
    finally:
        service.upload_folder.close()


def test_a_model_without_an_acoustic_model_has_one_vocoder(demo_service):
    assert demo_service.vocoders() == [("WaveNet", "wavenet")]


def test_the_first_voice_is_chosen_where_the_model_lacks_the_default_one(demo_service, monkeypatch):
    assert demo_service.default_voice() == "alice"
    monkeypatch.setattr("vqspeech.demo.service.DEFAULT_VOICE", "p226")
    assert demo_service.default_voice() == "p226"
