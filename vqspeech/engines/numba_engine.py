"""The compiled engine: the same steps as ordinary loops, on one core, in float32.

One symbol costs one product of every weight with one number, so the loops are laid out for that: weights
lie [in, out], eight inputs at a time meet a row of outputs that fills the vector registers; the taps of
a layer are one matrix, its residual and skip another; the conditioning was projected per frame before.
"""

import math
from typing import NamedTuple, cast

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqspeech.nn.wavenet import WaveNet

Array = NDArray[np.float32]


class Weights(NamedTuple):
    """A WaveNet's weights, copied, contiguous, [in, out] each.

    `taps` (layers, kernel * residual, 2 * residual), oldest tap first; `out` (layers, residual,
    residual + skip); `rings` (layers + 1): where in the memory each layer's past begins.
    """

    embed: Array
    taps: Array
    out: Array
    out_bias: Array
    head: Array
    head_bias: Array
    logits: Array
    logits_bias: Array
    dilations: NDArray[np.int64]
    rings: NDArray[np.int64]


class State(NamedTuple):
    """Where a generation stands, between two pieces; `memory` is (batch, all rings, residual)."""

    weights: Weights
    memory: Array
    previous: NDArray[np.int64]
    clock: int


@torch.inference_mode()
def generate(
    wavenet: WaveNet, cond: Tensor, uniforms: Tensor, temperature: float = 1.0, state: State | None = None
) -> tuple[Tensor, State]:
    """The same function as `torch_engine.generate`, compiled; streams of a batch one after another."""
    classes, state, _ = _run(wavenet, cond, uniforms.numpy(), temperature, state, None)
    return torch.from_numpy(classes), state


@torch.inference_mode()
def logits(wavenet: WaveNet, classes: Tensor, cond: Tensor) -> Tensor:
    """The same function as `torch_engine.logits`, compiled."""
    taught = classes.numpy().astype(np.int64)
    _, _, heard = _run(wavenet, cond, np.zeros(taught.shape, np.float32), 1.0, None, taught)
    return torch.from_numpy(heard).transpose(1, 2)


def pack(wavenet: WaveNet) -> Weights:
    """A copy of the weights as the loops want them; a later change of the WaveNet does not reach it."""
    reach = [(wavenet.kernel - 1) * dilation for dilation in wavenet.dilations]
    return Weights(
        embed=_aligned(wavenet.embed.weight),
        taps=_aligned(torch.stack([layer.weight.permute(2, 1, 0).flatten(0, 1) for layer in wavenet.taps])),
        out=_aligned(torch.stack([layer.weight[:, :, 0].t() for layer in wavenet.out])),
        out_bias=_aligned(torch.stack([layer.bias for layer in wavenet.out])),
        head=_aligned(wavenet.head.weight[:, :, 0].t()),
        head_bias=_aligned(cast("Tensor", wavenet.head.bias)),
        logits=_aligned(wavenet.logits.weight[:, :, 0].t()),
        logits_bias=_aligned(cast("Tensor", wavenet.logits.bias)),
        dilations=np.array(wavenet.dilations),
        rings=np.cumsum([0, *reach]),
    )


def _run(
    wavenet: WaveNet, cond: Tensor, uniforms: Array, temperature: float, state: State | None, taught: NDArray | None
) -> tuple[NDArray[np.int64], State, Array]:
    """The classes, the state after them and, where symbols are `taught`, the logits (batch, time, classes)."""
    batch, _, frames = cond.shape
    time = uniforms.shape[1]
    assert time % frames == 0, f"{time} symbols are no multiple of {frames} frames"
    if state is None:
        weights = pack(wavenet)
        memory = np.zeros((batch, int(weights.rings[-1]), wavenet.residual), np.float32)
        state = State(weights, memory, np.full(batch, wavenet.start), 0)
    memory, previous = state.memory.copy(), state.previous.copy()
    layers, residual = len(wavenet.dilations), wavenet.residual
    gates = wavenet.cond(cond).view(batch, layers, 2 * residual, frames).permute(0, 3, 1, 2).contiguous().numpy()
    classes = np.empty((batch, time), np.int64)
    heard = np.empty((batch, time if taught is not None else 0, wavenet.classes), np.float32)
    for stream in range(batch):
        previous[stream] = _speak(
            state.weights, gates[stream], uniforms[stream], np.float32(temperature), state.clock, previous[stream],
            memory[stream], classes[stream], taught[stream] if taught is not None else classes[stream, :0],
            heard[stream],
        )  # fmt: skip
    return classes, State(state.weights, memory, previous, state.clock + time), heard


def _aligned(tensor: Tensor) -> Array:
    """A float32 copy that begins on a 64-byte boundary: a vector load then never crosses a cache line."""
    values = tensor.detach().float().cpu().numpy()
    room = np.empty(values.size + 16, np.float32)
    first = (-room.ctypes.data % 64) // 4
    copy = room[first : first + values.size].reshape(values.shape)
    copy[:] = values
    return copy


def _compiled(function):
    """Compiles with fused multiply-adds, and keeps the result on disk where there is a place for it."""
    options = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder that can be written
        return numba.njit(**options)(function)


@_compiled
def tanh(x):
    """The hyperbolic tangent within 1e-6: odd polynomial over even polynomial, in float32.

    Source: the coefficients are those of the Eigen library, generic_fast_tanh_float.
    """
    x = min(max(x, np.float32(-7.90531110763549805)), np.float32(7.90531110763549805))
    y = x * x
    p = y * np.float32(-2.76076847742355e-16) + np.float32(2.00018790482477e-13)
    p = p * y + np.float32(-8.60467152213735e-11)
    p = p * y + np.float32(5.12229709037114e-08)
    p = p * y + np.float32(1.48572235717979e-05)
    p = p * y + np.float32(6.37261928875436e-04)
    p = p * y + np.float32(4.89352455891786e-03)
    q = y * np.float32(1.19825839466702e-06) + np.float32(1.18534705686654e-04)
    q = q * y + np.float32(2.26843463243900e-03)
    q = q * y + np.float32(4.89352518554385e-03)
    return x * p / q


@_compiled
def _add_product_(out, x, weight):
    """Out += x @ weight, for one vector x: eight rows of the weight at a time."""
    inputs, outputs = weight.shape
    whole = inputs - inputs % 8
    for i in range(0, whole, 8):
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        x4, x5, x6, x7 = x[i + 4], x[i + 5], x[i + 6], x[i + 7]
        w0, w1, w2, w3 = weight[i], weight[i + 1], weight[i + 2], weight[i + 3]
        w4, w5, w6, w7 = weight[i + 4], weight[i + 5], weight[i + 6], weight[i + 7]
        for j in range(outputs):
            low = x0 * w0[j] + x1 * w1[j] + x2 * w2[j] + x3 * w3[j]
            out[j] += low + (x4 * w4[j] + x5 * w5[j] + x6 * w6[j] + x7 * w7[j])
    for i in range(whole, inputs):
        for j in range(outputs):
            out[j] += x[i] * weight[i, j]


@_compiled
def _draw(logits, uniform, temperature):
    """The class in whose interval of softmax(logits / temperature) the uniform falls; overwrites the logits."""
    best = 0
    for c in range(len(logits)):
        if logits[c] > logits[best]:
            best = c
    if temperature == 0:
        return best
    top, total = logits[best], np.float32(0)
    for c in range(len(logits)):
        logits[c] = math.exp((logits[c] - top) / temperature)
    for c in range(len(logits)):
        total += logits[c]
        logits[c] = total
    for c in range(len(logits)):
        if logits[c] > uniform * total:
            return c
    return best


@_compiled
def _speak(weights, gates, uniforms, temperature, clock, previous, memory, classes, taught, heard):
    """One stream, all its symbols; fills `classes`, moves `memory` on, returns the last symbol.

    Where symbols are `taught`, they are followed instead of drawn and the logits are written to `heard`.
    """
    layers, inputs, double = weights.taps.shape
    residual, skip = double // 2, weights.head.shape[0]
    earlier = inputs // residual - 1
    frames, time = len(gates), len(uniforms)
    past = np.empty(inputs, np.float32)
    ab, z = np.empty(double, np.float32), np.empty(residual, np.float32)
    out = np.empty(residual + skip, np.float32)
    skips, head = np.empty(skip, np.float32), np.empty(skip, np.float32)
    logits = np.empty(len(weights.logits_bias), np.float32)
    x = past[earlier * residual :]
    for now in range(time):
        gate = gates[now * frames // time]
        x[:] = weights.embed[previous]
        skips[:] = 0
        for layer in range(layers):
            # [a|b] = taps [x(t-d) | x(t)] + cond: the past from the layer's ring, whose oldest place x(t) then takes
            ring, size = weights.rings[layer], weights.rings[layer + 1] - weights.rings[layer]
            for tap in range(earlier):
                place = (clock + now - (earlier - tap) * weights.dilations[layer]) % size
                past[tap * residual : (tap + 1) * residual] = memory[ring + place]
            if earlier:
                memory[ring + (clock + now) % size] = x
            ab[:] = gate[layer]
            _add_product_(ab, past, weights.taps[layer])
            # z = tanh(a) * sigmoid(b), sigmoid(b) = 1/2 + 1/2 tanh(b/2)
            for c in range(residual):
                z[c] = tanh(ab[c]) * (np.float32(0.5) + np.float32(0.5) * tanh(np.float32(0.5) * ab[residual + c]))
            # x += residual z, skips += skip z: one matrix
            out[:] = weights.out_bias[layer]
            _add_product_(out, z, weights.out[layer])
            for c in range(residual):
                x[c] += out[c]
            for c in range(skip):
                skips[c] += out[residual + c]
        for c in range(skip):
            skips[c] = max(skips[c], np.float32(0))
        head[:] = weights.head_bias
        _add_product_(head, skips, weights.head)
        for c in range(skip):
            head[c] = max(head[c], np.float32(0))
        logits[:] = weights.logits_bias
        _add_product_(logits, head, weights.logits)
        if len(taught):
            heard[now] = logits
            previous = taught[now]
        else:
            previous = _draw(logits, uniforms[now], temperature)
        classes[now] = previous
    return previous
