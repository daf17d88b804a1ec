"""The outline of what codes say in a voice: its spectra and its pitch, before there is any sound."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.mel import LogMel
from vqspeech.nn.pitch import HIGHEST_HZ, LOWEST_HZ
from vqspeech.shapes import Cond, Pitch, Wave

BANDS, STEP_S = 80, 0.01
BLOCKS = 2
MIDDLE = math.log(LOWEST_HZ * HIGHEST_HZ) / 2
"""The logarithm of a middling pitch."""


class Outlined(NamedTuple):
    """What is foreseen of frames.

    `cond`: what the WaveNet is told; `spectra`: log-mel, (batch, frames, numbers); `voicing`: logits, `log_hz`: the
    pitch where there is a voice, (batch, frames).
    """

    cond: Cond
    spectra: Tensor
    voicing: Tensor
    log_hz: Tensor

    @property
    def pitch(self) -> Pitch:
        """F0 in Hz, 0 where silence or a whisper is likelier."""
        return torch.where(self.voicing > 0, self.log_hz.float().exp().clamp(LOWEST_HZ, HIGHEST_HZ), 0.0)


class Outline(nn.Module):
    """Convolutions over codes and speaker that foresee how each frame will sound, and tell the WaveNet what they know.

    ```
    cond --> conv 3 -> blocks -+-> + cond -> WaveNet
                               +-> log-mel spectra, voicing, log F0      learned from the recording, beside the bits
    ```
    A spectrum is learned in minutes where a waveform takes days: the codes need not wait for the WaveNet to find out
    what they are good for, and how fast the voice swings is known before it does.

    Args:
        sample_rate, hop: in Hz, and samples per code.
        cond: numbers in a frame of conditioning.
        channels: of the hidden layers.

    Source: the pitch as something that codes are asked to tell is after Garbacea et al., Low Bit-Rate Speech Coding
        with VQ-VAE and a WaveNet Decoder (2019), section 3.3.
    """

    def __init__(self, sample_rate: int, hop: int, cond: int, channels: int) -> None:
        super().__init__()
        self.parts = next(n for n in range(max(1, round(hop / (STEP_S * sample_rate))), hop + 1) if hop % n == 0)
        self.mel = LogMel(sample_rate, BANDS, hop // self.parts)
        self.first = nn.Conv1d(cond, channels, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(), nn.Conv1d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv1d(channels, channels, 1)
            )
            for _ in range(BLOCKS)
        )
        self.foreseen = nn.Conv1d(channels, self.parts * BANDS + 2, 1)
        self.told = nn.Conv1d(channels, cond, 1)
        nn.init.zeros_(self.told.weight)
        nn.init.zeros_(self.told.bias)  # type: ignore[arg-type]

    @property
    def context(self) -> int:
        """Frames on either side of a frame that change what is told of it."""
        return 1 + BLOCKS

    def forward(self, cond: Cond) -> Outlined:
        """What codes and speaker, (batch, cond, frames), will sound like."""
        x = self.first(cond)
        for block in self.blocks:
            x = x + block(x)
        x = F.relu(x)
        foreseen = self.foreseen(x).transpose(1, 2).float()
        return Outlined(cond + self.told(x), foreseen[:, :, 2:], foreseen[:, :, 0], foreseen[:, :, 1] + MIDDLE)

    def loss(self, outlined: Outlined, wave: Wave, pitch: Pitch) -> dict[str, Tensor]:
        """How far it was off: the spectra (mean absolute difference of log10 amplitudes), the pitch, the voicing."""
        spectra = self.mel(wave).transpose(1, 2).unflatten(1, (-1, self.parts)).flatten(2)
        voiced = (pitch > 0).float()
        off = (outlined.log_hz - pitch.clamp_min(1).log()).abs() * voiced
        return {
            "outline_spectrum": F.l1_loss(outlined.spectra, spectra),
            "outline_octaves": off.sum() / voiced.sum().clamp_min(1) / math.log(2),
            "outline_voicing": F.binary_cross_entropy_with_logits(outlined.voicing, voiced),
        }
