"""Configs: frozen and typed, read from YAML, overridden by key=value; unknown keys are errors.

This module has all defaults of the project.
"""

import difflib
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vqspeech.errors import InputError


class _Section(BaseModel):
    """Section of a config: frozen, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Features(_Section):
    """Features, the input of the encoder: the wave itself, its log-mel spectra, or its MFCC."""

    n_mels: int = Field(default=0, ge=0)  # mel bands; 0: the wave itself is the input
    hop_length: int = Field(default=160, ge=1)  # samples between spectra
    n_mfcc: int = Field(default=0, ge=0)  # cepstra that replace the mel bands; 0: the mel bands
    cmn_window_s: float = Field(default=0.0, ge=0)
    """Seconds before and after a frame whose mean is subtracted from spectra and F0, see `nn.features`; 0: none."""
    use_f0: bool = False  # whether F0 and voicing are features too; needs `cmn_window_s`


class Encoder(_Section):
    """Encoder: strided convolutions over the features."""

    channels: int = Field(default=256, ge=1)  # channels of the hidden layers
    strides: tuple[int, ...] = (2, 2, 2, 2, 2, 2)  # strides of the convolutions, first to last
    residual_blocks: int = Field(default=0, ge=0)  # residual blocks after the strided convolutions
    causal_blocks: int = Field(default=0, ge=0, le=8)  # causal residual blocks, see `nn.encoder.CausalBlocks`
    dropout: float = Field(default=0.0, ge=0, lt=1)  # share of the activations that a block does without in training


class Quantizer(_Section):
    """Residual vector quantizer: `codebooks` times `codebook_size` vectors of `codebook_dim` numbers."""

    codebooks: int = Field(default=1, ge=1, le=16)  # number of codebooks; each codes what the last one left
    dropout: float = Field(default=0.0, ge=0, le=1)  # share of the training segments that use fewer codebooks
    codebook_size: int = Field(default=512, ge=2, le=65536)  # number of codes
    codebook_dim: int = Field(default=64, ge=1)  # numbers in a codebook vector
    codebook_update: Literal["gradient", "ema"] = "ema"  # codebook loss of the paper, or moving averages
    commitment_weight: float = Field(default=0.25, ge=0)  # weight of the commitment loss, beta of the paper
    commitment_warmup_steps: int = Field(default=1000, ge=0)  # steps in which that weight rises from 0
    ema_decay: float = Field(default=0.99, ge=0, lt=1)  # decay per step of the moving averages
    dead_code_threshold: float = Field(default=0.1, ge=0)
    """Share of the average usage, 1 / codebook_size, below which a code is replaced by a latent."""


class Acoustic(_Section):
    """Acoustic model: log-mel spectra, F0 and voicing from codes and a speaker; see `nn.acoustic_model`."""

    channels: int = Field(default=0, ge=0)  # channels of the hidden layers; 0: no acoustic model
    causal_blocks: int = Field(default=0, ge=0, le=8)  # causal residual blocks, see `nn.encoder.CausalBlocks`
    dropout: float = Field(default=0.0, ge=0, lt=1)  # share of the activations that a block does without in training


class WaveNet(_Section):
    """Sizes of a WaveNet; see `nn.wavenet`."""

    residual_channels: int = Field(default=64, ge=1)  # channels of the residual path
    skip_channels: int = Field(default=256, ge=1)  # channels of the skip connections and the output layers
    layers: int = Field(default=30, ge=1)  # dilated convolutions
    layers_per_stack: int = Field(default=10, ge=1)  # layers after which the dilations start again at 1
    kernel_size: int = Field(default=2, ge=1)  # taps of a convolution


class Augment(_Section):
    """Augmentation: perturbation of the encoder's input in training, without its targets; see `nn.features`."""

    time_jitter: float = Field(default=0.0, ge=0, le=1)  # probability that a frame takes its code from a neighbour
    vtlp: float = Field(default=0.0, ge=0, le=1)  # greatest change of the logarithm of frequencies
    cepstral_noise: float = Field(default=0.0, ge=0)  # standard deviation, in log10 of amplitudes
    noise: float = Field(default=0.0, ge=0, le=1)  # share of the segments that get stationary noise
    lookahead: float = Field(default=0.0, ge=0, le=1)
    """Share of the segments whose means look ahead for a random time, up to `cmn_window_s`; for live use."""

    @property
    def perturbs_features(self) -> bool:
        """Whether features are perturbed, which needs random numbers of each segment."""
        return any((self.vtlp, self.cepstral_noise, self.noise, self.lookahead))


class Model(_Section):
    """VQ-VAE of speech."""

    sample_rate: int = Field(default=16000, ge=1)  # sample rate in Hz
    features: Features = Features()
    encoder: Encoder = Encoder()
    quantizer: Quantizer = Quantizer()
    acoustic: Acoustic = Acoustic()
    wavenet: WaveNet = WaveNet()
    cond_channels: int = Field(default=128, ge=1)  # channels of the conditioning of the decoder
    speaker_dim: int = Field(default=64, ge=1)  # numbers of a speaker embedding
    augment: Augment = Augment()

    @property
    def hop(self) -> int:
        """Samples per code."""
        hop = self.features.hop_length if self.features.n_mels else 1
        for stride in self.encoder.strides:
            hop *= stride
        return hop


class Prior(WaveNet):
    """Prior: a WaveNet over codes."""

    model: str = ""  # digest of the VQ-VAE of the codes; training sets this key and the next two
    codebook_size: int | None = Field(default=None, ge=2, le=65536)  # codes in a codebook; training fills it in
    codebooks: int | None = Field(default=None, ge=1, le=16)  # codes of a frame; training fills it in
    layers: int = Field(default=20, ge=1)  # dilated convolutions
    speaker_dim: int = Field(default=64, ge=1)  # channels of a speaker embedding


class Vocoder(WaveNet):
    """Vocoder: a WaveNet from acoustic features to sub-bands of the wave."""

    sample_rate: int = Field(default=16000, ge=1)  # sample rate in Hz
    bands: Literal[1, 2, 4] = 4  # sub-bands of the filter bank
    n_mels: int = Field(default=80, ge=1)  # mel bands of the conditioning
    hop_length: int = Field(default=160, ge=1)  # samples between frames of the conditioning
    cond_channels: int = Field(default=128, ge=1)  # channels of the conditioning
    skip_channels: int = Field(default=128, ge=1)
    layers: int = Field(default=16, ge=1)
    layers_per_stack: int = Field(default=8, ge=1)


class Training(_Section):
    """Training of a model; see `training.loop.fit`."""

    seed: int = 0  # random seed of initial weights, crops and augmentation
    init_from: str = ""  # run whose weights training starts from; new speakers start from the mean of its speakers
    stage: Literal["joint", "acoustic", "wavenet"] = "joint"
    """Stage of a VQ-VAE: `acoustic` trains codes and acoustic model, `wavenet` the WaveNet alone, `joint` all."""
    batch_size: int = Field(default=16, ge=1)
    """Segments in a global batch, over all processes and accumulation steps."""
    grad_accum_steps: int = Field(default=1, ge=1)  # gradient accumulation steps per batch
    segment_length: int = Field(default=5120, ge=1)  # samples of a training segment; for a prior, frames
    decoder_segment_length: int = Field(default=0, ge=0)  # samples of a random part that trains the WaveNet; 0: all
    speaker_balance: float = Field(default=1.0, ge=0, le=1)
    """Exponent of a speaker's share, which is their seconds of speech to this power; 0: all speakers alike."""
    shuffle_shards: int = Field(default=0, ge=0)
    """Random shards that are sampled from at a time; 0: all.  Twice as many of a URL are cached."""
    input_gain_drift_db: float = Field(default=0.0, ge=0)
    """Standard deviation of the gain of the WaveNet's teacher-forced input; see `data.batches.corrupt_history`."""
    input_noise: float = Field(default=0.0, ge=0)
    """Standard deviation of noise in that input, in classes; for a prior, the share of codes that are random."""
    phone_weight: float = Field(default=0.0, ge=0)  # weight of the phone head that sees one code
    phone_context_weight: float = Field(default=0.0, ge=0)  # weight of the phone head that sees neighbours too
    recogniser_weight: float = Field(default=0.0, ge=0)
    """Weight of the loss of predicted spectra by a phone recogniser, see `nn.phone_recogniser`."""
    phone_targets: Literal["posteriors", "labels"] = "posteriors"
    """What they learn where a data directory has both; where it has one, that."""
    phone_labels: bool = False  # whether this run or its `init_from` used phone labels; set by training
    gain_db: float = Field(default=0.0, ge=0)
    """Greatest random gain or attenuation of a vocoder's segments."""
    predicted_features: float = Field(default=0.0, ge=0, le=1)
    """Share of a vocoder's segments that are conditioned on predictions of `acoustic_model`, a run."""
    acoustic_model: str = ""  # the run that predicts them
    muon_lr_ratio: float = Field(default=0.0, ge=0)
    """Learning rate of Muon as a multiple of `learning_rate`; 0: Adam for all weights.  See `training.muon`."""
    learning_rate: float = Field(default=4e-4, gt=0)  # learning rate of Adam after the warm-up
    final_learning_rate: float = Field(default=2e-5, ge=0)  # learning rate at the end of the cosine
    warmup_steps: int = Field(default=200, ge=0)  # steps in which the learning rate rises from 0
    decay_steps: int | None = Field(default=None, ge=1)  # steps in which the rate falls by a cosine; null: max_steps
    max_grad_norm: float = Field(default=1.0, gt=0)  # norm to which gradients are clipped
    ema_decay: float = Field(default=0.999, ge=0, lt=1)  # decay of the moving average of weights that is saved
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of products; weights and sums stay float32.  auto: bfloat16 if the hardware supports it."""
    compile: bool = False  # whether torch.compile is used, which is faster on a GPU
    max_steps: int = Field(default=100_000, ge=1)  # steps after which training ends, resumed parts included
    max_minutes: float | None = Field(default=None, gt=0)  # minutes after which training ends, resumed parts included
    evaluate_every: int = Field(default=1000, ge=1)  # steps between evaluations
    evaluate_s: float = Field(default=60.0, gt=0)  # seconds of held-out speech for the bits per sample
    save_every: int = Field(default=1000, ge=1)  # steps between checkpoints
    keep_checkpoints: int = Field(default=2, ge=1)  # newest checkpoints that are kept
    log_audio: int = Field(default=2, ge=0)  # held-out recordings that are written to TensorBoard at each evaluation

    @property
    def phone_weights(self) -> tuple[float, float, float]:
        """Weights of the losses that need phone labels."""
        return self.phone_weight, self.phone_context_weight, self.recogniser_weight


class Config(_Section):
    """Config of a VQ-VAE: the content of its `config.yaml`."""

    model: Model = Model()
    training: Training = Training()

    @model_validator(mode="after")
    def _check(self) -> "Config":
        training, features, augment, hop = self.training, self.model.features, self.model.augment, self.model.hop
        segment, decoder_segment = training.segment_length, training.decoder_segment_length
        if segment % hop:
            raise ValueError(f"training.segment_length {segment} is not a multiple of the hop {hop}")
        if decoder_segment % hop or decoder_segment > segment:
            raise ValueError(
                f"training.decoder_segment_length {decoder_segment} is not a multiple of the hop {hop} "
                f"up to the segment_length {segment}"
            )
        perturbed = augment.perturbs_features
        if not features.n_mels and (features.n_mfcc or features.cmn_window_s or features.use_f0 or perturbed):
            raise ValueError(
                "n_mfcc, cmn_window_s, use_f0, vtlp, cepstral_noise, noise, lookahead need mel spectra; "
                "set model.features.n_mels"
            )
        if perturbed and segment // hop < (least := 16):  # random numbers that it needs, one per code
            raise ValueError(f"model.augment needs segments of {least * hop} samples or more")
        if features.n_mfcc > features.n_mels:
            raise ValueError(f"model.features.n_mfcc {features.n_mfcc} is more than n_mels, {features.n_mels}")
        if features.use_f0 and not features.cmn_window_s:
            raise ValueError(
                "model.features.use_f0 needs the mean of F0; set model.features.cmn_window_s, for example to 2"
            )
        if training.stage == "acoustic" and not self.model.acoustic.channels:
            raise ValueError(
                "the acoustic stage needs an acoustic model; set model.acoustic.channels, for example to 256"
            )
        return self


class VocoderConfig(_Section):
    """Config of a vocoder: the content of its `config.yaml`."""

    vocoder: Vocoder = Vocoder()
    training: Training = Training()

    @model_validator(mode="after")
    def _check(self) -> "VocoderConfig":
        hop, bands, training = self.vocoder.hop_length, self.vocoder.bands, self.training
        segment, decoder_segment = training.segment_length, training.decoder_segment_length
        if hop % bands:
            raise ValueError(f"vocoder.hop_length {hop} is not a multiple of vocoder.bands {bands}")
        if segment % hop or decoder_segment % hop or decoder_segment > segment:
            raise ValueError(
                f"training.segment_length {segment}, decoder_segment_length {decoder_segment}: must be multiples of "
                f"{hop}, the second not more than the first"
            )
        return self


class PriorConfig(_Section):
    """Config of a prior: the content of its `config.yaml`."""

    prior: Prior = Prior()
    training: Training = Training()


AnyConfig = Config | PriorConfig | VocoderConfig
"""Config of any kind of run."""


def load(path: str | Path, overrides: list[str] | None = None) -> Any:
    """Config from a YAML file with overrides such as `training.batch_size=8`.

    A file with a section `prior` gives a `PriorConfig`, with a section `vocoder` a `VocoderConfig`, else a `Config`.

    Raises:
        InputError: the file does not exist or is not YAML, a key is unknown (the message suggests the nearest), or a
            value is outside its limits.
    """
    tree = read_tree(path)
    for override in overrides or []:
        key, sign, value = override.partition("=")
        if not sign:
            raise InputError(f"override {override!r} has no '='; write it as training.batch_size=8")
        _set_(tree, key.strip(), _parse_value(override, value))
    return from_tree(tree, str(path))


def read_tree(path: str | Path) -> dict[str, Any]:
    """Sections of a YAML file; raises InputError."""
    try:
        tree = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from None
    if not isinstance(tree, dict):
        raise InputError(f"{path}: has no sections; expected `model:` and `training:`")
    return tree


def from_tree(tree: dict[str, Any], origin: str) -> Any:
    """Config from nested dicts; `origin` is their name in errors."""
    kind = PriorConfig if "prior" in tree else VocoderConfig if "vocoder" in tree else Config
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{origin}: {_explain(error, kind)}") from None


def to_yaml(config: AnyConfig) -> str:
    """YAML of a config with all its values, the inverse of `load`."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _set_(tree: dict[str, Any], key: str, value: Any) -> None:
    """Sets the value of a dotted key in nested dicts."""
    *path, last = key.split(".")
    for part in path:
        section = tree.setdefault(part, {})
        if not isinstance(section, dict):
            raise InputError(f"override {key}: {part} is not a section")
        tree = section
    tree[last] = value


def _explain(error: ValidationError, kind: type[BaseModel]) -> str:
    """First validation error in one line: key, value, and cure."""
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        reason = fault["msg"].removeprefix("Value error, ")
        return f"{where} = {fault['input']!r}: {reason}" if where else reason
    section: Any = kind
    for part in fault["loc"][:-1]:
        section = section.model_fields[str(part)].annotation
    keys = list(section.model_fields)
    nearest = difflib.get_close_matches(str(fault["loc"][-1]), keys, 1, 0.0)[0]
    return f"unknown key {where}; did you mean {nearest!r}? Keys here: {', '.join(keys)}"


def _parse_value(override: str, value: str) -> Any:
    """YAML value of an override."""
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        raise InputError(f"override {override!r} is not YAML after the '='; put text in quotes") from None
