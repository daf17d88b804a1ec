"""A prior awake: it composes codes in a voice, goes on from a recording's, and tells a coder what to expect."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqspeech.engines.torch_engine import choose
from vqspeech.errors import InputError
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.inference.vocoders import check_choice, engine_of
from vqspeech.models import checkpoint
from vqspeech.models.prior import Prior

Codes = NDArray[np.integer]


class PriorSampler:
    """A trained prior and the model whose codes it knows.

    Args:
        run: a run directory of a prior, or what `checkpoint.load_prior` gave.
        model: speaks what is composed; its engine composes.

    Raises:
        InputError: no prior, or one that knows another model's codes.
    """

    def __init__(self, run: str | Path | checkpoint.PriorRun, model: SpeechCodec) -> None:
        self.run = run if isinstance(run, checkpoint.PriorRun) else checkpoint.load_prior(run)
        self.model, of = model, self.run.config.prior.model
        if of != model.run.digest:
            raise InputError(
                f"the prior knows the codes of model {of[:24]}, this one is {model.run.digest[:24]}; "
                "give its own with --model"
            )
        if self.codebooks != model.codebooks:
            raise InputError(
                f"the prior knows {self.codebooks} codebooks, the model has {model.codebooks}; train it again"
            )
        self._engine: Any = engine_of(model.engine)

    @property
    def codebooks(self) -> int:
        """Codes of a frame."""
        return self.run.model.codebooks

    @torch.inference_mode()
    def sample(
        self, speaker: str, frames: int, number: int = 1, seed: int = 0, temperature: float = 1.0, top_p: float = 1.0,
        prompt: Codes | None = None,
    ) -> NDArray[np.int64]:  # fmt: skip
        """Several sequences of new codes in a voice, (number, frames, codebooks).

        Args:
            seed: of the draws; sequence n depends on it and on n alone.
            prompt: codes that stand before the new ones, (frames before, codebooks).

        Raises:
            InputError: an unknown speaker, or a temperature or top_p out of range.
        """
        check_choice(temperature, top_p)
        cond = self._cond(speaker).expand(number, -1, -1).contiguous()
        wavenet, state, size = self.run.model.wavenet, None, frames * self.codebooks
        if prompt is not None and len(prompt):
            prompt_symbols = self.run.model.symbols(torch.from_numpy(np.asarray(prompt, np.int64))[None])
            _, state = self._engine.logits(wavenet, prompt_symbols.expand(number, -1).contiguous(), cond)
        draws = [np.random.default_rng([seed, one]).random(size, dtype=np.float32) for one in range(number)]
        uniforms = torch.from_numpy(np.stack(draws))
        if self.codebooks == 1:
            options = {"threads": self.model.threads} if self.model.engine == "numba" else {}
            codes, _ = self._engine.generate(wavenet, cond, uniforms, temperature, state, top_p=top_p, **options)
            return codes.long().numpy()[:, :, None]
        steps, codes = Steps(self._engine, self.run.model, cond, state), []
        for now in uniforms.unbind(1):
            codes.append(choose(steps.next(), now, temperature, top_p))
            steps.push(codes[-1])
        return torch.stack(codes, 1).view(number, frames, -1).numpy()

    def symbol_model(self, speaker: str = "") -> "PriorSymbolModel":
        """What the prior expects of a sequence, code by code; of a voice that it need not know."""
        return PriorSymbolModel(Steps(self._engine, self.run.model, self._cond(speaker, strange=True)))

    def _cond(self, speaker: str, strange: bool = False) -> Tensor:
        with torch.inference_mode():
            if speaker in self.run.speakers:
                return self.run.model.condition(torch.tensor([self.run.speakers.index(speaker)]))
            if strange:
                return self.run.model.unknown_speaker()
        self.model.speaker_index(speaker)  # tells the nearest names, if the model does not know it either
        raise InputError(f"the prior does not know speaker {speaker!r}, only {', '.join(self.run.speakers)}")


class Steps:
    """A prior code by code, of several sequences side by side: the codebooks take turns.

    Args:
        cond: what it is told, (batch, cond, 1).
        state: of the engine after whole frames; none at the beginning.
    """

    def __init__(self, engine: Any, prior: Prior, cond: Tensor, state: Any = None) -> None:
        self._engine, self._prior, self._cond, self._state, self._turn = engine, prior, cond, state, 0

    @torch.inference_mode()
    def next(self) -> Tensor:
        """The logits of the next code among those of its codebook, (batch, codes)."""
        nothing = torch.zeros(len(self._cond), 1, dtype=torch.long)  # logits come before the symbol, see `push`
        logits, self._state = self._engine.logits(self._prior.wavenet, nothing, self._cond, self._state)
        return logits[:, :, 0].unflatten(1, (-1, self._prior.codes))[:, self._turn]

    def push(self, codes: Tensor) -> None:
        """Tells which codes came, (batch,)."""
        assert self._state is not None
        symbols = (codes + self._turn * self._prior.codes)[:, None]
        known = isinstance(self._state.previous, Tensor)
        self._state = self._state._replace(previous=symbols if known else symbols.numpy())
        self._turn = (self._turn + 1) % self._prior.codebooks


class PriorSymbolModel:
    """A prior as `bitstream.Frequencies`: exact on machines whose floating-point sums agree, no further."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def next(self) -> NDArray[np.int64]:
        """The frequencies of the next code, (codes,): above 0, 65,536 in all."""
        logits = self._steps.next()[0].double().numpy()
        shares = np.exp(logits - logits.max())
        frequencies = np.floor(shares / shares.sum() * (65536 - len(shares))).astype(np.int64) + 1
        frequencies[np.argmax(frequencies)] += 65536 - frequencies.sum()
        return frequencies

    def push(self, code: int) -> None:
        """Tells which code came."""
        self._steps.push(torch.tensor([code]))
