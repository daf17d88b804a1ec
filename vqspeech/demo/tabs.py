"""Tabs of the web page: Gradio components, and what their buttons do."""

import logging
import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from vqspeech.demo.service import DemoService
from vqspeech.demo.uploads import names_only
from vqspeech.errors import InputError

WORKERS = 8
"""Threads that answer what is quick; only one speaks at a time."""
LIVE_CHUNK_S = 0.25
"""Time between two chunks of a microphone."""


def convert_tab(gr: Any, demo_service: DemoService, voice_list: Callable[..., Any]) -> None:
    """Convert a recording, and see it beside its conversion."""
    with gr.Row():
        with gr.Column():
            recording = _recording(gr, "Your recording")
            if examples := demo_service.examples():
                paths, names = [[str(path)] for path in examples.values()], list(examples)
                gr.Examples(paths, [recording], label="Or a synthetic voice", example_labels=names)
            voice = voice_list("Voice", info="Type to search.")
            with gr.Accordion("More", open=False):
                shown = not demo_service.model().uses_source_filter
                chosen = 0.9 if shown else 1.0  # a WaveNet conditioned on acoustic features needs no less
                temperature = gr.Slider(
                    0.5, 1.0, chosen, step=0.05, label="Temperature (less is duller)", visible=shown
                )
                level = gr.Radio(["voice", "source"], value="voice", label="As loud as the")
                vocoders = demo_service.vocoders()
                vocoder = gr.Radio(vocoders, value=vocoders[0][1], label="Vocoder", visible=len(vocoders) > 1)
            go = gr.Button("Convert", variant="primary")
        with gr.Column():
            result = gr.Audio(label="The conversion", interactive=False, buttons=["download"])
            about = gr.Markdown()
            with gr.Row():
                wav = gr.DownloadButton("Download WAV", interactive=False)
                vqs = gr.DownloadButton("Download codes (.vqs)", interactive=False)
    alt = "Mel spectrograms of the recording and the conversion, and the codes as a strip of colours under them."
    picture = gr.Image(
        label="Recording, conversion and codes", show_label=False, interactive=False, visible=False,
        elem_id="picture", alt_text=alt, buttons=["fullscreen", "download"],
    )  # fmt: skip

    def convert(
        recording: str, voice: str, temperature: float, level: str, vocoder: str, progress: Any = gr.Progress()
    ):
        conversion = demo_service.convert(
            recording, voice, temperature, level, vocoder=vocoder, progress=_shown(progress, f"speaking as {voice}")
        )
        buttons = [gr.DownloadButton(value=str(path), interactive=True) for path in (conversion.wav, conversion.vqs)]
        return str(conversion.wav), conversion.about, *buttons, gr.Image(str(conversion.picture), visible=True)

    inputs, outputs = [recording, voice, temperature, level, vocoder], [result, about, wav, vqs, picture]
    _on(gr, go.click, convert, inputs, outputs, "convert")


def live_tab(gr: Any, demo_service: DemoService, voice_list: Callable[..., Any]) -> None:
    """Convert what the microphone hears, while it hears it."""
    gr.Markdown(
        "Speak, and hear yourself in another voice; with headphones, or it hears itself. A browser adds a second or "
        "two; `vqspeech live` does not."
    )
    with gr.Row():
        with gr.Column():
            voice = voice_list("Voice")
            microphone = gr.Audio(label="Your microphone", sources=["microphone"], streaming=True, type="numpy")
        with gr.Column():
            result = gr.Audio(label="You, in this voice", streaming=True, autoplay=True, interactive=False)
            note = gr.Markdown()
    state = gr.State(None, time_to_live=demo_service.upload_folder.limits.kept_s)

    def start(voice: str) -> tuple[Any, str]:
        live = demo_service.live(voice)
        return live, f"{voice}, {1000 * live.latency_s:.0f} ms behind you, and what the browser adds."

    def listen(chunk: tuple[int, Any] | None, live: Any) -> None:
        if live and chunk:
            live.push(*chunk)

    def speak(live: Any) -> Any:
        yield from live.chunks() if live else ()

    quiet = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": WORKERS}
    started = microphone.start_recording(_reported(gr, start, "live"), [voice], [state, note], **quiet)
    started.then(speak, [state], [result], **quiet)
    microphone.stream(
        _reported(gr, listen, "live"), [microphone, state], None, stream_every=LIVE_CHUNK_S,
        time_limit=demo_service.upload_folder.limits.work_s, **quiet,
    )  # fmt: skip
    microphone.stop_recording(lambda live: live and live.stop(), [state], None, **quiet)


class Enrolling:
    """What other parts of the page need of the tab of voices: when they change, and who may be removed."""

    def __init__(self, events: list[Any], removable: Any) -> None:
        self.events, self.removable = events, removable


def voices_tab(gr: Any, demo_service: DemoService) -> Enrolling:
    """Listen to the voices, add one and remove it."""
    example = next(iter(demo_service.examples().values()), None)
    with gr.Row():
        with gr.Column():
            voice = gr.Dropdown(demo_service.voices(), label="Listen to a voice", filterable=True)
            go = gr.Button("Play", interactive=example is not None)
            player = gr.Audio(label="The voice", interactive=False)
        with gr.Column(visible=demo_service.enrolment):
            recording = _recording(gr, "10 to 60 seconds of you speaking")
            name = gr.Textbox(label="Name of the new voice", max_lines=1, max_length=64)
            add = gr.Button("Learn this voice", variant="primary")
            removable = gr.Dropdown(demo_service.enrolled(), value=None, label="A voice that was added here")
            remove = gr.Button("Remove it", variant="stop")
            note = gr.Markdown()

    def preview_voice(voice: str, progress: Any = gr.Progress()) -> str:
        return str(demo_service.convert(str(example), voice, progress=_shown(progress, voice)).wav)

    def enrol(recording: str, name: str, progress: Any = gr.Progress()) -> str:
        warnings = demo_service.enrol(recording, name, _shown(progress, f"learning {name}"))
        lines = [f"**{name}** can be chosen as a voice now.", *(f"The recording {one}." for one in warnings)]
        return "\n\n".join(lines)

    def forget(name: str) -> str:
        demo_service.remove(name or "")
        return f"{name} is gone."

    _on(gr, go.click, preview_voice, [voice], [player], "preview_voice")
    added = _on(gr, add.click, enrol, [recording, name], [note], "enrol")
    removed = _on(gr, remove.click, forget, [removable], [note], "remove")
    return Enrolling([added.then, removed.then], removable)


def codec_tab(gr: Any, demo_service: DemoService, voice_list: Callable[..., Any]) -> None:
    """Encode a recording, and decode a file of codes."""
    with gr.Row():
        with gr.Column():
            recording = _recording(gr, "A recording")
            own = voice_list("Whose voice it shall be said in")
            rates = demo_service.rates()
            label = "Rate: " + ", ".join(f"{place} is {rate}" for place, rate in enumerate(rates, 1))
            rate = gr.Slider(1, max(2, len(rates)), 1, step=1, label=label, visible=len(rates) > 1)
            books = demo_service.model().codebooks
            label = "Codebooks: fewer cost fewer bits, and sound rougher"
            codebooks = gr.Radio(list(range(books, 0, -1)), value=books, label=label, visible=books > 1)
            small = gr.Button("Make it small", variant="primary")
            vqs = gr.File(label="Its codes (.vqs)", interactive=False, height=90)
            size = gr.Markdown()
        with gr.Column():
            file = gr.File(label="A .vqs file", file_types=[".vqs"], height=150)
            voice = gr.Dropdown([("as stored", ""), *demo_service.voices()], value="", label="Say it in the voice")
            play = gr.Button("Play", variant="primary")
            player = gr.Audio(label="What the codes say", interactive=False)
            about = gr.Markdown()

    def encode(recording: str, voice: str, rate: float = 1, codebooks: int | None = None) -> tuple[str, str]:
        name = demo_service.models[min(max(1, int(rate)), len(rates)) - 1]
        path, note = demo_service.encode(recording, voice, name, codebooks)
        return str(path), note

    def decode(file: str, voice: str, progress: Any = gr.Progress()) -> tuple[str, str]:
        path, note = demo_service.decode(file, voice or "", progress=_shown(progress, "speaking"))
        return str(path), note

    made = _on(gr, small.click, encode, [recording, own, rate, codebooks], [vqs, size], "encode")
    made.success(lambda path: path, [vqs], [file], api_visibility="private")
    _on(gr, play.click, decode, [file, voice], [player, about], "decode")


def sample_tab(gr: Any, demo_service: DemoService, voice_list: Callable[..., Any]) -> None:
    """Sample speech from the prior."""
    gr.Markdown("A second network, the prior, samples new codes; the decoder turns them into speech.")
    with gr.Row():
        with gr.Column():
            voice = voice_list("Voice")
            seconds = gr.Slider(1, 20, 4, step=0.5, label="Seconds")
            temperature = gr.Slider(0.5, 1.2, 0.9, step=0.05, label="Temperature of the codes")
            prompt = _recording(gr, "A recording to go on from, if you like")
            go = gr.Button("Sample", variant="primary")
        player = gr.Audio(label="The sample", interactive=False)

    def sample(voice: str, seconds: float, temperature: float, prompt: str | None, progress: Any = gr.Progress()):
        seed = int.from_bytes(os.urandom(4), "big")
        return str(
            demo_service.sample(voice, seconds, temperature, prompt, seed, progress=_shown(progress, "sampling"))
        )

    _on(gr, go.click, sample, [voice, seconds, temperature, prompt], [player], "sample")


def codes_tab(gr: Any, demo_service: DemoService, probed: dict[str, list[int]], voice_list: Callable[..., Any]) -> None:
    """Listen to single codes, and see which phones they are."""
    dictionary = demo_service.dictionary()
    if not probed:
        gr.Markdown("This model was not probed yet: `vqspeech probe` finds out which codes are which phones.")
    with gr.Row():
        voice = voice_list("Said by")
        phone = gr.Dropdown(list(probed), label="A phone", interactive=bool(probed))
        code = gr.Number(0, label="A code", precision=0, minimum=0)
    with gr.Row():
        of_phone = gr.Button("Play the codes of this phone", interactive=bool(probed))
        of_code = gr.Button("Play this code, and see its phones")
    player = gr.Audio(label="The codes", interactive=False)
    note = gr.Markdown()

    def play_phone(phone: str, voice: str) -> tuple[str, str]:
        codes = probed.get(phone, [])
        return str(demo_service.say_codes(codes, voice)), f"{phone}: codes {', '.join(map(str, codes))}"

    def play_code(code: int, voice: str) -> tuple[str, str]:
        path = demo_service.say_codes([int(code or 0)], voice)
        rows = [f"| {phone} | {100 * share:.0f} % |" for phone, share in dictionary.shares(int(code or 0))[:8]]
        table = "\n".join(["| phone | share |", "|---|---|", *rows])
        return str(path), table if rows else "This code did not occur when the model was probed."

    _on(gr, of_phone.click, play_phone, [phone, voice], [player, note], "play_phone")
    _on(gr, of_code.click, play_code, [code, voice], [player, note], "play_code")


def _recording(gr: Any, label: str) -> Any:
    return gr.Audio(
        label=label, sources=["upload", "microphone"], type="filepath", editable=False, buttons=["download"]
    )


def _on(gr: Any, event: Any, act: Callable[..., Any], inputs: list[Any], outputs: list[Any], name: str) -> Any:
    """Connects a button with an act, one at a time on all pages."""
    act = _reported(gr, act, name)
    return event(act, inputs, outputs, api_name=name, concurrency_id="speaking", concurrency_limit=1)


def _reported(gr: Any, act: Callable[..., Any], name: str) -> Callable[..., Any]:
    """An act whose errors are sentences on the page."""

    @wraps(act)
    def note(*arguments: Any, **options: Any) -> Any:
        try:
            return act(*arguments, **options)
        except InputError as error:
            raise gr.Error(names_only(str(error), *arguments), duration=15, print_exception=False) from None
        except Exception as error:
            logging.getLogger(__name__).exception("%s", name)
            sentence = "This did not work, and it is not your fault; try another recording."
            raise gr.Error(sentence, duration=15, print_exception=False) from error

    return note


def _shown(progress: Any, text: str) -> Callable[[float], None]:
    return lambda share: progress(share, desc=text)
