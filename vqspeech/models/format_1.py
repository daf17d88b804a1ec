"""Runs of format 1, whose config keys and tensors had other names: read by `export`, which writes format 2."""

import re
from typing import Any

from torch import Tensor

_WAVENET = {
    "residual": "residual_channels", "skip": "skip_channels", "layers": "layers", "stack": "layers_per_stack",
    "kernel": "kernel_size",
}  # fmt: skip
_MODEL = {
    "encoder.mels": "features.n_mels",
    "encoder.mel_step": "features.hop_length",
    "encoder.cepstra": "features.n_mfcc",
    "encoder.relative_s": "features.cmn_window_s",
    "encoder.pitch": "features.use_f0",
    "quantiser.codes": "quantizer.codebook_size",
    "quantiser.dim": "quantizer.codebook_dim",
    "quantiser.learning": "quantizer.codebook_update",
    "quantiser.beta": "quantizer.commitment_weight",
    "quantiser.beta_steps": "quantizer.commitment_warmup_steps",
    "quantiser.decay": "quantizer.ema_decay",
    "quantiser.revive_below": "quantizer.dead_code_threshold",
    "quantiser.codebooks": "quantizer.codebooks",
    "quantiser.dropout": "quantizer.dropout",
    **{f"decoder.{pattern}": f"wavenet.{replacement}" for pattern, replacement in _WAVENET.items()},
    "decoder.cond": "cond_channels",
    "decoder.speaker": "speaker_dim",
    "decoder.outline": "acoustic.channels",
    "decoder.causal_blocks": "acoustic.causal_blocks",
    "jitter": "augment.time_jitter",
    "warp": "augment.vtlp",
    "colour": "augment.cepstral_noise",
    "noise": "augment.noise",
}
_PRIOR = {**_WAVENET, "codes": "codebook_size", "speaker": "speaker_dim"}
_VOCODER = {**_WAVENET, "mels": "n_mels", "mel_step": "hop_length", "conditioning": "cond_channels"}
_TRAINING = {
    "init": "init_from", "learns": "stage", "batch": "batch_size", "accumulate": "grad_accum_steps",
    "crop": "segment_length", "spoken": "decoder_segment_length", "balance": "speaker_balance",
    "mixed_shards": "shuffle_shards", "drift_db": "input_gain_drift_db", "noise": "input_noise",
    "muon": "muon_lr_ratio", "clip_norm": "max_grad_norm", "average": "ema_decay", "keep": "keep_checkpoints",
    "listen": "log_audio",
}  # fmt: skip
_STAGES = {"all": "joint", "sketch": "acoustic"}
KEYS = {"model": _MODEL, "prior": _PRIOR, "vocoder": _VOCODER, "training": _TRAINING}
TENSORS = {
    r"^quantiser\.(?!codebooks)": "quantizer.codebooks.0.",
    r"^quantiser\.": "quantizer.",
    r"\.sums$": ".embedding_sum",
    r"\.counts$": ".cluster_size",
    r"^outline\.told\.": "acoustic_model.to_conditioning.",
    r"^outline\.usual\.": "acoustic_model.speaker_mean.",
    r"^outline\.foreseen\.": "acoustic_model.residual.",
    r"^outline\.": "acoustic_model.",
    r"^manners$": "adaptations",
}
"""What begins or ends a tensor's name, and what does now; tried in this order."""


def upgrade_config(tree: dict[str, Any]) -> dict[str, Any]:
    """The config of a run, with the keys of format 2.

    >>> upgrade_config({"model": {"encoder": {"mels": 80}, "jitter": 0.1}, "training": {"learns": "sketch"}})
    {'model': {'features': {'n_mels': 80}, 'augment': {'time_jitter': 0.1}}, 'training': {'stage': 'acoustic'}}
    """
    upgraded: dict[str, Any] = {}
    for section, values in tree.items():
        upgraded_section = upgraded.setdefault(section, {})
        for key, value in _leaves(values):
            *path, last = KEYS[section].get(key, key).split(".")
            node = upgraded_section
            for part in path:
                node = node.setdefault(part, {})
            node[last] = _STAGES.get(value, value) if last == "stage" else value
    return upgraded


def upgrade_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a run, with the names of format 2."""
    upgraded = {}
    for name, tensor in tensors.items():
        for pattern, replacement in TENSORS.items():
            name = re.sub(pattern, replacement, name)
        upgraded[name] = tensor
    return upgraded


def _leaves(tree: dict[str, Any], path: str = "") -> list[tuple[str, Any]]:
    rows = []
    for key, value in tree.items():
        rows += _leaves(value, f"{path}{key}.") if isinstance(value, dict) else [(path + key, value)]
    return rows
