"""Configs: frozen and typed, read from YAML, overridden by key=value; unknown keys are errors.

Every default of the project is here and nowhere else.
"""

import difflib
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vqspeech.errors import InputError


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Features(_Section):
    """What the encoder is given: the wave itself, or log-mel spectra or MFCC of it."""

    n_mels: int = Field(default=0, ge=0)  # bands of the log-mel spectra; 0: the encoder takes the wave itself
    hop_length: int = Field(default=160, ge=1)  # samples between spectra
    n_mfcc: int = Field(default=0, ge=0)  # MFCC that take the place of the bands; 0: the bands
    cmn_window_s: float = Field(default=0.0, ge=0)
    """Seconds before and after a frame over which the mean is taken that is subtracted from spectra and F0; 0: none."""
    use_f0: bool = False  # whether the encoder takes F0 and voicing too; needs `cmn_window_s`


class Encoder(_Section):
    """Strided convolutions over the features; the hop is samples per code."""

    channels: int = Field(default=256, ge=1)  # channels of the hidden layers
    strides: tuple[int, ...] = (2, 2, 2, 2, 2, 2)  # strides of the convolutions, one after another
    residual_blocks: int = Field(default=0, ge=0)  # residual blocks after the strided convolutions
    causal_blocks: int = Field(default=0, ge=0, le=8)  # causal residual blocks, see `nn.encoder.CausalBlocks`


class Quantizer(_Section):
    """Residual vector quantisation: `codebooks` times `codebook_size` vectors of `codebook_dim` numbers."""

    codebooks: int = Field(default=1, ge=1, le=16)  # number of codebooks; each codes what those before it left
    dropout: float = Field(default=0.0, ge=0, le=1)  # share of the segments for which training uses fewer codebooks
    codebook_size: int = Field(default=512, ge=2, le=65536)  # vectors of a codebook
    codebook_dim: int = Field(default=64, ge=1)  # numbers of a vector
    codebook_update: Literal["gradient", "ema"] = "ema"  # codebook loss of the paper, or moving averages
    commitment_weight: float = Field(default=0.25, ge=0)  # weight of the commitment loss, beta of the paper
    commitment_warmup_steps: int = Field(default=1000, ge=0)  # steps in which that weight rises from 0
    ema_decay: float = Field(default=0.99, ge=0, lt=1)  # decay per step of the moving averages, gamma of the paper
    dead_code_threshold: float = Field(default=0.1, ge=0)
    """Share of the average usage, 1 / codebook_size, below which a code is replaced by a latent."""


class Acoustic(_Section):
    """The acoustic model: codes and a speaker to log-mel spectra, F0 and voicing; see `nn.acoustic_model`."""

    channels: int = Field(default=0, ge=0)  # channels of the hidden layers; 0: no acoustic model
    causal_blocks: int = Field(default=0, ge=0, le=8)  # causal residual blocks, see `nn.encoder.CausalBlocks`


class WaveNet(_Section):
    """The sizes of a WaveNet; the dilations start again at 1 after `layers_per_stack` layers."""

    residual_channels: int = Field(default=64, ge=1)  # residual channels of each layer
    skip_channels: int = Field(default=256, ge=1)  # skip channels, and those of the output layers
    layers: int = Field(default=30, ge=1)  # dilated convolutions
    layers_per_stack: int = Field(default=10, ge=1)  # layers after which the dilations begin again at 1
    kernel_size: int = Field(default=2, ge=1)  # taps of a convolution


class Augment(_Section):
    """How the encoder's input is perturbed in training, its targets left as they are; see `nn.features`."""

    time_jitter: float = Field(default=0.0, ge=0, le=1)  # probability that a frame takes its code from a neighbour
    vtlp: float = Field(default=0.0, ge=0, le=1)  # largest change of the logarithm of frequencies (VTLP)
    cepstral_noise: float = Field(default=0.0, ge=0)  # standard deviation, in log10 of amplitudes, of noise on cepstra
    noise: float = Field(default=0.0, ge=0, le=1)  # share of the segments that get steady background noise


class Model(_Section):
    """A VQ-VAE of speech; `sample_rate` in Hz."""

    sample_rate: int = Field(default=16000, ge=1)  # sample rate in Hz
    features: Features = Features()
    encoder: Encoder = Encoder()
    quantizer: Quantizer = Quantizer()
    acoustic: Acoustic = Acoustic()
    wavenet: WaveNet = WaveNet()
    cond_channels: int = Field(default=128, ge=1)  # channels of the conditioning, made of a latent and its neighbours
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
    """The WaveNet over codes."""

    model: str = ""  # digest of the VQ-VAE whose codes these are; training fills it in, and the next two
    codebook_size: int | None = Field(default=None, ge=2, le=65536)  # vectors of a codebook of that model
    codebooks: int | None = Field(default=None, ge=1, le=16)  # number of codebooks of that model
    layers: int = Field(default=20, ge=1)
    speaker_dim: int = Field(default=64, ge=1)  # numbers of a speaker embedding


class Vocoder(WaveNet):
    """A WaveNet from acoustic features to sub-bands of the wave; `sample_rate` in Hz, `hop_length` in samples."""

    sample_rate: int = Field(default=16000, ge=1)  # sample rate in Hz
    bands: Literal[1, 2, 4] = 4  # sub-bands of the filter bank
    n_mels: int = Field(default=80, ge=1)  # mel bands of the conditioning
    hop_length: int = Field(default=160, ge=1)  # samples between frames of the conditioning
    cond_channels: int = Field(default=128, ge=1)  # channels of the conditioning
    skip_channels: int = Field(default=128, ge=1)
    layers: int = Field(default=16, ge=1)
    layers_per_stack: int = Field(default=8, ge=1)


class Training(_Section):
    """One pass through `training.loop.fit`."""

    seed: int = 0  # random seed of initial weights, crops and augmentation
    init_from: str = ""  # run to take the initial weights from; speakers are matched by name, others begin as the mean
    stage: Literal["joint", "acoustic", "wavenet"] = "joint"
    """Stage of a VQ-VAE: `acoustic` trains codes and acoustic model, `wavenet` the WaveNet alone, `joint` all parts."""
    batch_size: int = Field(default=16, ge=1)
    """Segments in a global batch, over all processes and accumulated parts together."""
    grad_accum_steps: int = Field(default=1, ge=1)  # parts in which each process works through its share of the batch
    segment_length: int = Field(default=5120, ge=1)  # length of a training segment in samples; of a prior, in frames
    decoder_segment_length: int = Field(default=0, ge=0)  # samples of it, at random, that train the WaveNet; 0: all
    speaker_balance: float = Field(default=1.0, ge=0, le=1)
    """Exponent of a speaker's share: seconds of speech to this power; 0: all speakers alike."""
    shuffle_shards: int = Field(default=0, ge=0)
    """Number of shards to draw segments from at a time; of a URL, twice as many are cached.  0: all."""
    input_gain_drift_db: float = Field(default=0.0, ge=0)
    """Standard deviation in dB of the level of the WaveNet's input; see `data.batches.corrupt_history`."""
    input_noise: float = Field(default=0.0, ge=0)
    """Noise in that input, in mu-law classes; of a prior, the share of codes that are replaced at random."""
    phone_weight: float = Field(default=0.0, ge=0)  # weight of the phone head that sees one first code at a time
    phone_context_weight: float = Field(default=0.0, ge=0)  # weight of the phone head that sees neighbours too
    phone_labels: bool = False  # whether this run, or the one it began with, used phone labels; training fills it in
    gain_db: float = Field(default=0.0, ge=0)
    """Largest random change of the level of a vocoder's segment, in dB."""
    predicted_features: float = Field(default=0.0, ge=0, le=1)
    """Share of a vocoder's segments that are conditioned on predicted features instead of recorded ones."""
    acoustic_model: str = ""  # run whose acoustic model predicts them
    muon_lr_ratio: float = Field(default=0.0, ge=0)
    """Learning rate of Muon as a multiple of learning_rate; 0: Adam trains all weights."""
    learning_rate: float = Field(default=4e-4, gt=0)  # learning rate of Adam after the warm-up
    final_learning_rate: float = Field(default=2e-5, ge=0)  # learning rate at the end of the cosine
    warmup_steps: int = Field(default=200, ge=0)  # steps in which the learning rate rises from 0
    decay_steps: int | None = Field(default=None, ge=1)  # steps in which the rate falls along a cosine; none: max_steps
    max_grad_norm: float = Field(default=1.0, gt=0)  # norm to which gradients are clipped
    ema_decay: float = Field(default=0.999, ge=0, lt=1)  # decay per step of the moving average of weights that is saved
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of matrix products; weights and sums stay float32.  auto: bfloat16 where the processor has it."""
    compile: bool = False  # whether torch compiles the network, which pays on a GPU
    max_steps: int = Field(default=100_000, ge=1)  # steps after which training ends, resumed parts included
    max_minutes: float | None = Field(default=None, gt=0)  # minutes after which training ends, resumed parts included
    evaluate_every: int = Field(default=1000, ge=1)  # steps between evaluations
    evaluate_s: float = Field(default=60.0, gt=0)  # seconds of held-out speech that are evaluated
    save_every: int = Field(default=1000, ge=1)  # steps between saved states
    keep_checkpoints: int = Field(default=2, ge=1)  # number of saved states to keep, the latest ones
    log_audio: int = Field(default=2, ge=0)  # number of held-out recordings to log as audio at each evaluation


class Config(_Section):
    """The whole of a `config.yaml`."""

    model: Model = Model()
    training: Training = Training()

    @model_validator(mode="after")
    def _check(self) -> "Config":
        training, features, augment, hop = self.training, self.model.features, self.model.augment, self.model.hop
        segment, decoder_segment = training.segment_length, training.decoder_segment_length
        if segment % hop:
            raise ValueError(f"training.segment_length {segment} is no multiple of the hop {hop}")
        if decoder_segment % hop or decoder_segment > segment:
            raise ValueError(
                f"training.decoder_segment_length {decoder_segment} is no multiple of the hop {hop} "
                f"up to the segment_length {segment}"
            )
        perturbed = augment.vtlp or augment.cepstral_noise or augment.noise
        if not features.n_mels and (features.n_mfcc or features.cmn_window_s or features.use_f0 or perturbed):
            raise ValueError(
                "n_mfcc, cmn_window_s, use_f0, vtlp, cepstral_noise, noise need spectra; set model.features.n_mels"
            )
        if perturbed and segment // hop < (least := 14 if augment.noise else 7):  # draws
            raise ValueError(f"model.augment needs segments of {least * hop} samples or more")
        if features.n_mfcc > features.n_mels:
            raise ValueError(f"model.features.n_mfcc {features.n_mfcc} is more than n_mels, {features.n_mels}")
        if features.use_f0 and not features.cmn_window_s:
            raise ValueError("model.features.use_f0 takes F0 above its mean; set model.features.cmn_window_s, to 2 say")
        if training.stage == "acoustic" and not self.model.acoustic.channels:
            raise ValueError("the acoustic stage needs an acoustic model; set model.acoustic.channels, to 256 say")
        return self


class VocoderConfig(_Section):
    """The whole of a vocoder's `config.yaml`."""

    vocoder: Vocoder = Vocoder()
    training: Training = Training()

    @model_validator(mode="after")
    def _check(self) -> "VocoderConfig":
        hop, bands, training = self.vocoder.hop_length, self.vocoder.bands, self.training
        segment, decoder_segment = training.segment_length, training.decoder_segment_length
        if hop % bands:
            raise ValueError(f"vocoder.hop_length {hop} is no multiple of vocoder.bands {bands}")
        if segment % hop or decoder_segment % hop or decoder_segment > segment:
            raise ValueError(
                f"training.segment_length {segment}, decoder_segment_length {decoder_segment}: want multiples of "
                f"{hop}, the second up to the first"
            )
        return self


class PriorConfig(_Section):
    """The whole of a prior's `config.yaml`."""

    prior: Prior = Prior()
    training: Training = Training()


AnyConfig = Config | PriorConfig | VocoderConfig


def load(path: str | Path, overrides: list[str] | None = None) -> Any:
    """A config from YAML with `training.batch_size=8`-like overrides on top.

    A section `prior` makes it a `PriorConfig`, a section `vocoder` a `VocoderConfig`; else it is a `Config`.

    Raises:
        InputError: no such file, no YAML, an unknown key (the nearest known one is named) or a value
            outside its limits.
    """
    tree = read_tree(path)
    for override in overrides or []:
        key, sign, value = override.partition("=")
        if not sign:
            raise InputError(f"override {override!r} has no '='; write it as training.batch_size=8")
        _place_(tree, key.strip(), _value(override, value))
    return from_tree(tree, str(path))


def read_tree(path: str | Path) -> dict[str, Any]:
    """The sections of a YAML file; raises InputError."""
    try:
        tree = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from None
    if not isinstance(tree, dict):
        raise InputError(f"{path}: holds no sections; expected `model:` and `training:`")
    return tree


def from_tree(tree: dict[str, Any], origin: str) -> Any:
    """A config from nested dicts; `origin` names them in an error."""
    kind = PriorConfig if "prior" in tree else VocoderConfig if "vocoder" in tree else Config
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{origin}: {_explain(error, kind)}") from None


def to_yaml(config: AnyConfig) -> str:
    """The config with every value written out, the inverse of `load`."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _place_(tree: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        below = tree.setdefault(part, {})
        if not isinstance(below, dict):
            raise InputError(f"override {key}: {part} is no section")
        tree = below
    tree[last] = value


def _explain(error: ValidationError, kind: type[BaseModel]) -> str:
    """The first fault in one line: where, what, and the cure."""
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        reason = fault["msg"].removeprefix("Value error, ")
        return f"{where} = {fault['input']!r}: {reason}" if where else reason
    section: Any = kind
    for part in fault["loc"][:-1]:
        section = section.model_fields[str(part)].annotation
    known = list(section.model_fields)
    near = difflib.get_close_matches(str(fault["loc"][-1]), known, 1, 0.0)[0]
    return f"unknown key {where}; did you mean {near!r}? Known here: {', '.join(known)}"


def _value(override: str, value: str) -> Any:
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        raise InputError(f"override {override!r} is no YAML after the '='; quote what is text") from None
