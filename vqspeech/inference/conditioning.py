"""Conditioning of a WaveNet at inference: by codes, or by predicted acoustic features."""

import math
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqspeech.audio import mulaw
from vqspeech.models.vqvae import VQVAE
from vqspeech.models.wavenet_vocoder import AcousticFeatures, WaveNetVocoder
from vqspeech.nn.acoustic_model import N_MELS
from vqspeech.nn.f0 import interpolate_f0
from vqspeech.nn.shapes import Cond, Latents
from vqspeech.nn.wavenet import WaveNet
from vqspeech.shapes import Wave


class Conditioning(Protocol):
    """A WaveNet with its conditioning.

    `samples_per_frame`: samples a frame of conditioning; `left_context`, `right_context`: number of earlier and of
    later codes that the conditioning of a code depends on (among them, F0 is interpolated through unvoiced frames);
    `filter_context`: symbols on either side of a symbol that its wave depends on; `temperatures`: of the bands,
    relative to the temperature that is asked for, (bands,).
    """

    wavenet: WaveNet
    samples_per_frame: int
    left_context: int
    right_context: int
    filter_context: int
    temperatures: Tensor

    def condition(self, latents: Latents, speakers: Tensor) -> Cond:
        """(batch, dim, codes) -> (batch, cond, codes * hop / samples_per_frame)."""
        ...

    def wave(self, symbols: NDArray[np.integer]) -> Wave:
        """The wave of a sequence of symbols: (time,) -> (time,)."""
        ...


class CodeConditioning:
    """Conditioning by codes and speaker, as in the paper; the WaveNet predicts one full band."""

    def __init__(self, model: VQVAE) -> None:
        self._model = model
        self.wavenet, self.samples_per_frame = model.wavenet, model.hop
        self.left_context, self.right_context, self.filter_context = model.left_context, model.right_context, 0
        self.temperatures = torch.ones(1)

    def condition(self, latents: Latents, speakers: Tensor) -> Cond:
        """See `VQVAE.condition`."""
        return self._model.condition(latents, speakers)

    def wave(self, symbols: NDArray[np.integer]) -> Wave:
        """The wave of mu-law classes."""
        return mulaw.expand(symbols)


class AcousticConditioning:
    """Conditioning by predicted log-mel, F0 and voicing; the WaveNet vocoder predicts sub-bands."""

    def __init__(self, model: VQVAE, vocoder: WaveNetVocoder) -> None:
        self._model, self._vocoder = model, vocoder
        self.wavenet, self.samples_per_frame = vocoder.wavenet, vocoder.step
        self._frames_per_code = model.hop // vocoder.step
        context = math.ceil((vocoder.context + self._frames_per_code / 2) / self._frames_per_code)
        self.left_context, self.right_context = model.left_context + context, model.right_context + context
        self.filter_context, self.temperatures = vocoder.filterbank.context * vocoder.bands, vocoder.temperatures

    def condition(self, latents: Latents, speakers: Tensor) -> Cond:
        """The conditioning of the acoustic features that the acoustic model predicts."""
        return self._vocoder.condition(predicted_features(self._model, latents, speakers, self._frames_per_code))

    def wave(self, symbols: NDArray[np.integer]) -> Wave:
        """The wave of mu-law classes of sub-bands."""
        return self._vocoder.wave(torch.from_numpy(symbols)[None].to(self._vocoder.gains.device))[0].cpu().numpy()


def predicted_features(model: VQVAE, latents: Latents, speakers: Tensor, frames_per_code: int) -> AcousticFeatures:
    """Acoustic features predicted from quantised latents, (batch, dim, codes), of speakers, (batch,)."""
    prediction = model.predict_acoustics(latents, speakers)
    log_mel = prediction.log_mel.unflatten(2, (frames_per_code, N_MELS)).flatten(1, 2).transpose(1, 2)
    return AcousticFeatures(log_mel, interpolate_f0(prediction.f0, frames_per_code))
