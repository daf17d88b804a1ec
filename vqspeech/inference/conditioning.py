"""Conditioning of a WaveNet at inference: by codes, or by predicted acoustic features."""

import math
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqspeech.audio import mulaw
from vqspeech.models.vqvae import VQVAE
from vqspeech.models.wavenet_vocoder import AcousticFeatures, WaveNetVocoder
from vqspeech.nn.acoustic_model import N_MELS
from vqspeech.nn.f0 import interpolate_f0
from vqspeech.nn.shapes import Cond, Latents, Signal
from vqspeech.nn.wavenet import WaveNet
from vqspeech.shapes import Wave


class Conditioned(NamedTuple):
    """Conditioning of a WaveNet, (batch, cond, frames), and the log-mel spectra that its wave is to have.

    `log_mel`: (batch, bands, frames); no bands where nothing is known of its spectra.
    """

    cond: Cond
    log_mel: Signal


class Conditioning(Protocol):
    """A WaveNet with its conditioning.

    `samples_per_frame`: samples a frame of conditioning; `left_context`, `right_context`: number of earlier and of
    later codes that the conditioning of a code depends on (among them, F0 is interpolated through unvoiced frames);
    `wave_context`: frames on either side of a frame whose symbols its wave depends on; `temperatures`: of the
    sub-bands, relative to the temperature that is asked for, (bands,).
    """

    wavenet: WaveNet
    samples_per_frame: int
    left_context: int
    right_context: int
    wave_context: int
    temperatures: Tensor

    def condition(self, latents: Latents, speakers: Tensor) -> Conditioned:
        """Of codes, (batch, dim, codes); frames are codes * hop / samples_per_frame."""
        ...

    def wave(self, symbols: NDArray[np.integer], log_mel: NDArray[np.float32]) -> Wave:
        """The wave of symbols, (time,), with log-mel spectra, (bands, frames): (time,)."""
        ...


class CodeConditioning:
    """Conditioning by codes and speaker, as in the paper; the WaveNet predicts one full band."""

    def __init__(self, model: VQVAE) -> None:
        self._model = model
        self.wavenet, self.samples_per_frame = model.wavenet, model.hop
        self.left_context, self.right_context, self.wave_context = model.left_context, model.right_context, 0
        self.temperatures = torch.ones(1)

    def condition(self, latents: Latents, speakers: Tensor) -> Conditioned:
        """See `VQVAE.condition`."""
        cond = self._model.condition(latents, speakers)
        return Conditioned(cond, cond[:, :0])

    def wave(self, symbols: NDArray[np.integer], log_mel: NDArray[np.float32]) -> Wave:
        """The wave of mu-law classes; `log_mel` has no bands."""
        return mulaw.expand(symbols)


class AcousticConditioning:
    """Conditioning by predicted log-mel, F0 and voicing; the WaveNet vocoder predicts sub-bands."""

    def __init__(self, model: VQVAE, vocoder: WaveNetVocoder) -> None:
        self._model, self._vocoder = model, vocoder
        self.wavenet, self.samples_per_frame = vocoder.wavenet, vocoder.step
        self._frames_per_code = model.hop // vocoder.step
        context = math.ceil((vocoder.context + self._frames_per_code / 2) / self._frames_per_code)
        self.left_context, self.right_context = model.left_context + context, model.right_context + context
        self.wave_context, self.temperatures = vocoder.wave_context, vocoder.temperatures

    def condition(self, latents: Latents, speakers: Tensor) -> Conditioned:
        """The conditioning of the acoustic features that the acoustic model predicts."""
        features = predicted_features(self._model, latents, speakers, self._frames_per_code)
        return Conditioned(self._vocoder.condition(features), features.log_mel)

    def wave(self, symbols: NDArray[np.integer], log_mel: NDArray[np.float32]) -> Wave:
        """The wave of mu-law classes of sub-bands, with the predicted spectra."""
        inputs = (torch.from_numpy(one)[None].to(self._vocoder.gains.device) for one in (symbols, log_mel))
        return self._vocoder.wave(*inputs)[0].clamp(-1, 1).cpu().numpy()


def predicted_features(model: VQVAE, latents: Latents, speakers: Tensor, frames_per_code: int) -> AcousticFeatures:
    """Acoustic features predicted from quantised latents, (batch, dim, codes), of speakers, (batch,)."""
    prediction = model.predict_acoustics(latents, speakers)
    log_mel = prediction.log_mel.unflatten(2, (frames_per_code, N_MELS)).flatten(1, 2).transpose(1, 2)
    return AcousticFeatures(log_mel, interpolate_f0(prediction.f0, frames_per_code))
