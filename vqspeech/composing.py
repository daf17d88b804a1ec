"""A prior awake: it composes codes in a voice, goes on from a recording's, and tells a coder what to expect."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqspeech import checkpoint
from vqspeech.errors import InputError
from vqspeech.synthesis import Model
from vqspeech.vocoding import check_choice, engine_of

Codes = NDArray[np.integer]


class Composer:
    """A trained prior and the model whose codes it knows.

    Args:
        run: a run directory of a prior, or what `checkpoint.load_prior` gave.
        model: speaks what is composed; its engine composes.

    Raises:
        InputError: no prior, or one that knows another model's codes.
    """

    def __init__(self, run: str | Path | checkpoint.PriorRun, model: Model) -> None:
        self.run = run if isinstance(run, checkpoint.PriorRun) else checkpoint.load_prior(run)
        self.model, of = model, self.run.config.prior.model
        if of != model.run.digest:
            raise InputError(
                f"the prior knows the codes of model {of[:24]}, this one is {model.run.digest[:24]}; "
                "give its own with --model"
            )
        self._engine: Any = engine_of(model.engine)

    @torch.inference_mode()
    def compose(
        self, speaker: str, frames: int, number: int = 1, seed: int = 0, temperature: float = 1.0, top_p: float = 1.0,
        prompt: Codes | None = None,
    ) -> NDArray[np.int64]:  # fmt: skip
        """Several sequences of new codes in a voice, (number, frames).

        Args:
            seed: of the draws; sequence n depends on it and on n alone.
            prompt: codes that stand before the new ones, (frames before,).

        Raises:
            InputError: an unknown speaker, or a temperature or top_p out of range.
        """
        check_choice(temperature, top_p)
        cond = self._cond(speaker).expand(number, -1, -1).contiguous()
        options = {"threads": self.model.threads} if self.model.engine == "numba" else {}
        state = None
        if prompt is not None and len(prompt):
            told = torch.from_numpy(np.asarray(prompt, np.int64))[None].expand(number, -1).contiguous()
            _, state = self._engine.logits(self.run.model.wavenet, told, cond)
        draws = [np.random.default_rng([seed, one]).random(frames, dtype=np.float32) for one in range(number)]
        uniforms = torch.from_numpy(np.stack(draws))
        codes, _ = self._engine.generate(
            self.run.model.wavenet, cond, uniforms, temperature, state, top_p=top_p, **options
        )
        return codes.long().numpy()

    def expect(self, speaker: str = "") -> "Expectation":
        """What the prior expects of a sequence, code by code; of a voice that it need not know."""
        return Expectation(self._engine, self.run.model.wavenet, self._cond(speaker, strange=True))

    def _cond(self, speaker: str, strange: bool = False) -> Tensor:
        with torch.inference_mode():
            if speaker in self.run.speakers:
                return self.run.model.condition(torch.tensor([self.run.speakers.index(speaker)]))
            if strange:
                return self.run.model.stranger()
        self.model.speaker_index(speaker)  # tells the nearest names, if the model does not know it either
        raise InputError(f"the prior does not know speaker {speaker!r}, only {', '.join(self.run.speakers)}")


class Expectation:
    """A prior as `bitstream.Frequencies`: exact on machines whose floating-point sums agree, no further."""

    def __init__(self, engine: Any, wavenet: Any, cond: Tensor) -> None:
        self._engine, self._wavenet, self._cond, self._state = engine, wavenet, cond, None

    @torch.inference_mode()
    def next(self) -> NDArray[np.int64]:
        """The frequencies of the next code, (codes,): above 0, 65,536 in all."""
        nothing = torch.zeros(1, 1, dtype=torch.long)  # the logits come before the symbol, which `push` corrects
        logits, self._state = self._engine.logits(self._wavenet, nothing, self._cond, self._state)
        shares = np.exp(logits[0, :, 0].double().numpy() - float(logits.max()))
        frequencies = np.floor(shares / shares.sum() * (65536 - len(shares))).astype(np.int64) + 1
        frequencies[np.argmax(frequencies)] += 65536 - frequencies.sum()
        return frequencies

    def push(self, code: int) -> None:
        """Tells which code came."""
        assert self._state is not None
        known = self._state.previous
        changed = torch.full_like(known, code) if isinstance(known, Tensor) else np.full_like(known, code)
        self._state = self._state._replace(previous=changed)
