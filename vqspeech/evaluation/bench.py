"""Benchmark of the engines, beside the limits of the machine's cores."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch

from vqspeech.audio import mulaw
from vqspeech.data.archives import MulawShards
from vqspeech.engines import numba_engine, torch_engine
from vqspeech.engines.roofline import multiply_often, read_all
from vqspeech.inference.speech_codec import SOURCE_FILTER, WAVENET, SpeechCodec
from vqspeech.models.vqvae import VQVAE
from vqspeech.models.wavenet_vocoder import WaveNetVocoder
from vqspeech.nn.wavenet import WaveNet
from vqspeech.system import hardware

STREAMS, STREAMS_GPU = (1, 4, 8, 16, 32), (1, 16, 128, 512)
HOP = 64


class Row(NamedTuple):
    """One measurement: samples of all streams together; the percentages are of one core's limits times threads.

    Of a GPU no limits are measured.
    """

    engine: str
    precision: str
    streams: int
    threads: int
    samples_per_s: float
    times_real_time: float
    percent_of_peak: float | None
    percent_of_memory_limit: float | None


class Limits(NamedTuple):
    """Limits of one core: multiply-adds in registers per second, and bytes read per second.

    `multiplies`: multiply-adds that one sample of one stream takes; `weights`: numbers that are read for it.  A step of
    several bands makes as many samples, and each takes its share of the step.
    """

    peak_per_s: float
    bytes_per_s: float
    multiplies: float
    weights: float


class Task(NamedTuple):
    """How fast one core does a whole task with a model: `times_real_time`, everything but loading included."""

    task: str
    times_real_time: float


def decoder(residual: int = 64, skip: int = 256, layers: int = 30) -> WaveNet:
    """An untrained decoder over 256 classes; its speed is a trained one's."""
    return WaveNet(256, 128, residual, skip, layers, 10, 2, 192).eval()


def limits(wavenet: WaveNet, seconds: float = 0.5) -> Limits:
    """Measure both limits of this core."""
    numbers = numba_engine.aligned(np.linspace(0, 1e-3, 192, dtype=np.float32))
    peak = _shortest_time(lambda: multiply_often(numbers, 2_000_000), seconds)
    packed = numba_engine.pack(wavenet, "float32").matrices
    reading = _shortest_time(lambda: read_all(packed, 10), seconds)
    layers = [*wavenet.taps, *wavenet.out, wavenet.head, wavenet.logits]
    return Limits(
        peak_per_s=12 * 16 * 2_000_000 / peak,
        bytes_per_s=10 * packed.nbytes / reading,
        multiplies=sum(layer.weight.numel() for layer in layers) / wavenet.bands,
        weights=len(packed) / wavenet.bands,
    )


def rows(wavenet: WaveNet, sample_rate: int, measured: Limits, seconds: float = 1.0) -> Iterator[Row]:
    """Measure the engines: on one pinned core, the numba engine on two and on all, the torch engine on a GPU too.

    Args:
        sample_rate: Hz, for times_real_time.
        seconds: about how long each measurement takes.
    """

    def row(engine: str, precision: str, streams: int, cores: int) -> Row:
        with pinned(cores):
            speed = rate(wavenet, engine, precision, streams, cores, seconds)
        size = numba_engine.PRECISIONS[precision]
        memory = speed / streams * measured.weights * size / measured.bytes_per_s  # each core reads all weights
        peak = speed * measured.multiplies / measured.peak_per_s / cores
        return Row(engine, precision, streams, cores, speed, speed / sample_rate, 100 * peak, 100 * memory)

    yield row("torch", "float32", 1, 1)
    for precision in numba_engine.PRECISIONS:
        for streams in STREAMS:
            yield row("numba", precision, streams, 1)
    for cores in sorted({2, hardware.cores()} - {1}):
        if cores <= hardware.cores():
            for streams in (cores, 16 * cores):
                yield row("numba", "bfloat16", streams, cores)
    if torch.cuda.is_available():
        wavenet = wavenet.cuda()
        for streams in STREAMS_GPU:
            speed = rate(wavenet, "torch", "float32", streams, 1, seconds)
            yield Row("cuda", "float32", streams, 1, speed, speed / sample_rate, None, None)


def heading(measured: Limits) -> str:
    """Heading of the table."""
    return (
        f"one core: {measured.peak_per_s / 1e9:.0f} G multiply-adds a second, {measured.bytes_per_s / 1e9:.0f} GB/s of "
        f"the weights; a sample takes {measured.multiplies / 1e6:.2f} M\n"
        f"{'engine':6s} {'precision':9s} {'streams':>7s} {'threads':>7s} {'samples/s':>10s} {'x real time':>11s} "
        f"{'% of peak':>9s} {'% of memory':>11s}"
    )


def line(row: Row) -> str:
    """A row of the table."""
    peak, memory = ("-" if share is None else f"{share:.1f}" for share in row[-2:])
    return (
        f"{row.engine:6s} {row.precision:9s} {row.streams:7d} {row.threads:7d} {row.samples_per_s:10.0f} "
        f"{row.times_real_time:11.2f} {peak:>9s} {memory:>11s}"
    )


@torch.inference_mode()
def tasks(model: str, seconds: float = 30.0) -> Iterator[Task]:
    """Measure encoding, and decoding by each vocoder, on one pinned core and `seconds` of sound.

    Args:
        model: see `checkpoint.load`.
    """
    codec = SpeechCodec(model, threads=1)
    noise = np.random.default_rng(0).normal(0, 0.05, round(seconds * codec.sample_rate)).astype(np.float32)
    codes = codec.encode(noise)

    def task(name: str, work: Callable[[], object]) -> Task:
        with pinned(1):
            return Task(name, seconds / _shortest_time(work, 0.0))

    yield task("encode", lambda: codec.encode(noise))
    vocoders = [SOURCE_FILTER] * bool(codec.net.acoustic_model) + [WAVENET] * codec.has_wavenet
    for decoder in (SpeechCodec(codec.run, vocoder, threads=1) for vocoder in vocoders):
        name = SOURCE_FILTER if decoder.uses_source_filter else WAVENET
        yield task(f"decode, {name}", lambda decoder=decoder: decoder.decode(codes, codec.speakers[0]))


@torch.inference_mode()
def divergence(
    model: VQVAE, vocoder: WaveNetVocoder | None, packed: MulawShards, speakers: list[str], seconds: float = 1.0
) -> dict[str, float]:
    """Cost of a weight precision: Kullback-Leibler divergence from float32, in nats per sample.

    Teacher-forced, over the first `seconds` of up to 16 utterances of speakers that the model knows; of the vocoder's
    WaveNet, conditioned on the recording's own features, where there is a vocoder.
    """
    usable = [number for number, row in enumerate(packed.rows) if row.speaker in speakers]
    frames = round(seconds * model.sample_rate / model.hop)
    wavenet = vocoder.wavenet if vocoder else model.wavenet
    inputs: list[tuple[torch.Tensor, torch.Tensor]] = []
    for number in usable[:: max(1, len(usable) // 16)][:16]:
        samples = packed[number][: frames * model.hop]
        samples = samples[: len(samples) // model.hop * model.hop]
        if vocoder:
            wave = torch.from_numpy(mulaw.as_wave(samples))[None]
            inputs.append((vocoder.symbols(wave), vocoder.condition(vocoder.features(wave))))
        else:
            classes = torch.from_numpy(mulaw.as_classes(samples).copy())[None]
            speaker = torch.tensor([speakers.index(packed.rows[number].speaker)])
            inputs.append((classes, model.condition(model.quantizer.decode(model.encode(classes)), speaker)))

    def shares(precision: str) -> list[torch.Tensor]:
        logits = (numba_engine.logits(wavenet, classes, cond, precision=precision)[0] for classes, cond in inputs)
        return [batch.log_softmax(1).double() for batch in logits]

    exact = shares("float32")
    samples = sum(log_probs.shape[2] for log_probs in exact)
    return {
        precision: sum(
            float((p.exp() * (p - q)).sum()) for p, q in zip(exact, shares(precision), strict=True)
        ) / samples
        for precision in numba_engine.PRECISIONS if precision != "float32"
    }  # fmt: skip


@contextmanager
def pinned(cores: int) -> Iterator[None]:
    """Pin the process to the first `cores` processors, where the system can, with as many torch threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(cores)
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else None
    if allowed:
        os.sched_setaffinity(0, sorted(allowed)[:cores])
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if allowed:
            os.sched_setaffinity(0, allowed)


@torch.inference_mode()
def rate(wavenet: WaveNet, engine: str, precision: str, streams: int, threads: int, seconds: float) -> float:
    """Samples a second of all streams together; the weights are packed before."""
    cond_size = wavenet.cond.in_channels
    device = wavenet.cond.weight.device
    generator = torch.Generator(device).manual_seed(0)

    def advance(frames: int, state):
        cond = torch.randn(streams, cond_size, frames, generator=generator, device=device)
        uniforms = torch.rand(streams, frames * HOP, generator=generator, device=device)
        if engine == "torch":
            return torch_engine.generate(wavenet, cond, uniforms, 1.0, state)[1]
        options = {"precision": precision, "threads": threads}
        return numba_engine.generate(wavenet, cond, uniforms, 1.0, state, **options)[1]

    state = advance(1, None)
    begin = time.perf_counter()
    advance(1, state)
    frames = max(1, round(seconds / 4 / (time.perf_counter() - begin)))
    return streams * frames * HOP / _shortest_time(lambda: advance(frames, state), seconds)


def _shortest_time(work: Callable[[], object], seconds: float) -> float:
    """The shortest time of a call, of those that fit into some seconds, in s; at least three after a first one."""
    work()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)
