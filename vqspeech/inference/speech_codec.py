"""Speech codec: a trained model that encodes waves to codes and decodes codes to waves."""

import difflib
import functools
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from vqspeech.audio import mulaw
from vqspeech.audio.preprocessing import preprocessed
from vqspeech.engines.protocol import ENGINES, load_engine
from vqspeech.errors import InputError, check_codebooks, warn
from vqspeech.inference.autoregressive_vocoder import AutoregressiveVocoder
from vqspeech.inference.conditioning import AcousticConditioning, CodeConditioning
from vqspeech.inference.encoding import encoding_lookahead, encoding_stages
from vqspeech.inference.sampling_config import SamplingConfig
from vqspeech.inference.source_filter_vocoder import SourceFilterVocoder
from vqspeech.inference.vocoder import IndexedRequest, Request, Vocoder
from vqspeech.models import checkpoint, hub
from vqspeech.nn.quantizer import Quantizer
from vqspeech.shapes import Codes, Wave
from vqspeech.system import hardware

CHUNK_FRAMES = 256
"""Frames that are encoded at once."""
VOCODERS = SOURCE_FILTER, WAVENET = "source-filter", "wavenet"


class SpeechCodec:
    """A trained VQ-VAE with a vocoder.

    Args:
        run: a run directory or another name of a model (see `hub.resolve`), or what `checkpoint.load` returned.
        vocoder: "wavenet", the default where the model has a WaveNet vocoder or no acoustic model; or "source-filter".
        device: a torch device; any but "cpu" needs the torch engine.
        precision: of the numba engine's weights: "bfloat16" (the default) or "float32".
        threads: of the numba engine; by default one per core.
        engine: of the WaveNet: "numba" (CPU, compiled) or "torch" (any device, the reference).
        wavenet: a run directory of a WaveNet vocoder, by default `vocoder/` in the model's folder if there is one; it
            takes the place of the model's own WaveNet.
        codebooks: the number of codebooks that it encodes with, the first ones; by default all.

    Raises:
        InputError: no such model, vocoder, engine, device or precision, or a combination that does not work.

    Example:
        ```
        model = SpeechCodec("exp/vqvae")
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
        if precision is not None:
            load_engine(engine, precision)
        hardware.keep_freed_memory()
        self.run = run if isinstance(run, checkpoint.Run) else checkpoint.load(run, _device(device))
        self.net, self.device, self.engine = self.run.model, device, engine
        self.precision, self.threads = precision or "bfloat16", threads or hardware.cores()
        self.codebooks = len(self.quantizers) if codebooks is None else codebooks
        check_codebooks(self.codebooks, len(self.quantizers), "the model")
        folder = self.run.folder
        self._wavenet_folder = Path(wavenet) if wavenet else folder / hub.VOCODER if folder else None
        self._vocoder_name = vocoder or (WAVENET if wavenet else self.default_vocoder)
        if self.uses_source_filter and not self.net.acoustic_model:
            raise InputError(f"{folder}: no acoustic model for the source-filter vocoder; choose {WAVENET}")
        if not self.uses_source_filter and not self.has_wavenet:
            raise InputError(f"{folder}: has an untrained WaveNet; choose --vocoder source-filter")

    @staticmethod
    def fastest_vocoder(run: checkpoint.Run) -> str:
        """The vocoder of a model that is fast enough for live use."""
        return SOURCE_FILTER if run.model.acoustic_model else WAVENET

    @functools.cached_property
    def _vocoder(self) -> Vocoder:
        """It is made when it is needed: an engine takes half a second to import."""
        if self.uses_source_filter:
            assert self.net.acoustic_model
            return SourceFilterVocoder(self.net, self.net.acoustic_model)
        if self.uses_own_wavenet:
            conditioning = CodeConditioning(self.net)
        else:
            assert self._wavenet_folder
            network = checkpoint.load_vocoder(self._wavenet_folder).model.to(self.device)
            conditioning = AcousticConditioning(self.net, network)
        engine = load_engine(self.engine, self.precision, self.threads)
        return AutoregressiveVocoder(self.net, conditioning, engine, self.threads)

    @property
    def uses_source_filter(self) -> bool:
        """Whether the source-filter vocoder decodes; the WaveNet does otherwise."""
        return self._vocoder_name == SOURCE_FILTER

    @property
    def uses_own_wavenet(self) -> bool:
        """Whether the WaveNet that was trained with the codes decodes them, given the speaker embedding."""
        return not self.uses_source_filter and not self._has_wavenet_vocoder

    @property
    def has_wavenet(self) -> bool:
        """Whether there is a trained WaveNet to decode with."""
        return self._has_wavenet_vocoder or self.run.config.training.stage != "acoustic"

    @property
    def default_vocoder(self) -> str:
        """The vocoder that sounds best: a WaveNet conditioned on acoustic features, if there is one."""
        return WAVENET if self._has_wavenet_vocoder or not self.net.acoustic_model else SOURCE_FILTER

    @property
    def _has_wavenet_vocoder(self) -> bool:
        return self._wavenet_folder is not None and (self._wavenet_folder / hub.WEIGHTS).is_file()

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz, of input and output."""
        return self.net.sample_rate

    @property
    def hop(self) -> int:
        """Samples per code."""
        return self.net.hop

    @property
    def quantizers(self) -> list[Quantizer]:
        """The codebooks; the first one carries most."""
        return cast("list[Quantizer]", list(self.net.quantizer.codebooks))

    @property
    def speakers(self) -> list[str]:
        """Names of the speakers, in the order of the speaker table."""
        return self.run.speakers

    def level_db(self, speaker: str) -> float:
        """Speech level of a speaker's recordings, dB relative to full scale; NaN where unknown."""
        return self.run.voices[speaker].level_db if speaker in self.run.voices else math.nan

    def encode(self, wave: Wave) -> Codes:
        """The codes of a wave, float, int16 or int32, of one or several channels -> (ceil(time / hop), codebooks).

        Raises:
            InputError: another type or shape, or samples that are not numbers.
        """
        return np.concatenate([*self.encode_blocks([wave])] or [np.zeros((0, self.codebooks), np.int64)])

    def decode(
        self, codes: Codes, speaker: str, sampling: SamplingConfig = SamplingConfig(), length: int | None = None
    ) -> Wave:
        """Speech of a speaker from codes: (frames, codebooks) -> (frames * hop,), or its first `length` samples.

        Codes may be those of the first codebooks only; (frames,) is taken as the first one alone.
        """
        waves = [*self.decode_pieces([codes], speaker, sampling)]
        return np.concatenate(waves or [np.zeros(0, np.float32)])[:length]

    def encode_blocks(
        self, blocks: Iterable[Wave], frames: int | None = CHUNK_FRAMES, lookahead_s: float | None = None
    ) -> Iterator[Codes]:
        """The codes of a wave that arrives in blocks of any size; it is preprocessed here.

        Args:
            frames: codes of a piece; None: as many as each block completes, for live use.
            lookahead_s: seconds that the means of spectra and F0 look ahead, at most and by default the model's
                `cmn_window_s`.
        """
        pieces: Iterable[NDArray] = (mulaw.compress(block) for block in preprocessed(blocks, self.sample_rate, warn))
        for stage in encoding_stages(self.net, lookahead_s):
            pieces = stage(pieces, frames, self.device)
        return (codes[:, : self.codebooks] for codes in pieces)

    def decode_pieces(
        self, pieces: Iterable[Codes], speaker: str, sampling: SamplingConfig = SamplingConfig()
    ) -> Iterator[Wave]:
        """Speech from codes that arrive in pieces of any size; the wave does not depend on how they are cut.

        Raises:
            InputError: an unknown speaker, a code outside the codebook, a temperature or top_p out of range.
        """
        return (wave for _, wave in self.decode_many([Request(pieces, speaker, sampling)]))

    def decode_many(
        self, requests: Iterable[Request], progress: Callable[[float], None] = lambda _: None
    ) -> Iterator[tuple[int, Wave]]:
        """Speech from several sequences of codes, decoded side by side: pairs of a request's number and a wave.

        Args:
            requests: are taken only when they are needed.
            progress: is called with the seconds that were decoded so far, of all together.
        """
        decoded = 0.0

        def add(samples: int) -> None:
            nonlocal decoded
            decoded += samples / self.sample_rate
            progress(decoded)

        return self._vocoder.decode(map(self._indexed, requests), add)

    def decode_live(
        self, pieces: Iterable[Codes], speaker: str, sampling: SamplingConfig = SamplingConfig()
    ) -> Iterator[Wave]:
        """Speech from codes that arrive in pieces: of each as much as is complete; see `Vocoder.stream`."""
        return self._vocoder.stream(self._indexed(Request(pieces, speaker, sampling)))

    def live_latency(self, lookahead_s: float | None = None) -> int:
        """Samples by which decoded speech lags behind a wave that arrives in whole codes, when both are live.

        It is the sum of what features, encoder, acoustic model and vocoder look ahead.
        """
        lookahead = encoding_lookahead(encoding_stages(self.net, lookahead_s), self.hop)
        return math.ceil(lookahead / self.hop) * self.hop + self._vocoder.lookahead

    def _indexed(self, request: Request) -> IndexedRequest:
        request.sampling.check()
        speaker = torch.tensor([self.speaker_index(request.speaker)], device=self.device)
        return IndexedRequest(self._checked(request.pieces), speaker, request.sampling)

    def _checked(self, pieces: Iterable[Codes]) -> Iterator[NDArray[np.int64]]:
        """Codes (frames, codebooks), each within its codebook."""
        sizes = self.net.quantizer.sizes
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

    def speaker_index(self, name: str) -> int:
        """Index of a speaker in the speaker table.

        Raises:
            InputError: an unknown speaker; the message offers the nearest names.
        """
        if name in self.speakers:
            return self.speakers.index(name)
        near = difflib.get_close_matches(name, self.speakers, 3, 0.3) or self.speakers[:3]
        raise InputError(
            f"unknown speaker {name!r}; nearest of {len(self.speakers)} speakers: {', '.join(near)}; "
            "see `vqspeech speakers`"
        )


def _device(name: str) -> str:
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} cannot be used ({str(error).splitlines()[0]}); try cpu") from None
    return name
