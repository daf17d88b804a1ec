"""Entropy coding of the codes of a chunk: packed, with adaptive frequencies, or with a prior."""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech.codec import bitstream
from vqspeech.codec.bitstream import ADAPTIVE, PACKED, PRIOR, Chunk
from vqspeech.errors import InputError, check_codebooks
from vqspeech.inference.prior_sampler import PriorSampler
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.models import hub

DIGEST = 24
"""Hex digits of a model's digest that a file carries."""
CODERS = ("packed", "adaptive", "prior")
_SIGNATURE = DIGEST // 2 + 4  # bytes


class ChunkCoder(NamedTuple):
    """Coder of the chunks of one file: packed, adaptive or by a prior."""

    model: SpeechCodec
    speaker: str
    prior: PriorSampler | None

    def write(self, coder: str, number: int, codes: NDArray[np.integer], length: int | None) -> bytes:
        """Code a chunk of every codebook, (frames, codebooks), in the shortest kind that `coder` allows.

        Each codebook has a chunk of its own.  A prior's codes are in one, and decoded again before it is trusted.
        """
        chunks = b""
        for codebook, column in enumerate(codes.T):
            payloads = [(PACKED, bitstream.pack(column, self._sizes[codebook]))]
            if coder != "packed":
                payloads += [(ADAPTIVE, bitstream.encode(column, self._adaptive(codebook)))]
            kind, payload = min(payloads, key=lambda option: len(option[1]))
            chunks += bitstream.write_chunk(Chunk(number, kind, payload, length, codebook))
        if coder == "prior" and self.prior:
            flat = codes.ravel()
            words = bitstream.encode(flat, self.prior.symbol_model(self.speaker))
            if np.array_equal(bitstream.decode(words, len(flat), self.prior.symbol_model(self.speaker)), flat):
                expected = Chunk(number, PRIOR, _signature(self.prior, flat) + words, length)
                chunks = min([chunks, bitstream.write_chunk(expected)], key=len)
        return chunks

    def read(self, chunks: Sequence[Chunk], codebooks: int) -> NDArray[np.int64]:
        """The inverse of `write`: the codes of the chunks of one number, (frames, codebooks).

        Where the chunk of a codebook is missing, its codes are those that add least to what the others say.

        Raises:
            InputError: these are no codes of the model, or not in this prior's terms.
        """
        if len({chunk.length for chunk in chunks}) > 1:
            raise InputError(f"ends at several samples in chunk {chunks[0].number}; copy the file again")
        frames, length = bitstream.CHUNK_FRAMES, chunks[0].length
        if length is not None:
            frames = -(-length // self.model.hop) - chunks[0].number * bitstream.CHUNK_FRAMES
            if not 0 <= frames <= bitstream.CHUNK_FRAMES:
                raise InputError(f"ends at sample {length}, beyond its last chunk; copy the file again")
        if chunks[0].kind == PRIOR:
            return self._expected(chunks[0], frames)[:, :codebooks]
        codes = np.tile(quiet(self.model)[:codebooks], (frames, 1))
        for chunk in chunks:
            if chunk.kind == PACKED:
                codes[:, chunk.codebook] = bitstream.unpack(chunk.payload, frames, self._sizes[chunk.codebook])
            else:
                codes[:, chunk.codebook] = bitstream.decode(chunk.payload, frames, self._adaptive(chunk.codebook))
        return codes

    def _expected(self, chunk: Chunk, frames: int) -> NDArray[np.int64]:
        """Decode a chunk that was coded with a prior, all codebooks."""
        signature, words = chunk.payload[:_SIGNATURE], chunk.payload[_SIGNATURE:]
        of = signature[:-4].hex()
        if self.prior is None:
            raise InputError(f"was coded with prior {of}; give it with --prior")
        if of != self.prior.run.digest[:DIGEST]:
            raise InputError(f"was coded with prior {of}, this one is {self.prior.run.digest[:DIGEST]}; give its own")
        codes = bitstream.decode(words, frames * self.prior.codebooks, self.prior.symbol_model(self.speaker))
        if _signature(self.prior, codes) != signature:
            raise InputError(
                f"the prior expects something else here than where chunk {chunk.number} was encoded (another processor "
                "or version); decode it there, or encode it again with --coder adaptive"
            )
        return codes.reshape(frames, self.prior.codebooks)

    @property
    def _sizes(self) -> list[int]:
        return self.model.net.quantizer.sizes

    def _adaptive(self, codebook: int) -> bitstream.AdaptiveModel:
        return bitstream.AdaptiveModel(code_frequencies(self.model, codebook))


def own_prior(model: SpeechCodec) -> PriorSampler | None:
    """The prior that lies beside a model's folder; None where there is none for its codes."""
    if not model.run.folder:
        return None
    try:
        return PriorSampler(hub.resolve_prior("", model.run.folder), model)
    except InputError:
        return None


def code_frequencies(model: SpeechCodec, codebook: int = 0) -> NDArray[np.int64]:
    """Code frequencies at the end of training, as integers that sum to 65,536."""
    counts = model.quantizers[codebook].cluster_size.double().cpu().numpy()
    return np.floor(counts / max(float(counts.sum()), 1e-9) * 65536).astype(np.int64)


def quiet(model: SpeechCodec) -> NDArray[np.int64]:
    """Neutral code of each codebook, (codebooks,): that of the shortest vector."""
    return np.array([int(quantizer.codebook.norm(dim=1).argmin()) for quantizer in model.quantizers])


def _signature(prior: PriorSampler, codes: NDArray[np.integer]) -> bytes:
    """The prior's digest, and the CRC of the codes: floating-point sums may differ elsewhere."""
    crc = zlib.crc32(codes.astype("<u2").tobytes())
    return bytes.fromhex(prior.run.digest[:DIGEST]) + crc.to_bytes(4, "little")


def check_coding(
    model: SpeechCodec, speaker: str = "", coder: str = "adaptive", prior: PriorSampler | None = None,
    codebooks: int | None = None,
) -> None:  # fmt: skip
    """Check the options of an encoding; raises as `vqs_files.encode_blocks`."""
    if speaker:
        model.speaker_index(speaker)
    if coder not in CODERS:
        raise InputError(f"coder {coder!r} is unknown; choose from {', '.join(CODERS)}")
    if coder == "prior" and prior is None:
        raise InputError("coder 'prior' needs a prior; give its run directory with --prior")
    codebooks = model.codebooks if codebooks is None else codebooks
    check_codebooks(codebooks, model.codebooks, "the model")
    if prior and coder == "prior" and prior.codebooks != codebooks:
        raise InputError(f"the prior knows {prior.codebooks} codebooks, not {codebooks}; choose --coder adaptive")
