"""The outline of what codes say in a voice: its spectra and its pitch, before there is any sound."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.mel import LogMel, cosines, relative
from vqspeech.nn.pitch import HIGHEST_HZ, LOWEST_HZ
from vqspeech.shapes import Cond, Latents, Pitch, Signal

BANDS, STEP_S = 80, 0.01
BLOCKS = 2
APART = 4
"""Bands between which a spectrum's slope is looked at."""
CEPSTRA, AROUND_S, SHARE = 13, 2.0, 0.3
"""Cepstra that are looked at, seconds around whose mean is taken from them, what those of an outline count."""
ALONE, REACH_S, MOVES_S = 2 * CEPSTRA - 1, 0.04, 0.06
"""Numbers that a code tells alone; seconds before and after that slopes are measured over; seconds that they are told
for, which makes them as large as cepstra."""
PULL_S, LIVELIEST = 15.0, 1.0
"""Seconds of speech that the belief that a voice has no manner of its own is worth; the most that spectra get livelier
by, as a share."""
MIDDLE = math.log(LOWEST_HZ * HIGHEST_HZ) / 2
"""The logarithm of a middling pitch."""


class Outlined(NamedTuple):
    """What is foreseen of frames, (batch, frames) and more.

    `told`: what the WaveNet is told beside the codes; `hidden`: the layer that all else is a linear map of; `spectra`:
    log-mel; `voicing`: logits; `log_hz`: the pitch where there is a voice.
    """

    told: Cond
    hidden: Tensor
    spectra: Tensor
    voicing: Tensor
    log_hz: Tensor

    @property
    def pitch(self) -> Pitch:
        """F0 in Hz, 0 where silence or a whisper is likelier."""
        return torch.where(self.voicing > 0, self.log_hz.float().exp().clamp(LOWEST_HZ, HIGHEST_HZ), 0.0)


class Voice(NamedTuple):
    """What is usual of a voice: log-mel spectra where it sounds and where not, (batch, 1, numbers), and log F0."""

    sounding: Tensor
    silent: Tensor
    log_hz: Tensor


class Outline(nn.Module):
    """Convolutions over codes that foresee how each frame will sound: what is usual of the voice, and how it departs.

    ```
    codes --> conv 3 -+-> blocks -+-> + context -> WaveNet
                      |           +-> voicing, departures --+
    voice --> linear -+-------------> what is usual --------+-> log-mel spectra, log F0
    ```
    A spectrum is learned in minutes where a waveform takes days: the codes need not wait for the WaveNet to find out
    what they are good for.  Codes are asked for departures only, so another voice is another usual; that a voice has
    its own way to depart pays only where codes tell nothing of the one that spoke, see `nn.hearing`.

    Args:
        sample_rate, hop: in Hz, and samples per code.
        context: numbers that tell of a code and its neighbours.
        voice: numbers in the vector of a voice.
        channels: of the hidden layers.

    Source: the pitch as something that codes are asked to tell is after Garbacea et al., Low Bit-Rate Speech Coding
        with VQ-VAE and a WaveNet Decoder (2019), section 3.3.
    """

    lifted: Tensor

    def __init__(self, sample_rate: int, hop: int, context: int, voice: int, channels: int) -> None:
        super().__init__()
        self.parts = next(n for n in range(max(1, round(hop / (STEP_S * sample_rate))), hop + 1) if hop % n == 0)
        self.mel = LogMel(sample_rate, BANDS, hop // self.parts)
        weights = (1 + torch.arange(CEPSTRA)) ** 0.8 / 2
        self.register_buffer("lifted", (F.normalize(cosines(BANDS, CEPSTRA)) * weights[:, None]).t(), persistent=False)
        self.first = nn.Conv1d(context, channels, 3, padding=1)
        self.speaker = nn.Linear(voice, channels)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(), nn.Conv1d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv1d(channels, channels, 1)
            )
            for _ in range(BLOCKS)
        )
        self.foreseen = nn.Conv1d(channels, self.parts * BANDS + 2, 1)
        self.usual = nn.Linear(voice, 2 * BANDS + 1)
        self.told = nn.Conv1d(channels, context, 1)
        nn.init.zeros_(self.told.weight)
        nn.init.zeros_(self.told.bias)  # type: ignore[arg-type]

    @property
    def context(self) -> int:
        """Frames on either side of a frame that change what is foreseen of it."""
        return 1 + BLOCKS

    def forward(self, context: Cond, voices: Tensor) -> Outlined:
        """How codes, (batch, context, frames), will sound in voices, (batch, voice)."""
        x = self.first(context) + self.speaker(voices)[:, :, None]
        for block in self.blocks:
            x = x + block(x)
        x = F.relu(x)
        foreseen, usual = self.foreseen(x).transpose(1, 2).float(), self.voice(voices)
        voicing = foreseen[:, :, 0]
        sounding = torch.sigmoid(voicing)[:, :, None]
        spectrum = (usual.sounding * sounding + usual.silent * (1 - sounding)).detach()  # they learn in `loss`
        return Outlined(
            self.told(x),
            x.transpose(1, 2),
            foreseen[:, :, 2:] + spectrum.repeat(1, 1, self.parts),
            voicing,
            foreseen[:, :, 1] + usual.log_hz.detach(),
        )

    def voice(self, voices: Tensor) -> Voice:
        """What is usual of voices, (batch, voice)."""
        usual = self.usual(voices)[:, None].float()
        return Voice(usual[:, :, :BANDS], usual[:, :, BANDS:-1], usual[:, :, -1] + MIDDLE)

    @property
    def mannerisms(self) -> tuple[int, int]:
        """The shape of a voice's manner; see `mannered`."""
        return self.foreseen.in_channels + 3, self.parts * BANDS

    def mannered(self, outlined: Outlined, manners: Tensor) -> Outlined:
        """The same in the manner of voices, (batch, *mannerisms): each departs from what is usual in its own way.

        What each number of the hidden layer, and a one, adds to a frame's spectra; then, in the last two lines, how
        much livelier they are where it sounds, and that share of their mean, which stays.

        Source: a linear map for each voice, fitted by least squares, is that of Valbret, Moulines and Tubach, Voice
            transformation using PSOLA technique (1992), here from the last hidden layer; the variance that a mean lacks
            is given back after Toda, Black and Tokuda (2007).
        """
        moved = outlined.spectra + _with_one(outlined.hidden) @ manners[:, :-2]
        lively, still = manners[:, -2:].unsqueeze(2).unbind(1)
        return outlined._replace(spectra=moved + torch.sigmoid(outlined.voicing)[:, :, None] * (lively * moved - still))

    def manner(self, outlines: Sequence[Outlined], spectra: Sequence[Tensor]) -> Tensor:
        """The manner of a voice, from what was foreseen of its recordings and their spectra: of `mannerisms`.

        The least squares of what was off, pulled towards nothing, in closed form.

        Args:
            outlines: of a batch of one each.
            spectra: (1, bands, steps) each, by `mel`.
        """
        said = torch.cat([self._by_part(one).flatten(2)[0] for one in spectra]).double().cpu()
        foreseen = torch.cat([one.spectra[0] for one in outlines]).double().cpu()
        sounding = torch.cat([one.voicing[0] > 0 for one in outlines]).cpu()
        hidden = _with_one(torch.cat([one.hidden[0] for one in outlines])).double().cpu()
        pull = torch.full((hidden.shape[1],), PULL_S * self.mel.sizes[0] / (self.parts * self.mel.step))
        pull *= hidden.var(0, correction=0).mean()
        pull[-1] *= 1e-3  # what is added to all frames is known soonest
        lines = torch.linalg.solve(hidden.t() @ hidden + (pull + 1e-6).diag(), hidden.t() @ (said - foreseen))
        moved = (foreseen + hidden @ lines)[sounding]
        enough = len(moved) > 1
        lively = said[sounding].std(0) / (moved.std(0) + 1e-6) - 1 if enough else torch.zeros(said.shape[1])
        lively = lively.clamp(0, LIVELIEST)
        return torch.cat([lines, torch.stack([lively, lively * (moved.mean(0) if enough else 0.0)])]).float()

    def loss(self, outlined: Outlined, voices: Tensor, spectra: Signal, pitch: Pitch) -> dict[str, Tensor]:
        """How far it was off: the spectra (mean absolute difference of log10 amplitudes), the pitch, the voicing.

        `..._formants` is how far off the spectra's slopes are: peaks tell words apart, and the level does not; in
        `..._cepstra` coarse and fine shapes count alike.  `..._voice_...` is how far a recording is from what is usual
        of its voice alone.

        Args:
            spectra: of the recordings, by `mel`.
        """
        spectra = self._by_part(spectra)
        voiced, log_hz, usual = (pitch > 0).float(), pitch.clamp_min(1).log(), self.voice(voices)
        expected = torch.where(voiced[:, :, None] > 0, usual.sounding, usual.silent)
        return {
            "outline_spectrum": (off := outlined.spectra.unflatten(2, (-1, BANDS)) - spectra).abs().mean(),
            "outline_formants": (off[..., APART:] - off[..., :-APART]).abs().mean(),
            "outline_cepstra": SHARE * self._cepstra(off).abs().mean(),
            "outline_octaves": _octaves(outlined.log_hz, log_hz, voiced),
            "outline_voicing": F.binary_cross_entropy_with_logits(outlined.voicing, voiced),
            "outline_voice_spectrum": (expected[:, :, None] - spectra).abs().mean(),
            "outline_voice_octaves": _octaves(usual.log_hz, log_hz, voiced),
        }

    def alone(self, told: Latents, spectra: Signal) -> Tensor:
        """How far off the cepstra are, and how they move, that each code tells by itself: no neighbours, no voice.

        A code with neighbours need not say what its own frame is; one that is asked alone must, as a phone would.

        Args:
            told: (batch, ALONE, frames).
            spectra: as in `loss`; what stays for seconds is taken from them, and the level is not asked for.
        """
        rate = self.mel.sizes[0] / self.mel.step  # steps a second
        cepstra = self.lifted.t() @ relative(spectra, round(AROUND_S * rate))
        moves = MOVES_S * rate * slopes(cepstra, max(1, round(REACH_S * rate)))
        heard = torch.cat([cepstra[:, 1:], moves], dim=1)
        heard = heard.unflatten(2, (-1, self.parts)).mean(3)  # of a frame
        return (told.float() - heard).abs().mean()

    def _by_part(self, spectra: Signal) -> Tensor:
        return spectra.transpose(1, 2).unflatten(1, (-1, self.parts))  # (batch, frames, parts, bands)

    def _cepstra(self, spectra: Tensor) -> Tensor:
        """(..., bands) -> (..., CEPSTRA), of a variance of about 1 each, in all corpora that it was looked at in.

        Source: weights that grow with the place are those of Juang et al., On the use of bandpass liftering (1987).
        """
        return spectra @ self.lifted


def _with_one(hidden: Tensor) -> Tensor:
    return F.pad(hidden.float(), (0, 1), value=1.0)


def slopes(x: Signal, reach: int) -> Signal:
    """How each line changes a step, by a straight line through some steps before and after: (batch, lines, steps).

    Source: the delta coefficients of Furui, Cepstral analysis technique for automatic speaker verification (1981).
    """
    steps = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    around = F.pad(x, (reach, reach), mode="replicate").unfold(2, 2 * reach + 1, 1)
    return around @ (steps / steps.square().sum())


def _octaves(one: Tensor, other: Tensor, where: Tensor) -> Tensor:
    """The mean absolute difference of logarithms of pitch, in octaves, where there is one."""
    return ((one - other).abs() * where).sum() / where.sum().clamp_min(1) / math.log(2)
