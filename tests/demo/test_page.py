"""The page in a real browser: each tab by clicking through it; and what a server of strangers must withstand."""

import json
import shutil
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from vqspeech import InputError, audio, config
from vqspeech.demo.service import DemoService
from vqspeech.demo.uploads import Limits
from vqspeech.models import checkpoint

sys.path.insert(0, str(Path(__file__).parents[1] / "campaigns"))
import crowd

gradio = pytest.importorskip("gradio", reason="the page needs gradio: pip install 'vqspeech[demo]'")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
browser_only = pytest.mark.skipif(
    not CHROMIUM, reason="no Chromium to click through the page: apt-get install chromium"
)
WAIT_MS = 60_000


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run directory of an untrained model with three voices, its prior beside it, and what a probe found."""
    import torch

    from vqspeech.models.prior import Prior
    from vqspeech.models.vqvae import VQVAE

    folder = tmp_path_factory.mktemp("demo") / "run"
    tree = {"encoder": {"channels": 8, "strides": [4, 4, 4, 5]}, "quantizer": {"codebook_size": 16, "codebook_dim": 4}}
    tree["wavenet"] = {"residual_channels": 8, "skip_channels": 12, "layers": 4, "layers_per_stack": 3}
    tree |= {"cond_channels": 6, "speaker_dim": 3}
    settings = config.from_tree({"model": tree, "training": {"segment_length": 3200}}, "")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        checkpoint.init_run_dir(folder, settings, ["alice", "p225", "p226"])
        checkpoint.save(folder, VQVAE.from_config(settings.model, 3))
        digest = checkpoint.load(folder).digest
        sizes = {"model": digest, "codebook_size": 16, "residual_channels": 8, "skip_channels": 8, "layers": 2}
        sizes |= {"layers_per_stack": 2, "speaker_dim": 3}
        prior = config.from_tree({"prior": sizes}, "")
        checkpoint.init_run_dir(folder / "prior", prior, ["alice", "p225", "p226"])
        checkpoint.save(folder / "prior", Prior(prior.prior, 3))
    counts = np.zeros((16, 41), int)
    counts[:8, 0] = counts[8:, 5] = counts[8:, 6] = 3
    found = {"phone_of_code": ["aa"] * 8 + ["b"] * 7, "codes_by_phone": counts[:15].tolist()}
    (folder / "probe.json").write_text(json.dumps(found))
    return folder


@pytest.fixture
def demo_service(run):
    made = DemoService([str(run)], Limits(recording_s=20.0))
    yield made
    made.upload_folder.close()


@pytest.fixture(scope="module")
def address(run):
    """The page, served."""
    from vqspeech.demo import page

    demo_service = DemoService([str(run)], Limits(recording_s=20.0, file_bytes=1_500_000))
    blocks, address = page.serve(demo_service, wait=False)
    yield address
    blocks.close()
    demo_service.upload_folder.close()


@pytest.fixture
def wav(tmp_path, speech) -> Path:
    audio.write(tmp_path / "my recording.wav", speech(2.0), 16000)
    return tmp_path / "my recording.wav"


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
        (lambda: demo_service.enrol(str(wav), "bob"), "s of speech in all"),
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
    monkeypatch.setattr("vqspeech.inference.speaker_enrolment.EVERY", 1)
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
    monkeypatch.setattr("vqspeech.inference.speaker_enrolment.EVERY", 1)
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
