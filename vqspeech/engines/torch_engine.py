"""Reference engine: a WaveNet step by step in torch, on any device."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vqspeech.nn.shapes import Classes, Cond, Logits, Uniforms
from vqspeech.nn.wavenet import WaveNet

GRAPH_WARMUP_STEPS = 3
"""Steps on a GPU before one is captured as a CUDA graph; libraries allocate their workspaces in the first."""


class State(NamedTuple):
    """State of a generation between two calls: the past inputs of every layer.

    `memory`: ring buffers of all layers, (batch, places, residual_channels), with (kernel_size - 1) * dilation places
    per layer; `previous`: the last symbols, (batch, bands); `clock`: number of steps so far.
    """

    memory: Tensor
    previous: Tensor
    clock: int


@torch.inference_mode()
def generate(
    wavenet: WaveNet, cond: Cond, uniforms: Uniforms, temperature: float | Tensor = 1.0, state: State | None = None,
    *, top_p: float = 1.0,
) -> tuple[Classes, State]:  # fmt: skip
    """Ancestral sampling, symbol by symbol: symbol t is the inverse CDF of its distribution at uniform t.

    This is a pure function: the same arguments give the same symbols, the given state is not changed, and a sequence
    of calls, each with the state of the previous one, gives the same symbols as one call.

    Args:
        wavenet: the network.
        cond: (batch, cond_channels, frames).
        uniforms: (batch, time) in [0, 1); time is a multiple of frames.
        temperature: divisor of the logits, one for all or (batch, time); 0 takes the most likely class.
        state: state after the previous call; None at the beginning.
        top_p: probability of the most likely classes that are sampled from (nucleus sampling, Holtzman et al., 2020);
            1: all classes.

    Returns:
        The classes, (batch, time), and the state after them.
    """
    samples = torch.empty(uniforms.shape, dtype=torch.long, device=uniforms.device)
    bands = torch.arange(wavenet.bands, device=uniforms.device)
    temperatures = torch.as_tensor(temperature, dtype=torch.float32, device=uniforms.device).expand_as(uniforms)

    def draw(logits: Tensor, now: Tensor) -> Tensor:
        now = wavenet.bands * now + bands
        draws, divisors = (values.index_select(1, now).flatten() for values in (uniforms, temperatures))
        symbols = sample_inverse_cdf(logits.flatten(0, 1), draws, divisors, top_p).view(-1, wavenet.bands)
        samples.index_copy_(1, now, symbols)
        return symbols

    return samples, _run(wavenet, cond, uniforms.shape[1], draw, state)


@torch.inference_mode()
def logits(wavenet: WaveNet, classes: Classes, cond: Cond, state: State | None = None) -> tuple[Logits, State]:
    """Teacher-forced logits, step by step: the same as `WaveNet.forward` computes in parallel.

    Returns:
        The logits, (batch, classes, time), and the state after the symbols, from which `generate` continues a prompt.
    """
    all_logits = cond.new_empty(len(classes), wavenet.classes, classes.shape[1])
    bands = torch.arange(wavenet.bands, device=cond.device)

    def force(logits: Tensor, now: Tensor) -> Tensor:
        now = wavenet.bands * now + bands
        all_logits.index_copy_(2, now, logits.transpose(1, 2))
        return classes.index_select(1, now).long()

    return all_logits, _run(wavenet, cond, classes.shape[1], force, state)


@torch.inference_mode()
def step(
    wavenet: WaveNet, cond: Cond, previous: Tensor | None = None, state: State | None = None
) -> tuple[Tensor, State]:
    """Logits of the next symbol of each band, (batch, classes, bands), and the state before that symbol is chosen.

    Args:
        wavenet: the network.
        cond: (batch, cond_channels, 1).
        previous: symbols chosen after the previous step, (batch, bands); None before the first step, and with a state
            of `generate` or `logits`, which contains them.
        state: state after the previous call; None at the beginning.
    """
    if state is not None and previous is not None:
        state = state._replace(previous=previous)
    placeholder = torch.zeros(
        len(cond), wavenet.bands, dtype=torch.long, device=cond.device
    )  # the next step replaces it
    return logits(wavenet, placeholder, cond, state)


def sample_inverse_cdf(logits: Tensor, uniforms: Tensor, temperature: float | Tensor, top_p: float = 1.0) -> Tensor:
    """Classes by the inverse of the cumulative distribution: (batch, classes), (batch,) -> (batch,).

    The temperature is one for all, or (batch,).
    """
    temperatures = torch.as_tensor(temperature, dtype=torch.float32, device=logits.device)
    divisors = torch.where(temperatures > 0, temperatures, 1.0).expand(len(logits))[:, None]
    probabilities = torch.softmax(logits.float() / divisors, dim=1)
    if top_p < 1:
        descending = probabilities.sort(dim=1, descending=True).values
        last = (descending.cumsum(1) < top_p).sum(1, keepdim=True).clamp_max(descending.shape[1] - 1)
        probabilities = probabilities * (probabilities >= descending.gather(1, last))
    cumulative = probabilities.cumsum(1)
    below = cumulative <= uniforms[:, None] * cumulative[:, -1:]
    drawn = below.sum(1).clamp_max(logits.shape[1] - 1)
    return torch.where(temperatures > 0, drawn, logits.argmax(1))


def _run(
    wavenet: WaveNet, cond: Cond, time: int, next_symbols: Callable[[Tensor, Tensor], Tensor], state: State | None
) -> State:
    """State after `time` symbols, generated step by step.

    `next_symbols` maps the logits of a step, (batch, bands, classes), and the index of the step, a tensor (1,), to its
    symbols, (batch, bands).  All steps read and write the same tensors, also for the index, so that a step can be
    captured as a CUDA graph.
    """
    batch, _, frames = cond.shape
    assert time % (wavenet.bands * frames) == 0, f"{time} symbols are not a multiple of {frames} frames"
    time //= wavenet.bands
    residual, kernel_size, device = wavenet.residual_channels, wavenet.kernel_size, cond.device
    taps = [layer.weight.permute(2, 1, 0).flatten(0, 1) for layer in wavenet.taps]  # oldest tap first
    outs = [(layer.weight[:, :, 0].t(), layer.bias) for layer in wavenet.out]
    gates = wavenet.cond(cond).view(batch, -1, 2 * residual, frames).permute(3, 1, 0, 2).contiguous()
    ring_sizes = [(kernel_size - 1) * dilation for dilation in wavenet.dilations]
    starts, sizes, delays = (
        torch.tensor(values, device=device)[:, None]
        for values in ([sum(ring_sizes[:layer]) for layer in range(len(ring_sizes))], ring_sizes, wavenet.dilations)
    )
    delays = delays * torch.arange(kernel_size - 1, 0, -1, device=device)  # (layers, past taps)
    if state is None:
        previous = torch.full((batch, wavenet.bands), wavenet.start, device=device)
        state = State(cond.new_zeros(batch, sum(ring_sizes), residual), previous, 0)
    memory, previous = state.memory.clone(), state.previous.clone()
    now = torch.zeros(1, dtype=torch.long, device=device)

    def step() -> None:
        clock, inputs = state.clock + now, []
        pasts = memory[:, starts + (clock - delays) % sizes].flatten(2)  # (batch, layers, past taps and residual)
        gate_inputs = gates.index_select(0, now * frames // time)[0]
        x, skips = wavenet.embedded(previous), cond.new_zeros(batch, wavenet.skip_channels)
        for layer, (weight, bias) in enumerate(outs):
            inputs.append(x)
            a, b = torch.addmm(gate_inputs[layer], torch.cat([pasts[:, layer], x], dim=1), taps[layer]).chunk(2, dim=1)
            out = torch.addmm(bias, torch.tanh(a) * torch.sigmoid(b), weight)
            x, skips = x + out[:, :residual], skips + out[:, residual:]
        if kernel_size > 1:
            memory[:, (starts + clock % sizes)[:, 0]] = torch.stack(inputs, dim=1)
        head = torch.relu(wavenet.head(torch.relu(skips)[:, :, None]))
        previous.copy_(next_symbols(wavenet.logits(head)[:, :, 0].unflatten(1, (wavenet.bands, -1)), now))
        now.add_(1)

    _repeat(step, time, device)
    return State(memory, previous, state.clock + time)


def _repeat(step: Callable[[], None], times: int, device: torch.device) -> None:
    """Runs a step `times` times; on a GPU as a CUDA graph, which saves the launch overhead of its kernels."""
    if device.type != "cuda":
        for _ in range(times):
            step()
        return
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(min(times, GRAPH_WARMUP_STEPS)):
            step()
        if times > GRAPH_WARMUP_STEPS:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                step()
            for _ in range(times - GRAPH_WARMUP_STEPS):
                graph.replay()
        stream.synchronize()  # before the graph is freed
