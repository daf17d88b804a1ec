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
"""A float32 array of any shape."""
PRECISIONS = {"bfloat16": 2, "float32": 4}
"""Precisions of the stored weights, with the bytes of one weight."""
PADDING_LOGIT = -1e30
"""Logit of the classes that pad an alphabet to whole SIMD vectors."""


class Weights(NamedTuple):
    """Weights of a WaveNet in the layout of the kernels.

    `matrices`: all panels one after another, in float32 or bfloat16 (as uint16); `skip_bias`: summed over the layers;
    `rings`, (layers + 1,): the offsets of the layers' ring buffers in the memory.
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
    """State of a generation between two calls; `memory`: all ring buffers, (batch, places, residual_channels)."""

    weights: Weights
    memory: Array
    previous: NDArray[np.int64]
    clock: int


class Scratch(NamedTuple):
    """Buffers of one step, one row per stream: `past` has [x(t-d) | x(t)], `flow` has [x | skips]."""

    past: Array
    ab: Array
    z: Array
    flow: Array
    hidden: Array
    head: Array
    logits: Array


@torch.inference_mode()
def generate(
    wavenet: WaveNet, cond: Tensor, uniforms: Tensor, temperature: float | Tensor = 1.0, state: State | None = None,
    *, top_p: float = 1.0, precision: str = "float32", threads: int = 1,
) -> tuple[Tensor, State]:  # fmt: skip
    """Compiled twin of `torch_engine.generate`, which documents the other arguments.

    Args:
        precision: of the stored weights, "float32" or "bfloat16"; sums are float32.  A state keeps its precision.
        threads: number of threads that share the streams; it changes no symbol.
    """
    state = state or _initial_state(wavenet, len(cond), precision)
    temperatures = torch.as_tensor(temperature, dtype=torch.float32).expand_as(uniforms).numpy()
    classes, state, _ = _run(wavenet, state, cond, uniforms.numpy(), temperatures, top_p, None, threads)
    return torch.from_numpy(classes), state


@torch.inference_mode()
def logits(
    wavenet: WaveNet, classes: Tensor, cond: Tensor, state: State | None = None, *, precision: str = "float32"
) -> tuple[Tensor, State]:
    """Compiled twin of `torch_engine.logits`."""
    forced = classes.numpy().astype(np.int64)
    state = state or _initial_state(wavenet, len(cond), precision)
    unused = np.zeros(forced.shape, np.float32)
    _, state, forced_logits = _run(wavenet, state, cond, unused, unused, 1.0, forced, 1)
    return torch.from_numpy(forced_logits).transpose(1, 2), state


@torch.inference_mode()
def step(
    wavenet: WaveNet, cond: Tensor, previous: Tensor | None = None, state: State | None = None, *,
    precision: str = "float32",
) -> tuple[Tensor, State]:  # fmt: skip
    """Compiled twin of `torch_engine.step`."""
    if state is not None and previous is not None:
        state = state._replace(previous=previous.numpy().astype(np.int64))
    placeholder = torch.zeros(len(cond), wavenet.bands, dtype=torch.long)
    return logits(wavenet, placeholder, cond, state, precision=precision)


class NumbaEngine(NamedTuple):
    """Numba engine: the functions of this module with a given precision and number of threads."""

    precision: str = "float32"
    threads: int = 1

    def generate(
        self, wavenet: WaveNet, cond: Tensor, uniforms: Tensor, temperature: float | Tensor = 1.0,
        state: State | None = None, *, top_p: float = 1.0,
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
    """Compiles the kernels that `generate` needs, unless they are in the cache on disk."""
    wavenet = WaveNet(2, 0, 1, 1, 1, 1, 2, 1)
    for streams in (1, STREAM_TILE):
        generate(wavenet, torch.zeros(streams, 1, 1), torch.zeros(streams, 1), precision=precision)


def pack(wavenet: WaveNet, precision: str = "float32") -> Weights:
    """Copy of the weights of a WaveNet in the layout of the kernels; later changes of the WaveNet do not affect it."""
    assert precision in PRECISIONS, f"precision {precision!r} is not one of {[*PRECISIONS]}"
    residual, matrices = wavenet.residual_channels, []
    for taps, out in zip(wavenet.taps, wavenet.out, strict=True):
        tap = taps.weight.permute(2, 1, 0).unflatten(2, (2, residual))  # (kernel, residual, a or b, residual)
        weight = out.weight[:, :, 0].t()
        matrices += [
            _pad_to_lanes(tap, 1, 3).flatten(2).flatten(0, 1),
            torch.cat([_pad_to_lanes(weight[:, :residual], 0, 1), _pad_to_lanes(weight[:, residual:], 0, 1)], 1),
        ]
    logits = wavenet.logits.weight[:, :, 0].t().unflatten(1, (wavenet.bands, wavenet.classes))
    matrices += [_pad_to_lanes(wavenet.head.weight[:, :, 0].t(), 0, 1), _pad_to_lanes(logits, 0, 2).flatten(1)]
    panels = [_to_panels(matrix.detach().float().cpu(), precision) for matrix in matrices]
    gates = wavenet.cond.weight[:, :, 0].t().unflatten(1, (-1, residual))  # (cond, layer and a or b, residual)
    cond = _to_panels(_pad_to_lanes(gates.detach().float().cpu(), 2).flatten(1), "float32")
    cond_bias = cast("Tensor", wavenet.cond.bias).detach().float().cpu().unflatten(0, (-1, residual))
    logits_bias = cast("Tensor", wavenet.logits.bias).unflatten(0, (wavenet.bands, wavenet.classes))
    biases = torch.stack([layer.bias for layer in wavenet.out])
    ring_sizes = [(wavenet.kernel_size - 1) * dilation for dilation in wavenet.dilations]
    return Weights(
        matrices=aligned(np.concatenate(panels)),
        embed=_to_array(wavenet.embed.weight, 1),
        residual_bias=_to_array(biases[:, :residual], 1),
        skip_bias=_to_array(biases[:, residual:].sum(0), 0),
        head_bias=_to_array(cast("Tensor", wavenet.head.bias), 0),
        logits_bias=_to_array(F.pad(logits_bias, (0, -wavenet.classes % WIDTH), value=PADDING_LOGIT).flatten(), 0),
        cond=aligned(cond),
        cond_bias=_to_array(cond_bias, 1).flatten(),
        dilations=np.array(wavenet.dilations),
        rings=np.cumsum([0, *ring_sizes]),
    )


def _initial_state(wavenet: WaveNet, batch: int, precision: str) -> State:
    """State before the first symbol, with a copy of the weights."""
    weights = pack(wavenet, precision)
    memory = np.zeros((batch, int(weights.rings[-1]), weights.embed.shape[1]), np.float32)
    return State(weights, memory, np.full((batch, wavenet.bands), wavenet.start), 0)


def _run(
    wavenet: WaveNet, state: State, cond: Tensor, uniforms: Array, temperatures: Array, top_p: float,
    forced: NDArray | None, threads: int,
) -> tuple[NDArray[np.int64], State, Array]:  # fmt: skip
    """Classes, the state after them and, with `forced` symbols, the logits (batch, time, classes)."""
    (batch, _, frames), time = cond.shape, uniforms.shape[1]
    assert time % (wavenet.bands * frames) == 0, f"{time} symbols are not a multiple of {frames} frames"
    tile = 1 if batch <= threads else STREAM_TILE
    rows = np.pad(np.arange(batch), (0, -batch % tile), "edge")  # unused streams fill the last tile
    conditioning = cond.transpose(1, 2).contiguous().float().numpy()[rows]  # (streams, frames, cond)
    forcing = forced is not None
    forced = forced[rows] if forcing else np.zeros((len(rows), 0), np.int64)
    forced_logits = np.zeros((len(rows), time if forcing else 0, wavenet.classes), np.float32)
    memory, previous, classes = state.memory[rows], state.previous[rows], np.zeros((len(rows), time), np.int64)
    uniforms, temperatures = uniforms[rows], temperatures[rows]

    def generate_tiles(tiles: NDArray[np.int64]) -> None:
        part = slice(tiles[0] * tile, (tiles[-1] + 1) * tile)
        scratch = _scratch(state.weights, wavenet.kernel_size, len(tiles) * tile)
        gates = _gates(state.weights, conditioning[part])
        generate_kernel_(
            state.weights, scratch, gates, (uniforms[part], temperatures[part], np.float32(top_p)), state.clock,
            forced[part], memory[part], previous[part], classes[part], forced_logits[part],
        )  # fmt: skip

    tiles = np.arange(len(rows) // tile)
    parts = np.array_split(tiles, min(threads, len(tiles)))
    if len(parts) == 1:
        generate_tiles(tiles)
    else:
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(generate_tiles, parts))
    after = State(state.weights, memory[:batch], previous[:batch], state.clock + time // wavenet.bands)
    return classes[:batch], after, forced_logits[:batch]


def _gates(weights: Weights, conditioning: Array) -> Array:
    """Conditioning projected for all layers, (streams, frames, layers of [a|b]); the sums depend on no thread count."""
    streams, frames, _ = conditioning.shape
    rows = np.pad(conditioning.reshape(streams * frames, -1), ((0, -streams * frames % STREAM_TILE), (0, 0)))
    gates = aligned(np.zeros((len(rows), weights.cond.size // rows.shape[1]), np.float32))
    gates[:, : len(weights.cond_bias)] = weights.cond_bias
    add_product_(gates, rows, weights.cond, 0)
    return gates[: streams * frames].reshape(streams, frames, -1)


def _scratch(weights: Weights, kernel_size: int, streams: int) -> Scratch:
    """Buffers of a number of streams, filled with zeros."""

    def zeros(width: int, panel: int = 1) -> Array:
        return aligned(np.zeros((streams, width + -width % panel), np.float32))

    residual, skip = weights.embed.shape[1], len(weights.skip_bias)
    return Scratch(
        past=zeros(kernel_size * residual),
        ab=zeros(2 * residual, COLUMN_TILE),
        z=zeros(residual),
        flow=zeros(residual + skip, COLUMN_TILE),
        hidden=zeros(skip),
        head=zeros(skip, COLUMN_TILE),
        logits=zeros(len(weights.logits_bias), COLUMN_TILE),
    )


def _to_panels(matrix: Tensor, precision: str) -> NDArray:
    """Matrix [in, out] as flat panels of COLUMN_TILE columns."""
    matrix = F.pad(matrix, (0, -matrix.shape[1] % COLUMN_TILE))
    if precision == "bfloat16":
        matrix = matrix.to(torch.bfloat16).view(torch.uint16)
        pairs = matrix.view(len(matrix), -1, 2, WIDTH)  # columns c and c + 16 are the halves of one uint32
        matrix = pairs.transpose(2, 3).reshape(matrix.shape)
    panels = matrix.view(len(matrix), -1, COLUMN_TILE).transpose(0, 1)
    return panels.flatten().numpy()


def _pad_to_lanes(tensor: Tensor, *dims: int) -> Tensor:
    """Tensor padded with zeros to whole SIMD vectors in some dimensions; the added channels stay zero."""
    for dim in dims:
        missing = -tensor.shape[dim] % WIDTH
        tensor = torch.cat([tensor, tensor.new_zeros(*tensor.shape[:dim], missing, *tensor.shape[dim + 1 :])], dim)
    return tensor


def _to_array(tensor: Tensor, dim: int) -> Array:
    """Tensor as an aligned float32 array, padded in one dimension."""
    return aligned(_pad_to_lanes(tensor.detach().float().cpu(), dim).numpy())


def aligned(values: NDArray) -> Any:
    """Copy of an array that begins on a 64-byte boundary, so that no SIMD vector crosses a cache line."""
    buffer = np.empty(values.nbytes + 64, np.uint8)
    first = -buffer.ctypes.data % 64
    copy = buffer[first : first + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[:] = values
    return copy
