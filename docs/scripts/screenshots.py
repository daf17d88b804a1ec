#!/usr/bin/env python
"""Screenshots of the web page, docs/demo*.png: python docs/scripts/screenshots.py (needs playwright and Chromium)."""

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from vqspeech.demo import page as web_page
from vqspeech.demo.service import DemoService

DOCS = Path(__file__).parents[1]
WAIT_MS = 60_000


def main() -> None:
    """Serve the model that ships, click through the page, and save what it looks like."""
    service = DemoService(["english-16k"])
    blocks, address = web_page.serve(service, wait=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.goto(address)
        convert(page)
        page.screenshot(path=DOCS / "demo.png", full_page=True)
        tabs = []
        for name in ("Live", "Voices", "Codec", "Sample", "Codebook"):
            page.get_by_role("tab", name=name).click()
            page.wait_for_timeout(800)
            tabs.append(Image.open(io.BytesIO(page.screenshot(full_page=True))))
        height = sum(tab.height for tab in tabs)
        sheet = Image.new("RGB", (max(tab.width for tab in tabs), height), "white")
        top = 0
        for tab in tabs:
            sheet.paste(tab, (0, top))
            top += tab.height
        sheet.save(DOCS / "demo-tabs.png", optimize=True)
        phone = browser.new_page(viewport={"width": 390, "height": 844}, device_scale_factor=2)
        phone.goto(address)
        convert(phone)
        phone.screenshot(path=DOCS / "demo-phone.png")
        browser.close()
    blocks.close()
    service.upload_folder.close()


def convert(page: Page) -> None:
    """Take the first example, convert it, and wait for the picture."""
    page.get_by_role("button", name="woman").first.click()
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Convert", exact=True).click()
    page.locator("#picture img").wait_for(timeout=WAIT_MS)
    page.wait_for_timeout(1000)


if __name__ == "__main__":
    main()
