"""Nearest known speaker of a recording, and its difference in level."""

import math
from pathlib import Path

import numpy as np
import torch

from vqspeech import audio
from vqspeech.audio import loudness, mulaw
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.nn.f0 import estimate_f0

HEARD_S = 60.0
"""How much of a recording is compared with voices."""
LEAST_DB, MOST_DB = -60.0, 30.0
"""By which a recording is made louder before it is encoded: above lies its noise."""


@torch.inference_mode()
def nearest(model: SpeechCodec, source: Path) -> str:
    """The voice whose usual spectrum and pitch are nearest to those of a recording where it sounds.

    The distance is that of log-mel spectra without their mean (log10 of amplitudes), and of mean log F0 in octaves:
    what the acoustic model says of each voice, so nothing is fitted.  Empty where the model foresees no spectra, or
    nothing sounds.

    Raises:
        InputError: a source that is no audio.
    """
    net = model.net
    if not net.acoustic_model:
        return ""
    wave = audio.read(source, model.sample_rate, end_s=HEARD_S) * np.float32(10 ** (lift_db(model, source) / 20))
    wave = mulaw.expand(mulaw.compress(np.pad(wave, (0, -len(wave) % net.hop))))
    batch = torch.from_numpy(wave).to(model.device)[None]
    f0 = estimate_f0(batch, model.sample_rate, net.hop)[0]
    voiced = f0 > 0
    if not voiced.any():
        return ""
    spectra = net.acoustic_model.mel(batch)[0].unflatten(1, (len(f0), -1)).mean(2)[:, voiced].mean(1)
    speaker_mean = net.acoustic_model.speaker_means(net.speaker.weight)
    shapes = speaker_mean.voiced.flatten(1) - speaker_mean.voiced.flatten(1).mean(1, keepdim=True)
    octaves = (speaker_mean.log_f0.flatten() - f0[voiced].log().mean()).abs() / math.log(2)
    return model.speakers[int(((shapes - (spectra - spectra.mean())).abs().mean(1) + octaves).argmin())]


def lift_db(model: SpeechCodec, source: Path, speaker: str = "") -> float:
    """What brings a recording to the level at which the model knows a voice, in steps of 0.5 dB, within full scale.

    Args:
        speaker: empty, or one of unknown level: the mean level of those that are known; 0 where none is.

    Raises:
        InputError: a source that is no audio.
    """
    levels = [model.level_db(one) for one in ([speaker] if speaker else model.speakers)]
    levels = [one for one in levels if not math.isnan(one)]
    heard = loudness.analyse_level(audio.blocks(source, model.sample_rate), model.sample_rate) if levels else None
    if not heard or math.isnan(heard.level_db):
        return 0.0
    most = min(MOST_DB, -20 * math.log10(max(heard.peak, 1e-6)))
    return math.floor(2 * max(LEAST_DB, min(sum(levels) / len(levels) - heard.level_db, most))) / 2
