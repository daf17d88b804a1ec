"""The page in a real browser: each tab by clicking through it; and what a server of strangers must withstand."""

import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from vqspeech import audio
from vqspeech.demo.service import DemoService
from vqspeech.demo.uploads import Limits

sys.path.insert(0, str(Path(__file__).parents[1] / "campaigns"))
import crowd

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
browser_only = pytest.mark.skipif(
    not CHROMIUM, reason="no Chromium to click through the page: apt-get install chromium"
)
WAIT_MS = 60_000


@pytest.fixture(scope="module")
def address(run):
    """The page, served."""
    from vqspeech.demo import page

    demo_service = DemoService([str(run)], Limits(recording_s=20.0, file_bytes=1_500_000))
    blocks, address = page.serve(demo_service, wait=False)
    yield address
    blocks.close()
    demo_service.upload_folder.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium, whose microphone hears a recording."""
    from playwright.sync_api import sync_playwright

    heard = tmp_path_factory.mktemp("microphone") / "microphone.wav"
    audio.write(heard, 0.3 * np.sin(np.arange(48000 * 3) / 20), 48000)
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*options, f"--use-file-for-fake-audio-capture={heard}"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, address):
    """The page in a window of its own, which notes what is fetched from elsewhere and what goes wrong in it."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, permissions=["microphone"])
    opened = context.new_page()
    opened.set_default_timeout(WAIT_MS)
    strange, faults = [], []
    opened.on("request", lambda request: strange.append(request.url) if _elsewhere(request.url, address) else None)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.goto(address)
    opened.get_by_role("button", name="Convert", exact=True).wait_for()
    yield opened
    context.close()
    assert not strange
    assert not faults


def _elsewhere(url: str, address: str) -> bool:
    return url.startswith(("http", "ws")) and url.split("/")[2] != address.split("/")[2]


def _upload(page, label: str, path: Path) -> None:
    page.locator(".block:visible", has=page.get_by_text(label, exact=True)).locator("input[type=file]").set_input_files(
        path
    )


def _tab(page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def _hear(page, label: str) -> None:
    """Waits until a player has something to play, and can play it."""
    player = page.locator(".block:visible", has=page.get_by_text(label, exact=True))
    player.get_by_role("button", name="Play", exact=True).wait_for()


@browser_only
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


@browser_only
def test_an_example_and_the_microphone_are_recordings_too(page):
    pytest.importorskip("espeakng_loader")
    page.get_by_text("woman").first.click()
    _hear(page, "Your recording")
    page.reload()
    page.get_by_role("button", name="Record audio").first.click()
    page.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Stop").click()
    _hear(page, "Your recording")
    page.get_by_role("button", name="Convert", exact=True).click()
    page.get_by_text("bytes of codes").wait_for()


@browser_only
def test_what_the_microphone_hears_is_spoken_live(page):
    _tab(page, "Live")
    page.get_by_role("button", name="Record", exact=True).last.click()
    page.get_by_text("ms behind you").wait_for()
    page.wait_for_function("[...document.querySelectorAll('audio')].some(player => player.duration > 1)")
    page.get_by_role("button", name="Stop").last.click()
    page.get_by_role("button", name="Record", exact=True).last.wait_for()


@browser_only
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


@browser_only
def test_a_voice_is_heard_learned_and_removed(page, tmp_path, speech, monkeypatch):
    monkeypatch.setattr("vqspeech.inference.speaker_enrolment.EVALUATE_EVERY", 1)
    monkeypatch.setattr("vqspeech.inference.speaker_enrolment.PATIENCE", 1)
    audio.write(tmp_path / "me.wav", speech(5.0), 16000)
    _tab(page, "Voices")
    _upload(page, "10 to 60 seconds of you speaking", tmp_path / "me.wav")
    page.get_by_label("Name of the new voice").fill("zoe")
    page.get_by_role("button", name="Learn this voice").click()
    page.get_by_text("can be chosen as a voice now").wait_for()
    page.get_by_label("A voice that was added here").click()
    page.get_by_role("option", name="zoe").click()
    page.get_by_role("button", name="Remove it").click()
    page.get_by_text("zoe is gone").wait_for()


@browser_only
def test_a_file_of_codes_is_made_and_played(page, wav):
    _tab(page, "Codec")
    _upload(page, "A recording", wav)
    page.get_by_role("button", name="Make it small").click()
    page.get_by_text("bit/s").first.wait_for()
    page.get_by_role("button", name="Play", exact=True).last.click()
    page.get_by_text("said by").wait_for()
    _hear(page, "What the codes say")


@browser_only
def test_the_prior_samples_and_codes_are_played_with_their_phones(page):
    _tab(page, "Sample")
    page.get_by_role("button", name="Sample", exact=True).click()
    _hear(page, "The sample")
    _tab(page, "Codebook")
    page.get_by_label("A code", exact=True).fill("9")
    page.get_by_role("button", name="Play this code").click()
    page.get_by_role("cell", name="50 %").first.wait_for()
    _hear(page, "The codes")
    page.get_by_label("A phone", exact=True).click()
    page.get_by_role("option", name="aa").click()
    page.get_by_role("button", name="Play the codes of this phone").click()
    page.get_by_text("aa: codes 0, 1").wait_for()


@browser_only
def test_two_windows_at_once_each_hear_their_own(browser, address, tmp_path, speech):
    windows = [browser.new_context().new_page() for _ in range(2)]
    for number, window in enumerate(windows):
        window.set_default_timeout(WAIT_MS)
        window.goto(address)
        audio.write(tmp_path / f"{number}.wav", speech(1.0 + number), 16000)
        _upload(window, "Your recording", tmp_path / f"{number}.wav")
    for window in windows:
        window.get_by_role("button", name="Convert", exact=True).click()
    for number, window in enumerate(windows):
        window.get_by_text(f"{number + 1}.0 s: ").wait_for()
        window.context.close()


@browser_only
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_is_wide_enough(browser, address, scheme):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    phone = context.new_page()
    phone.goto(address)
    phone.get_by_role("button", name="Convert", exact=True).wait_for(timeout=WAIT_MS)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    bright = phone.evaluate("getComputedStyle(document.body).backgroundColor").strip("rgba()").split(",")
    assert (sum(map(float, bright[:3])) > 384) == (scheme == "light")
    context.close()


def _get(url: str) -> int:
    try:
        return urllib.request.urlopen(url, timeout=30).status
    except urllib.error.HTTPError as error:
        return error.code


def test_nothing_outside_its_own_folder_is_read_and_nothing_is_fetched_from_elsewhere(address, run):
    secret = run / "config.yaml"
    for path in (f"{secret}", "/etc/passwd", f"../../../..{secret}", "%2e%2e/%2e%2e/etc/passwd"):
        assert _get(f"{address}gradio_api/file={path}") in (403, 404)
    answer = urllib.request.urlopen(address, timeout=30)
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_the_interface_for_programs_has_stable_names_and_limits(address, wav, tmp_path):
    client_of = pytest.importorskip("gradio_client")
    client = client_of.Client(address, verbose=False, download_files=str(tmp_path))
    names = set(client.view_api(return_format="dict")["named_endpoints"])
    expected = {"convert", "preview_voice", "enrol", "remove", "encode", "decode", "sample", "play_phone", "play_code"}
    assert names == {f"/{name}" for name in expected}
    out = client.predict(client_of.handle_file(wav), "p226", 0.9, "voice", api_name="/convert")
    assert len(audio.read(out[0], 16000)) == 32000
    (tmp_path / "large.wav").write_bytes(bytes(1_600_000))
    with pytest.raises(Exception, match=r"413|exceed|large|size"):
        client.predict(client_of.handle_file(tmp_path / "large.wav"), "p226", 0.9, "voice", api_name="/convert")


def test_in_a_crowd_everybody_hears_their_own_and_nothing_is_left(run, tmp_path):
    pytest.importorskip("gradio_client")
    found = crowd.crowd(str(run), 4, 8.0, tmp_path, kept_s=10.0)
    assert not found.faults
    assert found.answers["right"] >= 4
    assert found.answers["rubbish refused"]


def test_with_a_password_nobody_else_comes_in(run):
    from vqspeech.demo import page

    demo_service = DemoService([str(run)], Limits(recording_s=20.0))
    blocks, address = page.serve(demo_service, auth=("anna", "secret"), wait=False)

    def answer(path: str, data: bytes | None = None, cookie: str = "") -> tuple[int, str, str]:
        request = urllib.request.Request(address.rstrip("/") + path, data, {"Cookie": cookie})
        try:
            with urllib.request.urlopen(request, timeout=30) as said:
                cookies = "; ".join(one.split(";")[0] for one in said.headers.get_all("Set-Cookie") or ())
                return said.status, said.read().decode(), cookies
        except urllib.error.HTTPError as error:
            return error.code, "", ""

    try:
        for path in ("/gradio_api/info", "/gradio_api/file=whatever.wav", "/gradio_api/call/voices/x", "/config"):
            assert answer(path)[0] == 401, path
        assert answer("/gradio_api/upload", b"x")[0] == 401
        assert answer("/login", b"username=anna&password=wrong")[0] == 400
        status, _, cookie = answer("/login", b"username=anna&password=secret")
        assert status == 200
        status, known, _ = answer("/gradio_api/info", cookie=cookie)
        assert status == 200
        assert "/convert" in known
    finally:
        blocks.close()
        demo_service.upload_folder.close()
