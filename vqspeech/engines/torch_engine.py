"""Reference engine: a WaveNet step by step in torch, on any device."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vqspeech.nn.shapes import Classes, Cond, Logits, Uniforms
from vqspeech.nn.wavenet import WaveNet

UNRECORDED = 3
"""Steps on a GPU before one is recorded: in the first, libraries make what they need."""


class State(NamedTuple):
    """Where a generation stands, between two pieces: what every layer still has to hear.

    `memory`: (batch, all rings, residual), (kernel - 1) * dilation places a layer; `previous`: (batch, bands)
    symbols; `clock`: steps so far.
    """

    memory: Tensor
    previous: Tensor
    clock: int


@torch.inference_mode()
def generate(
    wavenet: WaveNet, cond: Cond, uniforms: Uniforms, temperature: float = 1.0, state: State | None = None,
    *, top_p: float = 1.0,
) -> tuple[Classes, State]:  # fmt: skip
    """Draws symbols one by one: symbol t is the class in whose interval of the distribution uniform t falls.

    A pure function: the same arguments give the same symbols, the given state is not changed, and
    generating piece by piece, each with the state of the one before, is generating the whole.

    Args:
        cond: (batch, cond, frames).
        uniforms: (batch, time) in [0, 1); time is a multiple of frames.
        temperature: the logits are divided by it; 0 takes the likeliest class.
        state: where the piece before ended; none at the beginning.
        top_p: only the likeliest classes that together have this share are drawn from (nucleus sampling,
            Holtzman et al., 2020); 1 for all.

    Returns:
        The classes, (batch, time), and the state after them.
    """
    drawn = torch.empty(uniforms.shape, dtype=torch.long, device=uniforms.device)
    bands = torch.arange(wavenet.bands, device=uniforms.device)

    def draw(logits: Tensor, now: Tensor) -> Tensor:
        now = wavenet.bands * now + bands
        chosen = choose(logits.flatten(0, 1), uniforms.index_select(1, now).flatten(), temperature, top_p)
        chosen = chosen.view(-1, wavenet.bands)
        drawn.index_copy_(1, now, chosen)
        return chosen

    return drawn, _run(wavenet, cond, uniforms.shape[1], draw, state)


@torch.inference_mode()
def logits(wavenet: WaveNet, classes: Classes, cond: Cond, state: State | None = None) -> tuple[Logits, State]:
    """The logits of each symbol given those before it, step by step; what the parallel pass computes at once.

    Returns:
        The logits, and the state after the symbols: where `generate` goes on after a prompt.
    """
    heard = cond.new_empty(len(classes), wavenet.classes, classes.shape[1])
    bands = torch.arange(wavenet.bands, device=cond.device)

    def listen(logits: Tensor, now: Tensor) -> Tensor:
        now = wavenet.bands * now + bands
        heard.index_copy_(2, now, logits.transpose(1, 2))
        return classes.index_select(1, now).long()

    return heard, _run(wavenet, cond, classes.shape[1], listen, state)


@torch.inference_mode()
def step(
    wavenet: WaveNet, cond: Cond, previous: Tensor | None = None, state: State | None = None
) -> tuple[Tensor, State]:
    """The logits of the next symbol of each band, (batch, classes, bands), and the state before it is known.

    Args:
        cond: (batch, cond, 1).
        previous: the symbols that followed the last logits, (batch, bands); None before the first step, and after a
            state of `generate` or `logits`, which knows them.
        state: where the step before ended.
    """
    if state is not None and previous is not None:
        state = state._replace(previous=previous)
    unknown = torch.zeros(len(cond), wavenet.bands, dtype=torch.long, device=cond.device)  # replaced by the next step
    return logits(wavenet, unknown, cond, state)


def choose(logits: Tensor, uniforms: Tensor, temperature: float, top_p: float = 1.0) -> Tensor:
    """The class of each uniform by the inverse of the cumulative distribution: (batch, classes) -> (batch,)."""
    if temperature == 0:
        return logits.argmax(1)
    shares = torch.softmax(logits.float() / temperature, dim=1)
    if top_p < 1:
        ranked = shares.sort(dim=1, descending=True).values
        enough = (ranked.cumsum(1) < top_p).sum(1, keepdim=True).clamp_max(ranked.shape[1] - 1)
        rarest = ranked.gather(1, enough)
        shares = shares * (shares >= rarest)
    cumulative = shares.cumsum(1)
    below = cumulative <= uniforms[:, None] * cumulative[:, -1:]
    return below.sum(1).clamp_max(logits.shape[1] - 1)


def _run(
    wavenet: WaveNet, cond: Cond, time: int, choose: Callable[[Tensor, Tensor], Tensor], state: State | None
) -> State:
    """Steps through `time` symbols; `choose` is given the logits of a step's, its number, and says which they are.

    Logits are (batch, bands, classes), symbols (batch, bands).

    A step reads and writes tensors that stay where they are, the clock among them: it is the same work each time.
    """
    batch, _, frames = cond.shape
    assert time % (wavenet.bands * frames) == 0, f"{time} symbols are no multiple of {frames} frames"
    time //= wavenet.bands
    residual, kernel, device = wavenet.residual_channels, wavenet.kernel_size, cond.device
    taps = [layer.weight.permute(2, 1, 0).flatten(0, 1) for layer in wavenet.taps]  # oldest tap first
    outs = [(layer.weight[:, :, 0].t(), layer.bias) for layer in wavenet.out]
    gates = wavenet.cond(cond).view(batch, -1, 2 * residual, frames).permute(3, 1, 0, 2).contiguous()
    reaches = [(kernel - 1) * dilation for dilation in wavenet.dilations]
    starts, sizes, backs = (
        torch.tensor(values, device=device)[:, None]
        for values in ([sum(reaches[:layer]) for layer in range(len(reaches))], reaches, wavenet.dilations)
    )
    backs = backs * torch.arange(kernel - 1, 0, -1, device=device)  # (layers, past taps)
    if state is None:
        previous = torch.full((batch, wavenet.bands), wavenet.start, device=device)
        state = State(cond.new_zeros(batch, sum(reaches), residual), previous, 0)
    memory, previous = state.memory.clone(), state.previous.clone()
    now = torch.zeros(1, dtype=torch.long, device=device)

    def step() -> None:
        clock, heard = state.clock + now, []
        pasts = memory[:, starts + (clock - backs) % sizes].flatten(2)  # (batch, layers, past taps and residual)
        gate_inputs = gates.index_select(0, now * frames // time)[0]
        x, skips = wavenet.embedded(previous), cond.new_zeros(batch, wavenet.skip_channels)
        for layer, (weight, bias) in enumerate(outs):
            heard.append(x)
            a, b = torch.addmm(gate_inputs[layer], torch.cat([pasts[:, layer], x], dim=1), taps[layer]).chunk(2, dim=1)
            out = torch.addmm(bias, torch.tanh(a) * torch.sigmoid(b), weight)
            x, skips = x + out[:, :residual], skips + out[:, residual:]
        if kernel > 1:
            memory[:, (starts + clock % sizes)[:, 0]] = torch.stack(heard, dim=1)
        head = torch.relu(wavenet.head(torch.relu(skips)[:, :, None]))
        previous.copy_(choose(wavenet.logits(head)[:, :, 0].unflatten(1, (wavenet.bands, -1)), now))
        now.add_(1)

    _repeat(step, time, device)
    return State(memory, previous, state.clock + time)


def _repeat(step: Callable[[], None], times: int, device: torch.device) -> None:
    """Does a step so many times; on a GPU it is recorded once and played, which spares the launches of its kernels."""
    if device.type != "cuda":
        for _ in range(times):
            step()
        return
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(min(times, UNRECORDED)):
            step()
        if times > UNRECORDED:
            recorded = torch.cuda.CUDAGraph()
            with torch.cuda.graph(recorded):
                step()
            for _ in range(times - UNRECORDED):
                recorded.replay()
        stream.synchronize()  # what was recorded lives no longer than this
