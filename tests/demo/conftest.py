"""Fixtures of several files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from vqspeech import audio, config
from vqspeech.demo.service import DemoService
from vqspeech.demo.uploads import Limits
from vqspeech.models import checkpoint


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


@pytest.fixture
def wav(tmp_path, speech) -> Path:
    audio.write(tmp_path / "my recording.wav", speech(2.0), 16000)
    return tmp_path / "my recording.wav"


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
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
    if not CHROMIUM:
        pytest.skip("no Chromium to click through the page: apt-get install chromium")
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
