"""Compiled engine: the kernels on any number of streams and threads, with weights in a choice of precision."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vqspeech.engines.kernels import COLUMN_TILE, STREAM_TILE, add_product_, generate_kernel_
from vqspeech.engines.simd import WIDTH
from vqspeech.nn.wavenet import WaveNet

Array = NDArray[np.float32]
PRECISIONS = {"bfloat16": 2, "float32": 4}
"""In which weights may be stored, and the bytes of one."""
NEVER = -1e30
"""Logit of the padding classes, which fill an alphabet up to whole SIMD lanes."""


class Weights(NamedTuple):
    """A WaveNet's weights, copied.

    `matrices`: all panels one after another, in float32 or bfloat16 (as uint16); `skip_bias`: of all layers together;
    `rings` (layers + 1): where in the
    memory each layer's past begins.
    """

    matrices: NDArray
    embed: Array
    residual_bias: Array
    skip_bias: Array
    head_bias: Array
    logits_bias: Array
    cond: Array
    cond_bias: Array
    dilations: NDArray[np.int64]
    rings: NDArray[np.int64]


class State(NamedTuple):
    """Where a generation stands, between two pieces; `memory` is (batch, all rings, residual)."""

    weights: Weights
    memory: Array
    previous: NDArray[np.int64]
    clock: int


class Scratch(NamedTuple):
    """Buffers of one step of some streams: rows of `past` are [x(t-d) | x(t)], rows of `flow` [x | skips]."""

    past: Array
    ab: Array
    z: Array
    flow: Array
    hidden: Array
    head: Array
    logits: Array


@torch.inference_mode()
def generate(
    wavenet: WaveNet, cond: Tensor, uniforms: Tensor, temperature: float = 1.0, state: State | None = None,
    *, top_p: float = 1.0, precision: str = "float32", threads: int = 1,
) -> tuple[Tensor, State]:  # fmt: skip
    """The same function as `torch_engine.generate`, compiled.

    Args:
        precision: in which the weights are stored ("float32", "bfloat16"); sums are float32.  A state
            keeps the one it began with.
        threads: over which the streams are spread; they change no symbol.
    """
    state = state or _begin(wavenet, len(cond), precision)
    classes, state, _ = _run(wavenet, state, cond, uniforms.numpy(), (temperature, top_p), None, threads)
    return torch.from_numpy(classes), state


@torch.inference_mode()
def logits(
    wavenet: WaveNet, classes: Tensor, cond: Tensor, state: State | None = None, *, precision: str = "float32"
) -> tuple[Tensor, State]:
    """The same function as `torch_engine.logits`, compiled."""
    taught = classes.numpy().astype(np.int64)
    state = state or _begin(wavenet, len(cond), precision)
    _, state, heard = _run(wavenet, state, cond, np.zeros(taught.shape, np.float32), (1.0, 1.0), taught, 1)
    return torch.from_numpy(heard).transpose(1, 2), state


@torch.inference_mode()
def step(
    wavenet: WaveNet, cond: Tensor, previous: Tensor | None = None, state: State | None = None, *,
    precision: str = "float32",
) -> tuple[Tensor, State]:  # fmt: skip
    """The same function as `torch_engine.step`, compiled."""
    if state is not None and previous is not None:
        state = state._replace(previous=previous.numpy().astype(np.int64))
    unknown = torch.zeros(len(cond), wavenet.bands, dtype=torch.long)
    return logits(wavenet, unknown, cond, state, precision=precision)


class NumbaEngine(NamedTuple):
    """The functions of this module as an `Engine`: weights in a precision, streams on a number of threads."""

    precision: str = "float32"
    threads: int = 1

    def generate(
        self, wavenet: WaveNet, cond: Tensor, uniforms: Tensor, temperature: float = 1.0, state: State | None = None,
        *, top_p: float = 1.0,
    ) -> tuple[Tensor, State]:  # fmt: skip
        """See `generate`."""
        return generate(
            wavenet, cond, uniforms, temperature, state, top_p=top_p, precision=self.precision, threads=self.threads
        )

    def logits(
        self, wavenet: WaveNet, classes: Tensor, cond: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """See `logits`."""
        return logits(wavenet, classes, cond, state, precision=self.precision)

    def step(
        self, wavenet: WaveNet, cond: Tensor, previous: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """See `step`."""
        return step(wavenet, cond, previous, state, precision=self.precision)


def warm(precision: str) -> None:
    """Compiles what `generate` needs, unless that was done before and is kept on disk."""
    wavenet = WaveNet(2, 0, 1, 1, 1, 1, 2, 1)
    for streams in (1, STREAM_TILE):
        generate(wavenet, torch.zeros(streams, 1, 1), torch.zeros(streams, 1), precision=precision)


def pack(wavenet: WaveNet, precision: str = "float32") -> Weights:
    """A copy of the weights as the loops want them; a later change of the WaveNet does not reach it."""
    assert precision in PRECISIONS, f"{precision} is none of {[*PRECISIONS]}"
    residual, matrices = wavenet.residual_channels, []
    for taps, out in zip(wavenet.taps, wavenet.out, strict=True):
        tap = taps.weight.permute(2, 1, 0).unflatten(2, (2, residual))  # (kernel, residual, a or b, residual)
        weight = out.weight[:, :, 0].t()
        matrices += [
            _whole(tap, 1, 3).flatten(2).flatten(0, 1),
            torch.cat([_whole(weight[:, :residual], 0, 1), _whole(weight[:, residual:], 0, 1)], 1),
        ]
    logits = wavenet.logits.weight[:, :, 0].t().unflatten(1, (wavenet.bands, wavenet.classes))
    matrices += [_whole(wavenet.head.weight[:, :, 0].t(), 0, 1), _whole(logits, 0, 2).flatten(1)]
    panels = [_panels(matrix.detach().float().cpu(), precision) for matrix in matrices]
    gates = wavenet.cond.weight[:, :, 0].t().unflatten(1, (-1, residual))  # (cond, layer and a or b, residual)
    cond = _panels(_whole(gates.detach().float().cpu(), 2).flatten(1), "float32")
    cond_bias = cast("Tensor", wavenet.cond.bias).detach().float().cpu().unflatten(0, (-1, residual))
    logits_bias = cast("Tensor", wavenet.logits.bias).unflatten(0, (wavenet.bands, wavenet.classes))
    biases = torch.stack([layer.bias for layer in wavenet.out])
    reach = [(wavenet.kernel_size - 1) * dilation for dilation in wavenet.dilations]
    return Weights(
        matrices=aligned(np.concatenate(panels)),
        embed=_numbers(wavenet.embed.weight, 1),
        residual_bias=_numbers(biases[:, :residual], 1),
        skip_bias=_numbers(biases[:, residual:].sum(0), 0),
        head_bias=_numbers(cast("Tensor", wavenet.head.bias), 0),
        logits_bias=_numbers(F.pad(logits_bias, (0, -wavenet.classes % WIDTH), value=NEVER).flatten(), 0),
        cond=aligned(cond),
        cond_bias=_numbers(cond_bias, 1).flatten(),
        dilations=np.array(wavenet.dilations),
        rings=np.cumsum([0, *reach]),
    )


def _begin(wavenet: WaveNet, batch: int, precision: str) -> State:
    weights = pack(wavenet, precision)
    memory = np.zeros((batch, int(weights.rings[-1]), weights.embed.shape[1]), np.float32)
    return State(weights, memory, np.full((batch, wavenet.bands), wavenet.start), 0)


def _run(
    wavenet: WaveNet, state: State, cond: Tensor, uniforms: Array, choice: tuple[float, float],
    taught: NDArray | None, threads: int,
) -> tuple[NDArray[np.int64], State, Array]:  # fmt: skip
    """The classes, the state after them and, where symbols are `taught`, the logits (batch, time, classes)."""
    batch, _, frames = cond.shape
    time = uniforms.shape[1]
    assert time % (wavenet.bands * frames) == 0, f"{time} symbols are no multiple of {frames} frames"
    tile = 1 if batch <= threads else STREAM_TILE
    rows = np.pad(np.arange(batch), (0, -batch % tile), "edge")  # streams that nobody hears fill the last tile
    conditioning = cond.transpose(1, 2).contiguous().float().numpy()[rows]  # (streams, frames, cond)
    teach = taught is not None
    taught = taught[rows] if teach else np.zeros((len(rows), 0), np.int64)
    heard = np.zeros((len(rows), time if teach else 0, wavenet.classes), np.float32)
    memory, previous, classes = state.memory[rows], state.previous[rows], np.zeros((len(rows), time), np.int64)
    uniforms = uniforms[rows]

    def speak(tiles: NDArray[np.int64]) -> None:
        part = slice(tiles[0] * tile, (tiles[-1] + 1) * tile)
        scratch, gates = (
            _scratch(state.weights, wavenet.kernel_size, len(tiles) * tile),
            _gates(state.weights, conditioning[part]),
        )
        generate_kernel_(
            state.weights, scratch, gates, uniforms[part], np.float32(choice[0]), np.float32(choice[1]), state.clock,
            taught[part], memory[part], previous[part], classes[part], heard[part],
        )  # fmt: skip

    tiles = np.arange(len(rows) // tile)
    parts = np.array_split(tiles, min(threads, len(tiles)))
    if len(parts) == 1:
        speak(tiles)
    else:
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(speak, parts))
    after = State(state.weights, memory[:batch], previous[:batch], state.clock + time // wavenet.bands)
    return classes[:batch], after, heard[:batch]


def _gates(weights: Weights, conditioning: Array) -> Array:
    """What the frames tell every layer, (streams, frames, layers of [a|b]): as sums that no number of cores changes."""
    streams, frames, _ = conditioning.shape
    rows = np.pad(conditioning.reshape(streams * frames, -1), ((0, -streams * frames % STREAM_TILE), (0, 0)))
    gates = aligned(np.zeros((len(rows), weights.cond.size // rows.shape[1]), np.float32))
    gates[:, : len(weights.cond_bias)] = weights.cond_bias
    add_product_(gates, rows, weights.cond, 0)
    return gates[: streams * frames].reshape(streams, frames, -1)


def _scratch(weights: Weights, kernel: int, streams: int) -> Scratch:
    def zeros(width: int, panel: int = 1) -> Array:
        return aligned(np.zeros((streams, width + -width % panel), np.float32))

    residual, skip = weights.embed.shape[1], len(weights.skip_bias)
    return Scratch(
        past=zeros(kernel * residual),
        ab=zeros(2 * residual, COLUMN_TILE),
        z=zeros(residual),
        flow=zeros(residual + skip, COLUMN_TILE),
        hidden=zeros(skip),
        head=zeros(skip, COLUMN_TILE),
        logits=zeros(len(weights.logits_bias), COLUMN_TILE),
    )


def _panels(matrix: Tensor, precision: str) -> NDArray:
    """A matrix [in, out] in panels, flat."""
    matrix = F.pad(matrix, (0, -matrix.shape[1] % COLUMN_TILE))
    if precision == "bfloat16":
        matrix = matrix.to(torch.bfloat16).view(torch.uint16)
        pairs = matrix.view(len(matrix), -1, 2, WIDTH)  # columns c and c + 16 are the halves of one uint32
        matrix = pairs.transpose(2, 3).reshape(matrix.shape)
    panels = matrix.view(len(matrix), -1, COLUMN_TILE).transpose(0, 1)
    return panels.flatten().numpy()


def _whole(tensor: Tensor, *dims: int) -> Tensor:
    """With zeros up to whole lanes: channels that stay zero and change nothing."""
    for dim in dims:
        missing = -tensor.shape[dim] % WIDTH
        tensor = torch.cat([tensor, tensor.new_zeros(*tensor.shape[:dim], missing, *tensor.shape[dim + 1 :])], dim)
    return tensor


def _numbers(tensor: Tensor, dim: int) -> Array:
    return aligned(_whole(tensor.detach().float().cpu(), dim).numpy())


def aligned(values: NDArray) -> Any:
    """A copy that begins on a 64-byte boundary: lanes then never cross a cache line."""
    buffer = np.empty(values.nbytes + 64, np.uint8)
    first = -buffer.ctypes.data % 64
    copy = buffer[first : first + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[:] = values
    return copy
