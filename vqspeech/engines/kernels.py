"""Kernels of the compiled engine: streams step through a WaveNet side by side, with sums in registers.

One symbol uses every weight once.  A single stream is limited by reading the weights, which may therefore be stored
in 16 bits; many streams are limited by multiplying, so each weight that is read serves four streams.  The memory
layout follows from this:

* The taps [x(t-d) | x(t)] of a layer are one matrix, its residual and skip weights another.  The conditioning is
  projected per frame beforehand and costs a symbol one addition.
* Every matrix is stored in panels of 64 columns, each [in, 64] and contiguous, in the order of their use, so weights
  are read strictly forward.  The sums of a panel stay in registers until all its inputs are added.
* Each sum adds its inputs in the same order for any number of streams, so a stream is the same in any batch.
* Rows have a whole number of SIMD vectors (channels are padded with zeros), so no loop has a remainder.
"""

# pyright: reportCallIssue=false
# (intrinsics are defined with a typing context and called without it)

import numpy as np

from vqspeech.engines.simd import (
    WIDTH,
    add,
    clamp,
    divide,
    fill,
    highest,
    load,
    load_panel,
    multiply,
    multiply_add,
    spread,
    store,
    total,
)
from vqspeech.system.jit import jit

COLUMN_TILE = 4 * WIDTH
"""Columns of a matrix whose sums are in registers at once."""
STREAM_TILE = 4
"""Streams whose sums are in registers at once: with 4 vectors of columns, 16 of 32 registers."""


@jit
def _tanh(x):
    """Hyperbolic tangent within 1e-6, as numerator and denominator: an odd polynomial over an even one.

    Source: the coefficients are those of the Eigen library, generic_fast_tanh_float.
    """
    x = clamp(x, fill(np.float32(-7.90531110763549805)), fill(np.float32(7.90531110763549805)))
    y = multiply(x, x)
    p = multiply_add(y, fill(np.float32(-2.76076847742355e-16)), fill(np.float32(2.00018790482477e-13)))
    p = multiply_add(p, y, fill(np.float32(-8.60467152213735e-11)))
    p = multiply_add(p, y, fill(np.float32(5.12229709037114e-08)))
    p = multiply_add(p, y, fill(np.float32(1.48572235717979e-05)))
    p = multiply_add(p, y, fill(np.float32(6.37261928875436e-04)))
    p = multiply_add(p, y, fill(np.float32(4.89352455891786e-03)))
    q = multiply_add(y, fill(np.float32(1.19825839466702e-06)), fill(np.float32(1.18534705686654e-04)))
    q = multiply_add(q, y, fill(np.float32(2.26843463243900e-03)))
    q = multiply_add(q, y, fill(np.float32(4.89352518554385e-03)))
    return multiply(p, x), q


@jit
def gate(a, b):
    """Gated activation tanh(a) * sigmoid(b), with sigmoid(b) = (1 + tanh(b/2)) / 2, as one division."""
    half = fill(np.float32(0.5))
    p, q = _tanh(a)
    r, s = _tanh(multiply(half, b))
    return divide(multiply(p, multiply_add(half, r, multiply(half, s))), multiply(q, s))


@jit
def exp(x):
    """Exponential of x <= 0 with a relative error below 4e-6, 0 below -87: 2^k times a polynomial, in float32.

    Source: the coefficients are those of the Cephes library, exp2f.
    """
    y = x * np.float32(1.44269504088896341)
    k = np.floor(y + np.float32(0.5))
    f = y - k
    p = np.float32(1.535336188319500e-4) * f + np.float32(1.339887440266574e-3)
    p = p * f + np.float32(9.618437357674640e-3)
    p = p * f + np.float32(5.550332471162809e-2)
    p = p * f + np.float32(2.402264791363012e-1)
    p = p * f + np.float32(6.931472028550421e-1)
    p = p * f + np.float32(1)
    exponent = np.int32(max(k, np.float32(-127))) + np.int32(127)
    return p * np.int32(exponent << np.int32(23)).view(np.float32)


@jit
def _add_one_(out, x, matrices, at):
    """Out += x @ matrix, for one stream: two panels at a time, which hides the latency of the additions."""
    inputs, outputs, zero = x.shape[1], out.shape[1], fill(np.float32(0))
    for panel in range(0, outputs, 2 * COLUMN_TILE):
        a0, a1, a2, a3 = zero, zero, zero, zero
        b0, b1, b2, b3 = zero, zero, zero, zero
        next_panel = inputs * COLUMN_TILE if panel + COLUMN_TILE < outputs else 0  # 0: an odd last panel
        for i in range(inputs):
            a = spread(x, i)
            w0, w1, w2, w3 = load_panel(matrices, at)
            a0, a1, a2, a3 = sums(a, w0, w1, w2, w3, a0, a1, a2, a3)
            w0, w1, w2, w3 = load_panel(matrices, at + next_panel)
            b0, b1, b2, b3 = sums(a, w0, w1, w2, w3, b0, b1, b2, b3)
            at += COLUMN_TILE
        at += next_panel
        add_sums_(out, panel, a0, a1, a2, a3)
        if next_panel:
            add_sums_(out, panel + COLUMN_TILE, b0, b1, b2, b3)


@jit
def _add_many_(out, x, matrices, at):
    """Out += x @ matrix, for a multiple of four streams; each weight that is loaded serves four of them, a, b, c, d."""
    streams, inputs = x.shape
    outputs, zero = out.shape[1], fill(np.float32(0))
    for panel in range(0, outputs, COLUMN_TILE):
        for stream in range(0, streams, STREAM_TILE):
            a0, a1, a2, a3 = zero, zero, zero, zero
            b0, b1, b2, b3 = zero, zero, zero, zero
            c0, c1, c2, c3 = zero, zero, zero, zero
            d0, d1, d2, d3 = zero, zero, zero, zero
            place, first = at, stream * inputs
            for i in range(first, first + inputs):
                w0, w1, w2, w3 = load_panel(matrices, place)
                a, b = spread(x, i), spread(x, i + inputs)
                c, d = spread(x, i + 2 * inputs), spread(x, i + 3 * inputs)
                a0, a1, a2, a3 = sums(a, w0, w1, w2, w3, a0, a1, a2, a3)
                b0, b1, b2, b3 = sums(b, w0, w1, w2, w3, b0, b1, b2, b3)
                c0, c1, c2, c3 = sums(c, w0, w1, w2, w3, c0, c1, c2, c3)
                d0, d1, d2, d3 = sums(d, w0, w1, w2, w3, d0, d1, d2, d3)
                place += COLUMN_TILE
            row = stream * outputs + panel
            add_sums_(out, row, a0, a1, a2, a3)
            add_sums_(out, row + outputs, b0, b1, b2, b3)
            add_sums_(out, row + 2 * outputs, c0, c1, c2, c3)
            add_sums_(out, row + 3 * outputs, d0, d1, d2, d3)
        at += COLUMN_TILE * inputs


@jit
def sums(x, w0, w1, w2, w3, s0, s1, s2, s3):
    """Four vectors of sums, each with one more product added."""
    return multiply_add(x, w0, s0), multiply_add(x, w1, s1), multiply_add(x, w2, s2), multiply_add(x, w3, s3)


@jit
def add_sums_(out, place, s0, s1, s2, s3):
    """out.flat[place : place + 64] += the four vectors of sums."""
    store(out, place, add(s0, load(out, place)))
    store(out, place + 16, add(s1, load(out, place + 16)))
    store(out, place + 32, add(s2, load(out, place + 32)))
    store(out, place + 48, add(s3, load(out, place + 48)))


@jit
def add_product_(out, x, matrices, at):
    """Out += x @ matrix, with one row per stream; returns where the next matrix begins."""
    if len(x) == 1:
        _add_one_(out, x, matrices, at)
    else:
        _add_many_(out, x, matrices, at)
    return at + x.shape[1] * out.shape[1]


@jit
def _sample_inverse_cdf(logits, uniform, temperature, top_p):
    """Class by the inverse CDF of softmax(logits / temperature) at `uniform`; overwrites the logits."""
    if temperature == 0:
        return np.argmax(logits)
    maxima, largest = fill(np.float32(-3e38)), fill(np.float32(3e38))
    for c in range(0, len(logits), WIDTH):
        maxima = clamp(load(logits, c), maxima, largest)
    top = highest(maxima)
    for c in range(len(logits)):
        logits[c] = exp((logits[c] - top) / temperature)
    if top_p < 1:  # nucleus sampling: only the most likely classes that make up top_p stay
        ascending, mass = np.sort(logits), np.float32(0)
        nucleus, least_likely = top_p * np.sum(ascending), len(ascending)
        while mass < nucleus and least_likely > 0:
            least_likely -= 1
            mass += ascending[least_likely]
        for c in range(len(logits)):
            logits[c] = logits[c] if logits[c] >= ascending[least_likely] else np.float32(0)
    sums, ones = fill(np.float32(0)), fill(np.float32(1))
    for c in range(0, len(logits), WIDTH):
        sums = multiply_add(ones, load(logits, c), sums)
    threshold, mass, last = uniform * total(sums), np.float32(0), 0
    for c in range(len(logits)):
        mass += logits[c]
        if mass > threshold:
            return c
        last = c if logits[c] > 0 else last
    return last


@jit
def _copy_(target, at, source, start, count):
    """target.flat[at : at + count] = source.flat[start : start + count], in whole vectors."""
    for c in range(0, count, WIDTH):
        store(target, at + c, load(source, start + c))


@jit
def _add_(target, at, source, start, count):
    """target.flat[at : at + count] += source.flat[start : start + count], in whole vectors."""
    ones = fill(np.float32(1))
    for c in range(0, count, WIDTH):
        store(target, at + c, multiply_add(ones, load(source, start + c), load(target, at + c)))


@jit
def _rectify_(target, at, source, start, count):
    """target.flat[at : at + count] = relu(source.flat[start : start + count]), in whole vectors."""
    zero, largest = fill(np.float32(0)), fill(np.float32(3e38))
    for c in range(0, count, WIDTH):
        store(target, at + c, clamp(load(source, start + c), zero, largest))


@jit
def generate_kernel_(weights, scratch, gates, sampling, clock, forced, memory, previous, classes, forced_logits):
    """Symbols of some streams, step by step; fills `classes` and updates `memory` and `previous`.

    `sampling` has a uniform number and a temperature for each symbol, (streams, time) each, and top_p.  `forced`
    symbols, where given, are taken instead of samples (teacher forcing), and `forced_logits` is filled.
    """
    past, ab, z, flow, hidden, head, logits = scratch
    uniforms, temperatures, top_p = sampling
    matrices, embed, residual_bias, skip_bias, head_bias, logits_bias, _, _, dilations, rings = weights
    streams, frames, width = gates.shape
    layers, residual, skip = residual_bias.shape[0], z.shape[1], hidden.shape[1]
    bands = previous.shape[1]
    double, time, alphabet = 2 * residual, uniforms.shape[1] // bands, len(logits_bias) // bands
    rows = embed.shape[0] // bands
    reach, depth = past.shape[1], memory.shape[1]
    for now in range(time):
        frame, at = now * frames // time, 0
        for s in range(streams):
            _copy_(flow, s * flow.shape[1], embed, previous[s, 0] * residual, residual)
            for band in range(1, bands):
                _add_(flow, s * flow.shape[1], embed, (band * rows + previous[s, band]) * residual, residual)
            _copy_(flow, s * flow.shape[1] + residual, skip_bias, 0, skip)
        for layer in range(layers):
            # [a|b] = taps [x(t-d) | x(t)] + cond; x(t) replaces the oldest place of the ring buffer
            ring, size = rings[layer], rings[layer + 1] - rings[layer]
            for tap in range(0, reach - residual, residual):
                back = (reach - residual - tap) // residual * dilations[layer]
                place = ring + (clock + now - back) % size
                for s in range(streams):
                    _copy_(past, s * reach + tap, memory, (s * depth + place) * residual, residual)
            for s in range(streams):
                x = s * flow.shape[1]
                _copy_(past, (s + 1) * reach - residual, flow, x, residual)
                if size:
                    place = ring + (clock + now) % size
                    _copy_(memory, (s * depth + place) * residual, flow, x, residual)
                _copy_(ab, s * ab.shape[1], gates, (s * frames + frame) * width + layer * double, double)
            at = add_product_(ab, past, matrices, at)
            # z = tanh(a) * sigmoid(b)
            for s in range(streams):
                a = s * ab.shape[1]
                for c in range(0, residual, WIDTH):
                    store(z, s * residual + c, gate(load(ab, a + c), load(ab, a + residual + c)))
            # [x | skips] += [residual | skip] z
            for s in range(streams):
                _add_(flow, s * flow.shape[1], residual_bias, layer * residual, residual)
            at = add_product_(flow, z, matrices, at)
        # logits = 1x1 relu 1x1 relu skips
        for s in range(streams):
            _rectify_(hidden, s * skip, flow, s * flow.shape[1] + residual, skip)
            _copy_(head, s * head.shape[1], head_bias, 0, skip)
        at = add_product_(head, hidden, matrices, at)
        for s in range(streams):
            _rectify_(hidden, s * skip, head, s * head.shape[1], skip)
            _copy_(logits, s * logits.shape[1], logits_bias, 0, len(logits_bias))
        add_product_(logits, hidden, matrices, at)
        for s in range(streams):
            for band in range(bands):
                band_logits, symbol = logits[s, band * alphabet : (band + 1) * alphabet], now * bands + band
                if forced.shape[1]:
                    forced_logits[s, symbol] = band_logits[: forced_logits.shape[2]]
                    previous[s, band] = forced[s, symbol]
                else:
                    previous[s, band] = _sample_inverse_cdf(
                        band_logits, uniforms[s, symbol], temperatures[s, symbol], top_p
                    )
                classes[s, symbol] = previous[s, band]
