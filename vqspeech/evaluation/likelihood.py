"""Likelihood of held-out data: bits per sample of a VQ-VAE, bits per code of a prior."""

import importlib.util
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from vqspeech.audio import mulaw
from vqspeech.data.archives import CodeShards, MulawShards
from vqspeech.data.batches import utterance_batch
from vqspeech.evaluation import metrics
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.models import checkpoint
from vqspeech.models.prior import Prior
from vqspeech.nn.quantizer import codebook_usage

LISTEN_S = 3.0


class EvalResult(NamedTuple):
    """Results of a model on held-out data, with waves (time,) to listen to."""

    numbers: dict[str, float]
    recordings: dict[str, NDArray[np.float32]]
    sample_rate: int


@torch.inference_mode()
def measure(run: checkpoint.Run, held_out: list[MulawShards], seconds: float, listen: int = 0) -> EvalResult:
    """Held-out bits per sample (in the acoustic stage: acoustic losses) and codebook usage, in float32.

    Whole utterances are used, spread evenly over all, that add up to `seconds`.  Of the first `listen` LISTEN_S are
    decoded from their codes as well, where numba is installed, and the loudness correlation is measured.
    """
    index = {speaker: number for number, speaker in enumerate(run.speakers)}
    totals: dict[str, float] = defaultdict(float)
    samples, acoustic_only = 0, run.config.training.stage == "acoustic"
    counts, recordings, contours = torch.zeros(run.config.model.quantizer.codebook_size), {}, []
    for number, (part, at) in enumerate(spread(held_out, seconds * run.model.sample_rate)):
        row, classes = part.rows[at], mulaw.as_classes(part[at])
        batch = utterance_batch(classes, index[row.speaker], run.model.hop)
        parts = (run.model.acoustic_loss if acoustic_only else run.model.loss)(batch).parts
        counts += parts.pop("code_counts")
        parts = {name: part for name, part in parts.items() if not name.endswith("_counts")}
        size = batch.classes.shape[1]
        samples += size
        for name, value in parts.items():
            totals[name] += float(value) * size
        if number < listen and not acoustic_only and importlib.util.find_spec("numba"):
            loaded, frames = SpeechCodec(run, "wavenet"), int(LISTEN_S * run.model.sample_rate) // run.model.hop
            codes = run.model.encode(batch.classes)[0, :frames].numpy()
            recordings[f"reconstruction/{row.key}"] = reconstruction = loaded.decode(codes, row.speaker)
            source = mulaw.LEVELS[batch.classes[0, : len(reconstruction)].numpy()]
            contours.append(metrics.contour_correlation(source, reconstruction, run.model.sample_rate))
    used, perplexity = codebook_usage(counts)
    numbers = {f"held_out_{name}": value / samples for name, value in totals.items()}
    numbers |= {"held_out_codes_used": used, "held_out_perplexity": perplexity}
    if contours:
        numbers |= {"held_out_contour": sum(contours) / len(contours)}
    return EvalResult(numbers, recordings, run.model.sample_rate)


@torch.inference_mode()
def measure_prior(prior: Prior, places: list[tuple[CodeShards, int]], speakers: list[str]) -> list[float]:
    """Bits per code of each codebook, of utterances: each a directory's codes and a place in them; in float32."""
    index, nats, frames = {name: number for number, name in enumerate(speakers)}, torch.zeros(prior.codebooks), 0
    for part, at in places:
        codes = torch.from_numpy(part[at].astype(np.int64))[None]
        nats += prior.nats(codes, codes, torch.tensor([index[part.rows[at].speaker]])).sum((0, 1))
        frames += codes.shape[1]
    return (nats / math.log(2) / max(1, frames)).tolist()


def spread(parts: Sequence[Any], symbols: float) -> list[tuple[Any, int]]:
    """Utterances, spread evenly over all of them, enough to make up so many symbols (samples or codes)."""
    places = [(part, at) for part in parts for at in range(len(part))]
    total = sum(part.rows[at].length for part, at in places)
    return places[:: max(1, int(total / symbols))]
