#!/usr/bin/env python
"""Makes the pictures of the web page: docs/demo.png, docs/demo-phone.png and docs/demo-tabs.png.

python docs/scripts/screenshots.py, with vqspeech[demo], playwright and Chromium.
"""

import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from vqspeech import audio
from vqspeech.demo import page as web_page
from vqspeech.demo.service import DemoService
from vqspeech.demo.uploads import Limits

DOCS = Path(__file__).parents[1]
RECORDING = DOCS / "samples/p239_489.opus"
WIDTH, HEIGHT = 1100, 900
PHONE_WIDTH, PHONE_HEIGHT = 390, 844
TAB_HEIGHT = 900
COLOURS = 128
WAIT_MS = 300_000


def main() -> None:
    """Serves the page, clicks through it, and saves what it shows."""
    service = DemoService(["english-16k"], Limits())
    blocks, address = web_page.serve(service, wait=False)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        wav = folder / "recording.wav"
        audio.write(wav, audio.read(RECORDING, 16000), 16000)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for target, width, height in (("demo", WIDTH, HEIGHT), ("demo-phone", PHONE_WIDTH, PHONE_HEIGHT)):
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(WAIT_MS)
            page.goto(address)
            convert(page, wav)
            page.screenshot(path=folder / f"{target}.png", full_page=True)
            save(Image.open(folder / f"{target}.png"), f"{target}.png")
        page = browser.new_page(viewport={"width": WIDTH, "height": TAB_HEIGHT})
        page.set_default_timeout(WAIT_MS)
        page.goto(address)
        tabs = []
        for tab, act in {"Voices": None, "Codec": encode, "Sample": sample, "Codebook": play_phone}.items():
            page.get_by_role("tab", name=tab, exact=True).click()
            if act:
                act(page, wav)
            page.wait_for_timeout(2000)
            page.screenshot(path=folder / f"{tab}.png")
            tabs.append(Image.open(folder / f"{tab}.png"))
        save(tiled(tabs), "demo-tabs.png")
        browser.close()
    blocks.close()
    service.upload_folder.close()


def convert(page: Page, wav: Path) -> None:
    """Converts a recording to p226."""
    upload(page, "Your recording", wav)
    choose(page, "Voice", "p226")
    page.get_by_role("button", name="Convert", exact=True).click()
    page.locator("#picture img").wait_for()
    page.wait_for_timeout(4000)


def encode(page: Page, wav: Path) -> None:
    """Encodes a recording."""
    upload(page, "A recording", wav)
    page.get_by_role("button", name="Make it small").click()
    page.get_by_text("bit/s").last.wait_for()


def sample(page: Page, wav: Path) -> None:
    """Samples from the prior."""
    page.get_by_role("button", name="Sample", exact=True).click()
    page.locator("audio:visible, .waveform-container:visible").first.wait_for()


def play_phone(page: Page, wav: Path) -> None:
    """Plays the codes of a phone."""
    choose(page, "A phone", "iy")
    page.get_by_role("button", name="Play the codes of this phone").click()
    page.get_by_text("iy: codes").wait_for()


def upload(page: Page, label: str, wav: Path) -> None:
    """Gives a file to the component with a label."""
    block = page.locator(".block:visible", has=page.get_by_text(label, exact=True))
    block.locator("input[type=file]").first.set_input_files(wav)
    block.locator(".waveform-container").first.wait_for()


def choose(page: Page, label: str, value: str) -> None:
    """Chooses a value of a list."""
    box = page.get_by_label(label, exact=True).locator("visible=true").first
    box.click()
    box.fill(value)
    box.press("Enter")


def tiled(pictures: list[Image.Image]) -> Image.Image:
    """Pictures two beside two, at two thirds of their size."""
    width, height = 2 * WIDTH // 3, 2 * TAB_HEIGHT // 3
    canvas = Image.new("RGB", (2 * width + 14, 2 * height + 14), "white")
    for number, picture in enumerate(pictures):
        canvas.paste(picture.resize((width, height)), ((number % 2) * (width + 14), (number // 2) * (height + 14)))
    return canvas


def save(picture: Image.Image, name: str) -> None:
    """Writes a picture with a small palette."""
    picture.convert("RGB").quantize(COLOURS).save(DOCS / name, optimize=True)


if __name__ == "__main__":
    main()
