"""Web page: Gradio components around a `DemoService`, and its server."""

import logging
import os
from typing import Any

from vqspeech.demo import tabs
from vqspeech.demo.service import DemoService
from vqspeech.errors import InputError

QUEUE = 16
"""Requests that wait at most."""
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' blob: data:; "
    "worker-src 'self' blob:; frame-ancestors 'self'; form-action 'self'; base-uri 'self'"
)
"""Nothing is fetched from elsewhere, whatever a browser finds in the page."""
CSS = """
.gradio-container {max-width: 1080px !important; width: 100%; margin: auto}
#picture img {width: 100%; height: auto}
"""


def build(demo_service: DemoService) -> Any:
    """The web page as Gradio blocks.

    Raises:
        InputError: Gradio is not installed.
    """
    gr = _gradio()
    probed = demo_service.dictionary().phones()
    with gr.Blocks(
        title="vqspeech", analytics_enabled=False, delete_cache=demo_service.upload_folder.limits.swept_s
    ) as page:
        gr.Markdown("# vqspeech\nSpeech becomes a few codes, and codes become speech, in any of these voices.")
        voice_lists: list[Any] = []

        def voice_list(label: str, **options: Any) -> Any:
            choices, chosen = demo_service.voices(), demo_service.default_voice()
            voice_lists.append(gr.Dropdown(choices, value=chosen, label=label, filterable=True, **options))
            return voice_lists[-1]

        with gr.Tab("Convert", id="convert"):
            tabs.convert_tab(gr, demo_service, voice_list)
        with gr.Tab("Live", id="live"):
            tabs.live_tab(gr, demo_service, voice_list)
        with gr.Tab("Voices", id="voices"):
            enrolling = tabs.voices_tab(gr, demo_service)
        with gr.Tab("Codec", id="codec"):
            tabs.codec_tab(gr, demo_service, voice_list)
        with gr.Tab("Sample", id="sample"):
            tabs.sample_tab(gr, demo_service, voice_list)
        with gr.Tab("Codebook", id="codebook"):
            tabs.codes_tab(gr, demo_service, probed, voice_list)

        def renewed() -> list[Any]:
            return [gr.Dropdown(demo_service.voices()) for _ in voice_lists] + [
                gr.Dropdown(demo_service.enrolled(), value=None)
            ]

        for event in (page.load, *enrolling.events):
            event(renewed, None, [*voice_lists, enrolling.removable], api_visibility="private", show_progress="hidden")
    return page.queue(max_size=QUEUE, default_concurrency_limit=tabs.WORKERS)


def serve(
    demo_service: DemoService, host: str = "127.0.0.1", port: int | None = None, auth: tuple[str, str] | None = None,
    inbrowser: bool = False, wait: bool = True,
) -> tuple[Any, str]:  # fmt: skip
    """Serve the web page; returns its blocks, to be closed, and its address.

    Args:
        host: "127.0.0.1" is this machine alone.
        port: the first free one from 7860 on, if None.
        auth: a user and a password.
        wait: whether to return only when it is interrupted.

    Raises:
        InputError: Gradio is not installed, or the port is taken.
    """
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "*"  # gradio asks its own page whether it is there
    os.environ["GRADIO_TEMP_DIR"] = str(demo_service.upload_folder.folder / "uploads")
    page, gr = build(demo_service), _gradio()
    from starlette.middleware import Middleware

    logging.getLogger("httpx").setLevel(logging.WARNING)
    theme = gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    try:
        _, address, _ = page.launch(
            server_name=host, server_port=port, auth=auth, inbrowser=inbrowser, share=False, quiet=True, css=CSS,
            show_error=False, max_file_size=demo_service.upload_folder.limits.file_bytes, prevent_thread_lock=True,
            theme=theme, ssr_mode=False, enable_monitoring=False, pwa=False, footer_links=["api"],
            app_kwargs={"middleware": [Middleware(_Guard)]},
        )  # fmt: skip
    except (OSError, OverflowError, ValueError) as error:
        raise InputError(f"{host}:{port or 7860}: cannot be served on ({error}); choose another --port") from None
    if wait:
        print(f"Open {address} in a browser; Ctrl-C ends it.", flush=True)
        page.block_thread()
    return page, address


class _Guard:
    """Adds POLICY to every answer (an ASGI middleware)."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def answering(message: Any) -> None:
            if message["type"] == "http.response.start":
                added = {b"content-security-policy": POLICY.encode(), b"x-content-type-options": b"nosniff"}
                kept = [pair for pair in message["headers"] if pair[0].lower() not in added]
                message = {**message, "headers": [*kept, *added.items()]}
            await send(message)

        await self.app(scope, receive, answering if scope["type"] == "http" else send)


def _gradio() -> Any:
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio
    except ImportError:
        raise InputError("the page needs gradio; pip install 'vqspeech[demo]'") from None
    return gradio
