"""The reference engine: one step of a WaveNet after the other, in torch, on any device."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vqspeech.nn.wavenet import WaveNet
from vqspeech.shapes import Classes, Cond, Logits, Uniforms


class State(NamedTuple):
    """Where a generation stands, between two pieces: what every layer still has to hear.

    `rings`: one (batch, (kernel - 1) * dilation, residual) a layer, `previous`: (batch,) symbols,
    `clock`: symbols so far.
    """

    rings: list[Tensor]
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

    def draw(logits: Tensor, time: int) -> Tensor:
        drawn[:, time] = chosen = choose(logits, uniforms[:, time], temperature, top_p)
        return chosen  # no view of `drawn`: the state must not change with what the caller does to the classes

    return drawn, _run(wavenet, cond, uniforms.shape[1], draw, state)


@torch.inference_mode()
def logits(wavenet: WaveNet, classes: Classes, cond: Cond, state: State | None = None) -> tuple[Logits, State]:
    """The logits of each symbol given those before it, step by step; what the parallel pass computes at once.

    Returns:
        The logits, and the state after the symbols: where `generate` goes on after a prompt.
    """
    heard = []

    def listen(logits: Tensor, time: int) -> Tensor:
        heard.append(logits)
        return classes[:, time].long()

    state = _run(wavenet, cond, classes.shape[1], listen, state)
    return torch.stack(heard, dim=2), state


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
    wavenet: WaveNet, cond: Cond, time: int, choose: Callable[[Tensor, int], Tensor], state: State | None
) -> State:
    """Steps through `time` symbols; `choose` is given the logits of each and says which symbol it is."""
    batch, _, frames = cond.shape
    assert time % frames == 0, f"{time} symbols are no multiple of {frames} frames"
    residual, kernel, layers = wavenet.residual, wavenet.kernel, len(wavenet.dilations)
    taps = [layer.weight.permute(2, 1, 0).flatten(0, 1) for layer in wavenet.taps]  # oldest tap first
    outs = [(layer.weight[:, :, 0].t(), layer.bias) for layer in wavenet.out]
    gates = wavenet.cond(cond).view(batch, layers, 2 * residual, frames)
    if state is None:
        rings = [cond.new_zeros(batch, (kernel - 1) * d, residual) for d in wavenet.dilations]
        previous = torch.full((batch,), wavenet.start, device=cond.device)
        state = State(rings, previous, 0)
    rings, previous, clock = [ring.clone() for ring in state.rings], state.previous, state.clock
    for now in range(time):
        x, skips = wavenet.embed(previous), cond.new_zeros(batch, wavenet.skip)
        for layer, (ring, dilation) in enumerate(zip(rings, wavenet.dilations, strict=True)):
            size = ring.shape[1]
            past = [ring[:, (clock + now - back * dilation) % size] for back in range(kernel - 1, 0, -1)]
            ab = torch.cat([*past, x], dim=1) @ taps[layer] + gates[:, layer, :, now * frames // time]
            if size:
                ring[:, (clock + now) % size] = x
            a, b = ab.chunk(2, dim=1)
            weight, bias = outs[layer]
            out = (torch.tanh(a) * torch.sigmoid(b)) @ weight + bias
            x, skips = x + out[:, :residual], skips + out[:, residual:]
        head = torch.relu(wavenet.head(torch.relu(skips)[:, :, None]))
        previous = choose(wavenet.logits(head)[:, :, 0], now)
    return State(rings, previous, clock + time)
