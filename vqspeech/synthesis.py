"""A model awake: sound becomes codes, and codes become sound in a voice.

Everything goes by pieces of PIECE_FRAMES frames, each with the neighbouring frames that it depends on,
so a recording of any length needs the same memory and has no seam.  Whole arrays are cut in the same
way: streaming and offline are one computation.
"""

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vqspeech import audio, checkpoint
from vqspeech.errors import InputError

PIECE_FRAMES = 256
ENGINES = ("numba", "torch")

Wave = NDArray[np.float32]
Codes = NDArray[np.integer]


class Model:
    """A trained VQ-VAE ready to encode and decode.

    Args:
        run: a run directory, or what `checkpoint.load` gave.
        engine: "numba" (one core, compiled) or "torch" (the reference, any device).
        device: a torch device; other than "cpu" it needs the torch engine.

    Example:
        ```
        model = Model("exp/vqvae")
        codes = model.encode(wave)                        # (frames,)
        wave = model.decode(codes, speaker="p225")        # (frames * hop,)
        ```
    """

    def __init__(self, run: str | Path | checkpoint.Run, engine: str | None = None, device: str = "cpu") -> None:
        engine = engine or ("numba" if device == "cpu" else "torch")
        if engine not in ENGINES:
            raise InputError(f"engine {engine!r} is unknown; choose from {', '.join(ENGINES)}")
        if engine == "numba" and device != "cpu":
            raise InputError(f"the numba engine runs on the CPU, not on {device!r}; choose --engine torch")
        self.run = run if isinstance(run, checkpoint.Run) else checkpoint.load(run, _device(device))
        self.model, self.device, self.engine = self.run.model, device, engine

    @property
    def sample_rate(self) -> int:
        """Samples a second, Hz, of all waves that go in and come out."""
        return self.model.sample_rate

    @property
    def hop(self) -> int:
        """Samples per code."""
        return self.model.hop

    @property
    def speakers(self) -> list[str]:
        """The voices, in the order of the speaker table."""
        return self.run.speakers

    def encode(self, wave: Wave) -> Codes:
        """The codes of a wave: (time,) in [-1, 1] -> (ceil(time / hop),)."""
        return np.concatenate([*self.encode_blocks([wave])] or [np.zeros(0, np.int64)])

    def decode(
        self, codes: Codes, speaker: str, seed: int = 0, temperature: float = 1.0, length: int | None = None
    ) -> Wave:
        """Speech from codes, in a voice: (frames,) -> (frames * hop,), or its first `length` samples."""
        pieces = [*self.decode_pieces([codes], speaker, seed, temperature)]
        return np.concatenate(pieces or [np.zeros(0, np.float32)])[:length]

    @torch.inference_mode()
    def encode_blocks(self, blocks: Iterable[Wave]) -> Iterator[Codes]:
        """The codes of a wave that arrives in blocks of any size, a piece at a time."""
        hop, context = self.hop, self.model.encoder.context
        classes = (audio.compress(block) for block in blocks)
        for piece, before, after in _pieces(classes, PIECE_FRAMES * hop, context * hop):
            short = -len(piece) % hop  # only the last piece: silence fills its last frame
            padded = np.pad(piece, (0, short), constant_values=audio.SILENCE)
            codes = self.model.encode(torch.from_numpy(padded).to(self.device)[None])[0].cpu().numpy()
            yield codes[before // hop : len(codes) - after // hop]

    @torch.inference_mode()
    def decode_pieces(
        self, pieces: Iterable[Codes], speaker: str, seed: int = 0, temperature: float = 1.0
    ) -> Iterator[Wave]:
        """Speech from codes that arrive in pieces of any size; the draws depend on the seed alone.

        Raises:
            InputError: an unknown speaker, a code outside the codebook, or a temperature below 0.
        """
        generate = _generator(self.engine)
        speakers = torch.tensor([self.speaker_index(speaker)], device=self.device)
        if not 0 <= temperature <= 10:
            raise InputError(f"temperature {temperature:g} is out of range; choose 0 (the likeliest) to 10")
        draws, state, size = np.random.default_rng(seed), None, len(self.model.quantiser.counts)
        for piece, before, after in _pieces((np.asarray(p, np.int64) for p in pieces), PIECE_FRAMES, 1):
            if piece.min() < 0 or piece.max() >= size:
                raise InputError(f"code {piece.max() if piece.max() >= size else piece.min()} is not in 0..{size - 1}")
            latents = self.model.quantiser.decode(torch.from_numpy(piece).to(self.device)[None])
            cond = self.model.condition(latents, speakers)[:, :, before : len(piece) - after]
            uniforms = torch.from_numpy(draws.random((1, cond.shape[2] * self.hop), dtype=np.float32))
            classes, state = generate(self.model.wavenet, cond, uniforms.to(self.device), temperature, state)
            yield audio.expand(classes[0].cpu().numpy())

    def speaker_index(self, name: str) -> int:
        """The place of a voice in the speaker table.

        Raises:
            InputError: no such voice; the nearest names are offered.
        """
        if name in self.speakers:
            return self.speakers.index(name)
        near = difflib.get_close_matches(name, self.speakers, 3, 0.3) or self.speakers[:3]
        raise InputError(
            f"unknown speaker {name!r}; nearest of {len(self.speakers)} voices: {', '.join(near)}; "
            "see `vqspeech speakers`"
        )


def _generator(engine: str) -> Any:
    if engine == "torch":
        from vqspeech.engines import torch_engine

        return torch_engine.generate
    from vqspeech.engines import numba_engine

    return numba_engine.generate


def _device(name: str) -> str:
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} cannot be used ({str(error).splitlines()[0]}); try cpu") from None
    return name


def _pieces(blocks: Iterable[NDArray], size: int, context: int) -> Iterator[tuple[NDArray, int, int]]:
    """Blocks of any size, cut anew into pieces of `size` with `context` items on either side.

    Yields (piece with its context, items of context before, items after); at the two ends there is less
    context, or none.  Every item is in exactly one piece's middle.  `context` is smaller than `size`.
    """
    before, held = 0, None
    for block in blocks:
        held = block if held is None else np.concatenate([held, block])
        while len(held) > before + size + context:
            yield held[: before + size + context], before, context
            held = held[before + size - context :]
            before = context
    while held is not None and len(held) > before:
        after = min(context, max(0, len(held) - before - size))
        yield held[: before + size + after], before, after
        held = held[before + size - context :] if after else None
        before = context
