"""A model awake: sound becomes codes, and codes become sound in a voice.

Encoding goes by pieces with the neighbouring frames that they depend on, so it has no seam.  Decoding goes by
segments of SEGMENT_S that are spoken side by side, of one recording or of many:

```
segment 1   |=====================|                   lead: the samples that a sample depends on, so that the
segment 2             lead |~~~~~~|==============     segment no longer knows that it began in silence
                           overlap: both hear the same draws, and are joined where they are most alike
```
A recording of any length needs the same memory, and what is spoken depends on codes, voice and seed alone:
not on how the codes arrived, on what is spoken beside it, or on how many cores.
"""

import difflib
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vqspeech.audio import mulaw
from vqspeech.audio.chunks import chunks_with_context, crossfade
from vqspeech.audio.preprocessing import preprocessed
from vqspeech.errors import InputError, check_codebooks, warn
from vqspeech.inference.source_filter_vocoder import vocode
from vqspeech.inference.vocoders import AcousticConditioning, CodeConditioning, Conditioning, check_choice, engine_of
from vqspeech.models import checkpoint, hub
from vqspeech.nn.quantizer import Quantizer
from vqspeech.system import hardware

PIECE_FRAMES = 256
"""Frames that are encoded at once, and steps of conditioning that are projected at once."""
SEGMENT_S, OVERLAP_S, FADE_S = 3.75, 0.064, 0.01
STREAMS = 16
"""Segments that a core speaks at once."""
VOCODERS = SOURCE_FILTER, WAVENET = "source-filter", "wavenet"
ENGINES = ("numba", "torch")

Wave = NDArray[np.float32]
Codes = NDArray[np.integer]


class Request(NamedTuple):
    """Codes that are to be spoken: pieces of (frames, codebooks) of any length, a voice, and the seed of the draws."""

    pieces: Iterable[Codes]
    speaker: str
    seed: int = 0


class _Segment(NamedTuple):
    """A stretch of a request: cond (cond, frames) and uniforms (time,), of which the first `lead` frames lead in."""

    number: int
    cond: Tensor
    uniforms: Tensor
    lead: int


class SpeechCodec:
    """A trained VQ-VAE ready to encode and decode.

    Args:
        run: a run directory or another name of a model (see `hub.resolve`), or what `checkpoint.load` gave.
        vocoder: "source-filter", which speaks by the acoustic model, or "wavenet"; by default the first, of a model
            that has an acoustic model.
        engine: of the WaveNet: "numba" (CPU, compiled) or "torch" (any device, the reference).
        device: a torch device; other than "cpu" it needs the torch engine.
        precision: in which the numba engine stores the weights: "bfloat16" (the default), "float32" or "int8".
        threads: of the numba engine; by default one for each core.
        wavenet: a run directory of a WaveNet vocoder, by default `vocoder/` in the model's folder if there is one; it
            takes the place of the model's own WaveNet.
        codebooks: the first ones, which are all that it encodes with; by default those that it has.

    Example:
        ```
        model = Model("exp/vqvae")
        codes = model.encode(wave)                        # (frames, codebooks)
        wave = model.decode(codes, speaker="p225")        # (frames * hop,)
        ```
    """

    def __init__(
        self, run: str | Path | checkpoint.Run, vocoder: str | None = None, device: str = "cpu",
        precision: str | None = None, threads: int | None = None, engine: str | None = None,
        wavenet: str | Path | None = None, codebooks: int | None = None,
    ) -> None:  # fmt: skip
        engine = engine or ("numba" if device == "cpu" else "torch")
        if vocoder not in (None, *VOCODERS):
            raise InputError(f"vocoder {vocoder!r} is unknown; choose from {', '.join(VOCODERS)}")
        if engine not in ENGINES:
            raise InputError(f"engine {engine!r} is unknown; choose from {', '.join(ENGINES)}")
        if engine == "numba" and device != "cpu":
            raise InputError(f"the numba engine runs on the CPU, not on {device!r}; choose --engine torch")
        if precision is not None and engine == "numba" and precision not in (known := engine_of(engine).PRECISIONS):
            raise InputError(f"precision {precision!r} is unknown; choose from {', '.join(known)}")
        hardware.keep_freed_memory()
        self.precision, self.threads = precision, threads or hardware.cores()
        self.run = run if isinstance(run, checkpoint.Run) else checkpoint.load(run, _device(device))
        self.model, self.device, self.engine = self.run.model, device, engine
        self.codebooks = len(self.quantizers) if codebooks is None else codebooks
        check_codebooks(self.codebooks, len(self.quantizers), "the model")
        if vocoder == SOURCE_FILTER and not self.model.acoustic_model:
            raise InputError(f"{self.run.folder}: no acoustic model for the source-filter vocoder; choose {WAVENET}")
        self.uses_source_filter = bool(self.model.acoustic_model) and vocoder != WAVENET
        if wavenet is None and self.run.folder:
            wavenet = self.run.folder / hub.VOCODER
        self.conditioning: Conditioning = CodeConditioning(self.model)
        if wavenet and (Path(wavenet) / hub.WEIGHTS).is_file():
            self.conditioning = AcousticConditioning(self.model, checkpoint.load_vocoder(wavenet).model.to(device))

    @property
    def sample_rate(self) -> int:
        """Samples a second, Hz, of all waves that go in and come out."""
        return self.model.sample_rate

    @property
    def hop(self) -> int:
        """Samples per code."""
        return self.model.hop

    @property
    def quantizers(self) -> list[Quantizer]:
        """The codebooks themselves, the first of which says most."""
        return cast("list[Quantizer]", list(self.model.quantizer.codebooks))

    @property
    def speakers(self) -> list[str]:
        """The voices, in the order of the speaker table."""
        return self.run.speakers

    def level_db(self, speaker: str) -> float:
        """The level of a voice's own speech, in dB below full scale; NaN where it is not known."""
        return self.run.voices[speaker].level_db if speaker in self.run.voices else math.nan

    def encode(self, wave: Wave) -> Codes:
        """The codes of a wave, float, int16 or int32, of one or several channels -> (ceil(time / hop), codebooks).

        Raises:
            InputError: another type or shape, or samples that are not numbers.
        """
        return np.concatenate([*self.encode_blocks([wave])] or [np.zeros((0, self.codebooks), np.int64)])

    def decode(
        self, codes: Codes, speaker: str, seed: int = 0, temperature: float = 1.0, top_p: float = 1.0,
        length: int | None = None,
    ) -> Wave:  # fmt: skip
        """Speech from codes, in a voice: (frames, codebooks) -> (frames * hop,), or its first `length` samples.

        Codes may be those of the first codebooks only; (frames,) is taken for the first one alone.
        """
        pieces = [*self.decode_pieces([codes], speaker, seed, temperature, top_p)]
        return np.concatenate(pieces or [np.zeros(0, np.float32)])[:length]

    @torch.inference_mode()
    def encode_blocks(self, blocks: Iterable[Wave]) -> Iterator[Codes]:
        """The codes of a wave that arrives in blocks of any size, a piece at a time; it is preprocessed here."""
        hop, context = self.hop, self.model.margin
        classes = (mulaw.compress(block) for block in preprocessed(blocks, self.sample_rate, warn))
        for piece, before, after in chunks_with_context(classes, max(PIECE_FRAMES, 2 * context) * hop, context * hop):
            short = -len(piece) % hop  # only the last piece: silence fills its last frame
            padded = np.pad(piece, (0, short), constant_values=mulaw.SILENCE)
            codes = self.model.encode(torch.from_numpy(padded).to(self.device)[None])[0, :, : self.codebooks]
            codes = codes.cpu().numpy()
            yield codes[before // hop : len(codes) - after // hop]

    def decode_pieces(
        self, pieces: Iterable[Codes], speaker: str, seed: int = 0, temperature: float = 1.0, top_p: float = 1.0
    ) -> Iterator[Wave]:
        """Speech from codes that arrive in pieces of any size; the draws depend on the seed alone.

        Raises:
            InputError: an unknown speaker, a code outside the codebook, a temperature or top_p out of range.
        """
        return (wave for _, wave in self.decode_many([Request(pieces, speaker, seed)], temperature, top_p))

    @torch.inference_mode()
    def decode_many(
        self, requests: Iterable[Request], temperature: float = 1.0, top_p: float = 1.0,
        progress: Callable[[float], None] = lambda _: None,
    ) -> Iterator[tuple[int, Wave]]:  # fmt: skip
        """Speech from several sequences of codes, spoken side by side: pairs of a request's number and a wave.

        Args:
            requests: are only asked for as they are needed.
            progress: told the seconds that have been spoken, of all together.
        """
        check_choice(temperature, top_p)
        if (
            not self.uses_source_filter
            and self.run.config.training.stage == "acoustic"
            and isinstance(self.conditioning, CodeConditioning)
        ):
            raise InputError(f"{self.run.folder}: has an untrained WaveNet; choose --vocoder source-filter")
        spoken = 0.0

        def tell(samples: int) -> None:
            nonlocal spoken
            spoken += samples / self.sample_rate
            progress(spoken)

        if self.uses_source_filter:
            for number, request in enumerate(requests):
                for wave in vocode(self.model, self._checked(request.pieces), self._index(request), request.seed):
                    tell(len(wave))
                    yield number, wave
            return
        segments = (one for number, request in enumerate(requests) for one in self._segments(number, request))
        groups = iter(lambda: list(islice(segments, STREAMS * self.threads)), [])
        waves = (pair for group in groups for pair in self._speak(group, temperature, top_p, tell))
        for number, parts in groupby(waves, lambda pair: pair[0].number):
            for wave in crossfade(((wave, one.lead * self.conditioning.step) for one, wave in parts), *self._seam):
                yield number, wave

    @property
    def _seam(self) -> tuple[int, int]:
        """Samples of an overlap (whole frames), and of the fade within it."""
        overlap = math.ceil(OVERLAP_S * self.sample_rate / self.hop) * self.hop
        return overlap, min(overlap, round(FADE_S * self.sample_rate))

    def _segments(self, number: int, request: Request) -> Iterator[_Segment]:
        hop = self.hop
        conditioning, parts = self.conditioning, hop // self.conditioning.step
        lead = math.ceil((conditioning.wavenet.receptive_field + self._seam[0]) / hop)
        length = max(round(SEGMENT_S * self.sample_rate / hop), 2 * lead)
        speakers = self._index(request)
        draws, held = np.random.default_rng(request.seed), np.zeros(0, np.float32)
        lookahead = conditioning.lookahead
        for piece, before, after in chunks_with_context(self._checked(request.pieces), length, lead + lookahead):
            latents = self.model.quantizer.decode(torch.from_numpy(piece).to(self.device)[None])
            own, led = len(piece) - before - after, max(0, before - lookahead)
            cond = conditioning.condition(latents, speakers)[0, :, parts * (before - led) : parts * (before + own)]
            held = np.concatenate([held[len(held) - led * hop :], draws.random(own * hop, dtype=np.float32)])
            yield _Segment(number, cond, torch.from_numpy(held).to(self.device), parts * led)

    def _speak(
        self, segments: list[_Segment], temperature: float, top_p: float, tell: Callable[[int], None]
    ) -> Iterator[tuple[_Segment, Wave]]:
        """The waves of some segments, leads included."""
        options: dict[str, Any] = {}
        if self.engine == "numba":
            options = {"precision": self.precision or "bfloat16", "threads": self.threads}
        generate, state, heard = engine_of(self.engine).generate, None, []
        longest = max(one.cond.shape[1] for one in segments)  # the others are silent after their end
        cond = torch.stack([F.pad(one.cond, (0, longest - one.cond.shape[1])) for one in segments])
        hop, wavenet = self.conditioning.step, self.conditioning.wavenet
        uniforms = torch.stack([F.pad(one.uniforms, (0, longest * hop - len(one.uniforms))) for one in segments])
        step = max(1, PIECE_FRAMES * 4 // len(segments))
        for start in range(0, longest, step):
            part = cond[:, :, start : start + step]
            drawn = uniforms[:, start * hop : (start + step) * hop]
            classes, state = generate(wavenet, part, drawn, temperature, state, top_p=top_p, **options)
            heard.append(classes.cpu().numpy())
            ends = [min(start + step, one.cond.shape[1]) for one in segments]
            tell(hop * sum(max(0, end - max(start, one.lead)) for end, one in zip(ends, segments, strict=True)))
        for one, classes in zip(segments, np.concatenate(heard, axis=1), strict=True):
            yield one, self.conditioning.wave(classes[: len(one.uniforms)])

    def _checked(self, pieces: Iterable[Codes]) -> Iterator[NDArray[np.int64]]:
        """Codes that are in the codebook."""
        sizes = self.model.quantizer.sizes
        for codes in pieces:
            piece = np.asarray(codes, np.int64)
            piece = piece if piece.ndim == 2 else piece[:, None]
            if piece.shape[1] > len(sizes):
                raise InputError(
                    f"codes of {piece.shape[1]} codebooks, the model has {len(sizes)}; give the first ones"
                )
            for column, size in zip(piece.T, sizes, strict=False):
                if len(column) and (column.min() < 0 or column.max() >= size):
                    wrong = column.max() if column.max() >= size else column.min()
                    raise InputError(f"code {wrong} is not in 0..{size - 1}")
            yield piece

    def _index(self, request: Request) -> Tensor:
        return torch.tensor([self.speaker_index(request.speaker)], device=self.device)

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


def _device(name: str) -> str:
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} cannot be used ({str(error).splitlines()[0]}); try cpu") from None
    return name
