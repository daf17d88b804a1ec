"""How the codes of a chunk become bytes: packed, or by what a count or a prior expects of them."""

import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech import bitstream
from vqspeech.bitstream import Chunk
from vqspeech.composing import Composer
from vqspeech.errors import InputError
from vqspeech.synthesis import Model

DIGEST = 24
"""Hex digits of a model's digest that a file carries."""
ENTROPIES = ("packed", "adaptive", "prior")
_SIGNATURE = DIGEST // 2 + 4  # bytes


class Coders(NamedTuple):
    """What codes of a voice may be coded with."""

    model: Model
    speaker: str
    prior: Composer | None

    def frequencies(self, kind: int) -> bitstream.Frequencies:
        """What is expected of a chunk, at its beginning."""
        if kind == bitstream.ADAPTIVE:
            return bitstream.Adaptive(usage(self.model))
        assert self.prior is not None
        return self.prior.expect(self.speaker)

    def write(self, entropy: str, index: int, codes: NDArray[np.integer], length: int | None) -> bytes:
        """A chunk of codes, the shortest that `entropy` admits; a prior's is decoded again before it is trusted."""
        payloads = [(bitstream.PACKED, bitstream.pack(codes, len(self.model.model.quantiser.counts)))]
        if entropy != "packed":
            payloads += [(bitstream.ADAPTIVE, bitstream.encode(codes, self.frequencies(bitstream.ADAPTIVE)))]
        if entropy == "prior" and self.prior:
            words = bitstream.encode(codes, self.frequencies(bitstream.PRIOR))
            if np.array_equal(bitstream.decode(words, len(codes), self.frequencies(bitstream.PRIOR)), codes):
                payloads += [(bitstream.PRIOR, _signature(self.prior, codes) + words)]
        kind, payload = min(payloads, key=lambda one: len(one[1]))
        return bitstream.write_chunk(Chunk(index, kind, payload, length))

    def read(self, chunk: Chunk) -> NDArray[np.int64]:
        """The codes of a chunk, the inverse of `write`.

        Raises:
            InputError: these are no codes of the model, or not in this prior's terms.
        """
        frames = bitstream.CHUNK_FRAMES
        if chunk.length is not None:
            frames = -(-chunk.length // self.model.hop) - chunk.number * bitstream.CHUNK_FRAMES
            if not 0 <= frames <= bitstream.CHUNK_FRAMES:
                raise InputError(f"ends at sample {chunk.length}, beyond its last chunk; copy the file again")
        if chunk.kind == bitstream.PACKED:
            return bitstream.unpack(chunk.payload, frames, len(self.model.model.quantiser.counts))
        if chunk.kind == bitstream.ADAPTIVE:
            return bitstream.decode(chunk.payload, frames, self.frequencies(chunk.kind))
        signature, words = chunk.payload[:_SIGNATURE], chunk.payload[_SIGNATURE:]
        of = signature[:-4].hex()
        if self.prior is None:
            raise InputError(f"was coded with prior {of}; give it with --prior")
        if of != self.prior.run.digest[:DIGEST]:
            raise InputError(f"was coded with prior {of}, this one is {self.prior.run.digest[:DIGEST]}; give its own")
        codes = bitstream.decode(words, frames, self.frequencies(chunk.kind))
        if _signature(self.prior, codes) != signature:
            raise InputError(
                f"the prior expects something else here than where chunk {chunk.number} was encoded (another processor "
                "or version); decode it there, or encode it again with --entropy adaptive"
            )
        return codes


def usage(model: Model) -> NDArray[np.int64]:
    """How often each code came towards the end of training, of 65,536: integers, the same on any machine."""
    counts = model.model.quantiser.counts.double().cpu().numpy()
    return np.floor(counts / max(float(counts.sum()), 1e-9) * 65536).astype(np.int64)


def _signature(prior: Composer, codes: NDArray[np.integer]) -> bytes:
    """The prior's digest, and the CRC of the codes: floating-point sums may differ elsewhere."""
    crc = zlib.crc32(codes.astype("<u2").tobytes())
    return bytes.fromhex(prior.run.digest[:DIGEST]) + crc.to_bytes(4, "little")
