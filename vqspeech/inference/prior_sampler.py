"""Sampling from a prior: new codes of a speaker, continuations of a recording, and distributions for a coder."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqspeech.engines.protocol import Engine, load_engine
from vqspeech.engines.torch_engine import sample_inverse_cdf
from vqspeech.errors import InputError
from vqspeech.inference.sampling_config import SamplingConfig
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.models import checkpoint
from vqspeech.models.prior import Prior
from vqspeech.shapes import Codes

FREQUENCY_SUM = 1 << 16


class PriorSampler:
    """A trained prior with the model whose codes it predicts.

    Args:
        run: a run directory of a prior, or what `checkpoint.load_prior` returned.
        model: the codec; its engine and threads sample the prior.

    Raises:
        InputError: no prior, or one of another model's codes.
    """

    def __init__(self, run: str | Path | checkpoint.PriorRun, model: SpeechCodec) -> None:
        self.run = run if isinstance(run, checkpoint.PriorRun) else checkpoint.load_prior(run)
        self.model, trained_on = model, self.run.config.prior.model
        if trained_on != model.run.digest:
            raise InputError(
                f"the prior was trained on codes of model {trained_on[:24]}, this one is {model.run.digest[:24]}; "
                "choose its model with --model"
            )
        if self.codebooks != model.codebooks:
            raise InputError(
                f"the prior has {self.codebooks} codebooks, the model has {model.codebooks}; train the prior again"
            )
        self._engine = load_engine(model.engine, threads=model.threads)

    @property
    def codebooks(self) -> int:
        """Codes of a frame."""
        return self.run.model.codebooks

    @torch.inference_mode()
    def sample(
        self, speaker: str, frames: int, number: int = 1, sampling: SamplingConfig = SamplingConfig(),
        prompt: Codes | None = None,
    ) -> NDArray[np.int64]:  # fmt: skip
        """Several sequences of new codes of a speaker, (number, frames, codebooks).

        Args:
            sampling: sequence n depends on its seed and on n alone.
            prompt: the codes before the new ones, (frames before, codebooks).

        Raises:
            InputError: an unknown speaker, or a temperature or top_p out of range.
        """
        sampling.check()
        temperature, top_p, seed = sampling
        cond = self._cond(speaker).expand(number, -1, -1).contiguous()
        prior, state, size = self.run.model, None, frames * self.codebooks
        if prompt is not None and len(prompt):
            symbols = prior.symbols(torch.from_numpy(np.asarray(prompt, np.int64))[None])
            _, state = self._engine.logits(prior.wavenet, symbols.expand(number, -1).contiguous(), cond)
        draws = [np.random.default_rng([seed, sequence]).random(size, dtype=np.float32) for sequence in range(number)]
        uniforms = torch.from_numpy(np.stack(draws))
        if self.codebooks == 1:
            codes, _ = self._engine.generate(prior.wavenet, cond, uniforms, temperature, state, top_p=top_p)
            return codes.long().numpy()[:, :, None]
        steps, columns = PriorSteps(self._engine, prior, cond, state), []
        for draw in uniforms.unbind(1):
            columns.append(sample_inverse_cdf(steps.next(), draw, temperature, top_p))
            steps.push(columns[-1])
        return torch.stack(columns, 1).view(number, frames, -1).numpy()

    def symbol_model(self, speaker: str = "") -> "PriorSymbolModel":
        """The prior as the symbol model of an entropy coder; an unknown speaker is the mean of the known ones."""
        return PriorSymbolModel(PriorSteps(self._engine, self.run.model, self._cond(speaker, may_be_unknown=True)))

    def _cond(self, speaker: str, may_be_unknown: bool = False) -> Tensor:
        with torch.inference_mode():
            if speaker in self.run.speakers:
                return self.run.model.condition(torch.tensor([self.run.speakers.index(speaker)]))
            if may_be_unknown:
                return self.run.model.unknown_speaker()
        self.model.speaker_index(speaker)  # raises with the nearest names where the model does not know it either
        raise InputError(f"the prior does not know speaker {speaker!r}; choose from {', '.join(self.run.speakers)}")


class PriorSteps:
    """A prior evaluated code by code, for several sequences side by side; the codebooks of a frame follow in turn.

    Args:
        cond: the conditioning, (batch, cond, 1).
        state: of the engine after whole frames; none at the beginning.
    """

    def __init__(self, engine: Engine[Any], prior: Prior, cond: Tensor, state: Any = None) -> None:
        self._engine, self._prior, self._cond, self._state = engine, prior, cond, state
        self._previous: Tensor | None = None
        self._codebook = 0

    @torch.inference_mode()
    def next(self) -> Tensor:
        """Logits of the next code within its codebook, (batch, codebook_size)."""
        logits, self._state = self._engine.step(self._prior.wavenet, self._cond, self._previous, self._state)
        return logits[:, :, 0].unflatten(1, (-1, self._prior.codes))[:, self._codebook]

    def push(self, codes: Tensor) -> None:
        """Append the codes that were chosen, (batch,)."""
        self._previous = (codes + self._codebook * self._prior.codes)[:, None]
        self._codebook = (self._codebook + 1) % self._prior.codebooks


class PriorSymbolModel:
    """A prior as `bitstream.SymbolModel`: exact only between machines whose floating-point sums agree."""

    def __init__(self, steps: PriorSteps) -> None:
        self._steps = steps

    def next(self) -> NDArray[np.int64]:
        """Frequencies of the next code, (codebook_size,): above 0, FREQUENCY_SUM in all."""
        logits = self._steps.next()[0].double().numpy()
        shares = np.exp(logits - logits.max())
        frequencies = np.floor(shares / shares.sum() * (FREQUENCY_SUM - len(shares))).astype(np.int64) + 1
        frequencies[np.argmax(frequencies)] += FREQUENCY_SUM - frequencies.sum()
        return frequencies

    def push(self, code: int) -> None:
        """Append the code that was coded."""
        self._steps.push(torch.tensor([code]))
