"""The page as a whole: several windows, a phone, and what a server of strangers must withstand."""

import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from vqspeech import audio
from vqspeech.demo.service import DemoService
from vqspeech.demo.uploads import Limits

sys.path.insert(0, str(Path(__file__).parents[1] / "campaigns"))
import crowd

WAIT_MS = 60_000


def _upload(page, label: str, path: Path) -> None:
    page.locator(".block:visible", has=page.get_by_text(label, exact=True)).locator("input[type=file]").set_input_files(
        path
    )


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
