"""Command `live`: conversion from a microphone to a loudspeaker, or from pipe to pipe, as it is spoken."""

import contextlib
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from vqspeech.cli.options import Engine, Force, LiveVocoder, ModelName, Out, Precision, Seed, Temperature, Threads, TopP
from vqspeech.data import outputs
from vqspeech.errors import InputError
from vqspeech.models.hub import DEFAULT
from vqspeech.system.files import STDOUT

METER_S = 0.2
"""Time between two states of the meter."""
LOST_S = 2.0
"""Time without input after which a device counts as unplugged."""

live_app = typer.Typer()


@live_app.command()
def live(
    source: Annotated[
        Path | None,
        typer.Argument(
            help="A recording instead of the microphone; - is stdin: a WAV, or raw 16-bit mono.", metavar="[IN]"
        ),
    ] = None,
    speaker: Annotated[str, typer.Option(help="Target speaker, one of `vqspeech speakers`.")] = "",
    model: ModelName = DEFAULT,
    out: Out = None,
    force: Force = False,
    input_device: Annotated[
        str | None, typer.Option("--input", help="Input device: its number, or a part of its name.", metavar="DEVICE")
    ] = None,
    output_device: Annotated[
        str | None, typer.Option("--output", help="Output device: its number, or a part of its name.", metavar="DEVICE")
    ] = None,
    list_devices: Annotated[bool, typer.Option("--list-devices", help="Print the audio devices and exit.")] = False,
    lookahead: Annotated[
        float, typer.Option(help="Seconds of look-ahead of the features, from 0 to 2; more is better and later.")
    ] = 0.0,
    block_ms: Annotated[
        float, typer.Option(help="Milliseconds that are converted at once; more is less work and later.")
    ] = 40.0,
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    vocoder: LiveVocoder = None,
    engine: Engine = None,
    precision: Precision = None,
    threads: Threads = None,
) -> None:
    """Convert speech to another voice while it is spoken: from the microphone, or from a pipe."""
    from vqspeech.audio import devices
    from vqspeech.inference.live import LiveConverter
    from vqspeech.inference.sampling_config import SamplingConfig
    from vqspeech.inference.speech_codec import SpeechCodec
    from vqspeech.models import checkpoint

    if list_devices:
        typer.echo(devices.list_devices())
        return
    if not speaker:
        raise InputError("whose voice? Give --speaker NAME, one of `vqspeech speakers`")
    if bool(source) != bool(out):
        raise InputError("a recording and -o go together, as in: live - -o -; without both, devices are used")
    if source and out:
        outputs.check([source], [Path(out)], force)
    run = checkpoint.load(model)
    codec = SpeechCodec(run, vocoder or SpeechCodec.fastest_vocoder(run), "cpu", precision, threads, engine)
    converter = LiveConverter(codec, speaker, block_ms, lookahead, SamplingConfig(temperature, top_p, seed))
    with contextlib.suppress(KeyboardInterrupt):
        if source and out:
            _convert_pipe(converter, source, Path(out))
        else:
            _convert_devices(converter, input_device, output_device)


def _convert_pipe(converter, source: Path, out: Path) -> None:
    """From a pipe or file to a pipe or file, as fast as it comes."""
    from vqspeech import audio
    from vqspeech.audio.live_pipes import live_blocks

    header, rate, meter = True, converter.sample_rate, _Meter(f"latency {1000 * converter.latency_s:.0f} ms")
    if source == STDOUT:
        header, blocks = live_blocks(sys.stdin.buffer, rate)  # type: ignore[arg-type]
    else:
        blocks = audio.blocks(source, rate, block_s=converter.block / rate)
    writer = audio.PipeWriter(rate, header) if out == STDOUT else audio.Writer(out, rate)
    busy_s, total, fault = 0.0, 0, None
    with writer:
        try:
            for block in blocks:
                start = time.perf_counter()
                writer.write(converter.push(block))
                busy_s, total = busy_s + time.perf_counter() - start, total + len(block)
                meter(f"{total / rate:.1f} s, real-time factor {busy_s * rate / total:.2f}", block)
        except InputError as error:  # what came before it is converted
            fault = error
        writer.write(converter.finish())
    meter.end(f"{total / rate:.1f} s, real-time factor {busy_s * rate / max(1, total):.2f}")
    if fault:
        raise fault


def _convert_devices(converter, source: str | None, sink: str | None) -> None:
    """From a microphone to a loudspeaker until Ctrl-C; a device that is unplugged is waited for."""
    from vqspeech.audio import devices
    from vqspeech.inference.live import LiveSession

    session = LiveSession(converter)

    def state() -> str:
        return f"real-time factor {session.real_time_factor:.2f}, dropouts {session.dropouts}"

    first = True
    while True:
        try:
            duplex = devices.Duplex(source, sink, converter.sample_rate, converter.block, session.listen, session.speak)
            with duplex:
                meter = _Meter(f"latency {1000 * (session.latency_s + duplex.latency_s):.0f} ms")
                typer.echo("live; Ctrl-C ends", err=True)
                first, last_input_s = False, time.monotonic()
                try:
                    while duplex.active and time.monotonic() - last_input_s < LOST_S:
                        if session.work(METER_S):
                            last_input_s = time.monotonic()
                            meter(state(), session.last_input)
                finally:
                    meter.end(state())
        except InputError:
            if first:
                raise
        typer.echo("vqspeech: a device is gone; plug it in again, or end with Ctrl-C", err=True)
        time.sleep(1.0)
        devices.rescan()


class _Meter:
    """A line on a terminal with the level of the input; elsewhere the last state alone, as a line.

    Args:
        fixed: what does not change.
    """

    def __init__(self, fixed: str) -> None:
        self._fixed, self._last = fixed, 0.0

    def __call__(self, state: str, wave) -> None:
        """Show a state, and the level of a block of input."""
        import numpy as np

        if not sys.stderr.isatty() or time.monotonic() - self._last < METER_S:
            return
        self._last = time.monotonic()
        level_db = 10 * np.log10(float(np.square(wave, dtype=np.float64).mean()) + 1e-6) if len(wave) else -60.0
        bar = "#" * max(0, round((level_db + 60) / 3))
        print(f"\r[{bar:<20}] {level_db:4.0f} dB, {self._fixed}, {state}  ", end="", file=sys.stderr, flush=True)

    def end(self, state: str) -> None:
        """Print the last state."""
        line = f"{self._fixed}, {state}"
        print(f"\r{line:<100}" if sys.stderr.isatty() else line, file=sys.stderr, flush=True)
