"""What a WaveNet is told when it speaks codes, and how its symbols become a wave."""

import importlib
import math
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqspeech.audio import mulaw
from vqspeech.errors import InputError
from vqspeech.models.vqvae import VQVAE
from vqspeech.models.wavenet_vocoder import AcousticFeatures, WaveNetVocoder
from vqspeech.nn.acoustic_model import N_MELS
from vqspeech.nn.f0 import interpolate_f0
from vqspeech.nn.wavenet import WaveNet
from vqspeech.shapes import Cond, Latents

Wave = NDArray[np.float32]


class Conditioning(Protocol):
    """A WaveNet, and what it is told of codes.

    `step`: samples a frame of conditioning; `lookahead`: codes on either side of one that change what is told of it.
    """

    wavenet: WaveNet
    step: int
    lookahead: int

    def condition(self, latents: Latents, speakers: Tensor) -> Cond:
        """(batch, dim, frames) -> (batch, cond, frames * hop / step)."""
        ...

    def wave(self, symbols: NDArray) -> Wave:
        """(time,) -> (time,)."""
        ...


class CodeConditioning:
    """The WaveNet of the paper, which is told codes and a speaker."""

    def __init__(self, model: VQVAE) -> None:
        self.wavenet, self.step, self.lookahead, self.condition = (
            model.wavenet,
            model.hop,
            model.lookahead,
            model.condition,
        )

    def wave(self, symbols: NDArray) -> Wave:
        """The wave of mu-law classes."""
        return mulaw.expand(symbols)


class AcousticConditioning:
    """A WaveNet vocoder, which is told the acoustic features that the model foresees."""

    def __init__(self, model: VQVAE, vocoder: WaveNetVocoder) -> None:
        assert model.acoustic_model, "this model has no outline"
        self.model, self.vocoder, self.wavenet, self.step = model, vocoder, vocoder.wavenet, vocoder.step
        self.parts = model.hop // vocoder.step
        self.lookahead = model.lookahead + math.ceil(vocoder.context / self.parts) + 1

    def condition(self, latents: Latents, speakers: Tensor) -> Cond:
        """What the vocoder is told of the features that follow from codes in a voice."""
        return self.vocoder.condition(predicted_features(self.model, latents, speakers, self.parts))

    def wave(self, symbols: NDArray) -> Wave:
        """The wave of mu-law classes of sub-bands."""
        return self.vocoder.wave(torch.from_numpy(symbols)[None].to(self.vocoder.gains.device))[0].cpu().numpy()


def predicted_features(model: VQVAE, latents: Latents, speakers: Tensor, parts: int) -> AcousticFeatures:
    """What a model predicts of quantised latents, (batch, dim, frames), in voices: `parts` frames a code."""
    prediction = model.predict_acoustics(latents, speakers)
    log_mel = prediction.log_mel.unflatten(2, (parts, N_MELS)).flatten(1, 2).transpose(1, 2)
    return AcousticFeatures(log_mel, interpolate_f0(prediction.f0, parts))


def check_choice(temperature: float, top_p: float) -> None:
    """Whether symbols can be drawn in this way.

    Raises:
        InputError: they cannot.
    """
    if not 0 <= temperature <= 10:
        raise InputError(f"temperature {temperature:g} is out of range; choose 0 (the likeliest) to 10")
    if not 0 < top_p <= 1:
        raise InputError(f"top_p {top_p:g} is out of range; choose above 0 (the likeliest) to 1 (all)")


def engine_of(name: str) -> Any:
    """The module of an engine."""
    return importlib.import_module(f"vqspeech.engines.{name}_engine")
