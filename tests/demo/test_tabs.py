"""The tabs of the page in a real browser, by clicking through them."""

from pathlib import Path

import numpy as np
import pytest

from vqspeech import audio


def _upload(page, label: str, path: Path) -> None:
    page.locator(".block:visible", has=page.get_by_text(label, exact=True)).locator("input[type=file]").set_input_files(
        path
    )


def _tab(page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def _fill(page, label: str, text: str) -> None:
    """Fills a field until it keeps its text: a tab that has just been opened sets its fields once more."""
    field = page.get_by_label(label, exact=True)
    for _ in range(60):
        field.fill(text)
        page.keyboard.press("Tab")
        page.wait_for_timeout(500)
        if field.input_value() == text:
            return
    pytest.fail(f"the field {label} does not keep {text}")


def _hear(page, label: str) -> None:
    """Waits until a player has something to play, and can play it."""
    player = page.locator(".block:visible", has=page.get_by_text(label, exact=True))
    player.get_by_role("button", name="Play", exact=True).wait_for()


def test_a_recording_is_converted_heard_seen_and_downloaded(page, wav):
    _upload(page, "Your recording", wav)
    page.get_by_label("Voice", exact=True).first.fill("p226")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Convert", exact=True).click()
    page.get_by_text("bytes of codes").wait_for()
    _hear(page, "The conversion")
    picture = page.get_by_alt_text("Mel spectrograms of the recording and the conversion")
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 500
    for name, begins in (("Download WAV", b"RIFF"), ("Download codes", b"\x89VQS")):
        with page.expect_download() as download:
            page.get_by_role("button", name=name).click()
        assert Path(download.value.path()).read_bytes().startswith(begins)


def test_an_example_and_the_microphone_are_recordings_too(page):
    pytest.importorskip("espeakng_loader")
    page.get_by_text("woman").first.click()
    _hear(page, "Your recording")
    page.reload()
    page.get_by_role("button", name="Record audio").first.click()
    page.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(1500)
    with page.expect_response(lambda response: "/upload" in response.url):  # it can be played before it is sent
        page.get_by_role("button", name="Stop").click()
    _hear(page, "Your recording")
    page.get_by_role("button", name="Convert", exact=True).click()
    page.get_by_text("bytes of codes").wait_for()


def test_what_the_microphone_hears_is_spoken_live(page):
    _tab(page, "Live")
    page.wait_for_timeout(3000)  # the page loads its recorder when the tab is opened
    page.get_by_role("button", name="Record", exact=True).last.click()
    page.get_by_text("ms behind you").wait_for()
    page.wait_for_function("[...document.querySelectorAll('audio')].some(player => player.duration > 1)")
    page.get_by_role("button", name="Stop").last.click()
    page.get_by_role("button", name="Record", exact=True).last.wait_for()


def test_an_error_is_a_sentence_and_the_page_lives_on(page, tmp_path, wav):
    page.get_by_role("button", name="Convert", exact=True).click()
    page.get_by_text("there is no recording yet; record or upload one").wait_for()
    (tmp_path / "rubbish.wav").write_bytes(np.random.default_rng(0).bytes(5000))
    _upload(page, "Your recording", tmp_path / "rubbish.wav")
    page.get_by_role("button", name="Convert", exact=True).click()
    page.get_by_text("the recording is not audio that can be read").wait_for()
    assert page.get_by_text("Traceback").count() == 0
    page.reload()
    _upload(page, "Your recording", wav)
    page.get_by_role("button", name="Convert", exact=True).click()
    page.get_by_text("bytes of codes").wait_for()


def test_a_voice_is_heard_learned_and_removed(page, tmp_path, speech, monkeypatch):
    monkeypatch.setattr("vqspeech.inference.speaker_enrolment.EVALUATE_EVERY", 1)
    monkeypatch.setattr("vqspeech.inference.speaker_enrolment.PATIENCE", 1)
    audio.write(tmp_path / "me.wav", speech(5.0), 16000)
    _tab(page, "Voices")
    _upload(page, "10 to 60 seconds of you speaking", tmp_path / "me.wav")
    _fill(page, "Name of the new voice", "zoe")
    page.get_by_role("button", name="Learn this voice").click()
    page.get_by_text("can be chosen as a voice now").wait_for()
    page.get_by_label("A voice that was added here").click()
    page.get_by_role("option", name="zoe").click()
    page.get_by_role("button", name="Remove it").click()
    page.get_by_text("zoe is gone").wait_for()


def test_a_file_of_codes_is_made_and_played(page, wav):
    _tab(page, "Codec")
    _upload(page, "A recording", wav)
    page.get_by_role("button", name="Make it small").click()
    page.get_by_text("bit/s").first.wait_for()
    page.get_by_role("button", name="Play", exact=True).last.click()
    page.get_by_text("said by").wait_for()
    _hear(page, "What the codes say")


def test_the_prior_samples_and_codes_are_played_with_their_phones(page):
    _tab(page, "Sample")
    page.get_by_role("button", name="Sample", exact=True).click()
    _hear(page, "The sample")
    _tab(page, "Codebook")
    _fill(page, "A code", "9")
    page.get_by_role("button", name="Play this code").click()
    page.get_by_role("cell", name="50 %").first.wait_for()
    _hear(page, "The codes")
    page.get_by_label("A phone", exact=True).click()
    page.get_by_role("option", name="aa").click()
    page.get_by_role("button", name="Play the codes of this phone").click()
    page.get_by_text("aa: codes 0, 1").wait_for()
