"""What a run is made of: frozen, typed, read from YAML, overridden by key=value, no key unknown.

Every default of the project stands here and nowhere else.  Config ends where a model is built: the parts
in `nn` take plain arguments.
"""

import difflib
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vqspeech.errors import InputError


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Encoder(_Section):
    """Strided convolutions over the wave, or over its log-mel spectra; the hop is samples per code."""

    mels: int = Field(default=0, ge=0)
    """Bands of the spectra; 0 hears the wave itself."""
    mel_step: int = Field(default=160, ge=1)
    """Samples between spectra."""
    cepstra: int = Field(default=0, ge=0)
    """Mel cepstra that are heard instead of the bands; 0: the bands."""
    relative_s: float = Field(default=0.0, ge=0)
    """Seconds before and after whose mean is taken from spectra and pitch, see `nn.hearing`; 0 for none."""
    pitch: bool = False
    """Whether the encoder is told the pitch; it needs `relative_s`."""
    channels: int = Field(default=256, ge=1)
    strides: tuple[int, ...] = (2, 2, 2, 2, 2, 2)
    residual_blocks: int = Field(default=0, ge=0)


class Quantiser(_Section):
    """The codebook: `codes` vectors of `dim` numbers."""

    codebooks: int = Field(default=1, ge=1, le=16)
    """Each codes what those before it left, see `nn.quantiser.ResidualQuantiser`."""
    dropout: float = Field(default=0.0, ge=0, le=1)  # share of the crops of which training uses fewer codebooks
    codes: int = Field(default=512, ge=2, le=65536)
    dim: int = Field(default=64, ge=1)
    learning: Literal["gradient", "ema"] = "ema"
    beta: float = Field(default=0.25, ge=0)
    beta_steps: int = Field(default=1000, ge=0)
    """Training steps in which beta rises to its value, from 0."""
    decay: float = Field(default=0.99, ge=0, lt=1)
    revive_below: float = Field(default=0.1, ge=0)
    """A code is dead when its share of the latents falls below this part of 1 / codes."""


class Decoder(_Section):
    """The WaveNet and what it is told."""

    residual: int = Field(default=64, ge=1)
    skip: int = Field(default=256, ge=1)
    layers: int = Field(default=30, ge=1)
    stack: int = Field(default=10, ge=1)
    """Layers after which the dilations start again at 1."""
    kernel: int = Field(default=2, ge=1)
    cond: int = Field(default=128, ge=1)
    """Numbers that describe one frame's codes and their neighbours to the WaveNet."""
    speaker: int = Field(default=64, ge=1)
    """Numbers that describe a speaker to the WaveNet."""
    outline: int = Field(default=0, ge=0)
    """Channels of the network that foresees how a frame will sound, see `nn.outline`; 0 for none."""


class Model(_Section):
    """Sizes of a VQ-VAE of speech; `sample_rate` in Hz."""

    sample_rate: int = Field(default=16000, ge=1)
    encoder: Encoder = Encoder()
    quantiser: Quantiser = Quantiser()
    decoder: Decoder = Decoder()
    jitter: float = Field(default=0.0, ge=0, le=1)
    """Probability that a frame takes its code from a neighbour while training."""
    warp: float = Field(default=0.0, ge=0, le=1)
    """The spectra that the encoder hears in training are stretched in frequency, by e to the power of at most this."""
    colour: float = Field(default=0.0, ge=0)
    """Standard deviation of what is added to their first cepstra, in log10 of amplitudes; see `nn.hearing.Disguise`."""

    @property
    def hop(self) -> int:
        """Samples per code."""
        hop = self.encoder.mel_step if self.encoder.mels else 1
        for stride in self.encoder.strides:
            hop *= stride
        return hop


class Prior(_Section):
    """The WaveNet over codes."""

    model: str = ""  # digest of the VQ-VAE whose codes these are; training fills it in, and codes and codebooks
    codes: int | None = Field(default=None, ge=2, le=65536)
    codebooks: int | None = Field(default=None, ge=1, le=16)  # none in a run of before there were several: one
    residual: int = Field(default=64, ge=1)
    skip: int = Field(default=256, ge=1)
    layers: int = Field(default=20, ge=1)
    stack: int = Field(default=10, ge=1)
    kernel: int = Field(default=2, ge=1)
    speaker: int = Field(default=64, ge=1)  # numbers that describe a speaker


class Vocoder(_Section):
    """A WaveNet that speaks acoustic features, `bands` sub-bands a step; `sample_rate` in Hz, `mel_step` in samples."""

    sample_rate: int = Field(default=16000, ge=1)
    bands: Literal[1, 2, 4] = 4
    mels: int = Field(default=80, ge=1)
    mel_step: int = Field(default=160, ge=1)
    conditioning: int = Field(default=128, ge=1)
    residual: int = Field(default=64, ge=1)
    skip: int = Field(default=128, ge=1)
    layers: int = Field(default=16, ge=1)
    stack: int = Field(default=8, ge=1)
    kernel: int = Field(default=2, ge=1)


class Training(_Section):
    """One pass through `fitting.fit`."""

    seed: int = 0
    init: str = ""
    """Run directory whose weights are begun with; its voices are kept by name, others begin as their mean."""
    learns: Literal["all", "sketch", "wavenet"] = "all"
    """What of a VQ-VAE: `sketch`, codes and their outline; `wavenet`, what is left then, with codes as they are."""
    batch: int = Field(default=16, ge=1)
    """Crops in a global batch: over all processes and accumulated parts together."""
    accumulate: int = Field(default=1, ge=1)
    """Parts in which each process works through its share of the batch."""
    crop: int = Field(default=5120, ge=1)
    """Samples in a crop; of a prior, frames."""
    spoken: int = Field(default=0, ge=0)
    """Samples of each crop, at random, that the WaveNet learns to say; 0: all."""
    balance: float = Field(default=1.0, ge=0, le=1)
    """A speaker is heard in proportion to the length of their speech, to this power; 0: all speakers alike."""
    mixed_shards: int = Field(default=0, ge=0)
    """Shards that are gone through at a time, in random order; of a URL, twice as many are kept on disk.  0: all."""
    drift_db: float = Field(default=0.0, ge=0)
    """Of the level of the past that the decoder is told; see `dataset.misheard`."""
    noise: float = Field(default=0.0, ge=0)
    """In that past: in classes; of a prior, the share of codes that are random."""
    phone_weight: float = Field(default=0.0, ge=0)
    phone_context_weight: float = Field(default=0.0, ge=0)
    """Of the cross entropy of phone posteriors told by each code of the first codebook alone, and with neighbours."""
    gain_db: float = Field(default=0.0, ge=0)
    """Of a vocoder's crops: each is made louder or softer at random by up to this."""
    muon: float = Field(default=0.0, ge=0)
    """Rate of the steps that Muon takes, in learning_rates; 0: Adam for all.  See `muon.Muon`."""
    learning_rate: float = Field(default=4e-4, gt=0)
    final_learning_rate: float = Field(default=2e-5, ge=0)
    warmup_steps: int = Field(default=200, ge=0)
    decay_steps: int | None = Field(default=None, ge=1)
    """Of the cosine along which the rate falls to final_learning_rate; none: max_steps."""
    clip_norm: float = Field(default=1.0, gt=0)
    average: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the moving average of the weights that is evaluated and kept; 0 for none."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the products; weights and sums stay float32.  auto: bfloat16 where the processor has it."""
    compile: bool = False
    """Whether torch.compile fuses the model; pays on a GPU."""
    max_steps: int = Field(default=100_000, ge=1)
    max_minutes: float | None = Field(default=None, gt=0)
    evaluate_every: int = Field(default=1000, ge=1)
    evaluate_s: float = Field(default=60.0, gt=0)
    """Seconds of held-out speech on which the bits per sample are measured."""
    save_every: int = Field(default=1000, ge=1)  # steps between states, of which `keep` are kept
    keep: int = Field(default=2, ge=1)
    listen: int = Field(default=2, ge=0)
    """Held-out recordings that are reconstructed for TensorBoard at each evaluation."""


class Config(_Section):
    """The whole of a `config.yaml`."""

    model: Model = Model()
    training: Training = Training()

    @model_validator(mode="after")
    def _crop_is_whole_frames(self) -> "Config":
        if self.training.crop % self.model.hop:
            raise ValueError(f"training.crop {self.training.crop} is no multiple of the hop {self.model.hop}")
        if (spoken := self.training.spoken) % self.model.hop or spoken > self.training.crop:
            hop, crop = self.model.hop, self.training.crop
            raise ValueError(f"training.spoken {spoken} is no multiple of the hop {hop} up to the crop {crop}")
        encoder = self.model.encoder
        disguised = self.model.warp or self.model.colour
        if not encoder.mels and (encoder.cepstra or encoder.relative_s or encoder.pitch or disguised):
            raise ValueError("cepstra, relative_s, pitch, warp, colour need spectra; set model.encoder.mels, to 80 say")
        if disguised and self.training.crop // self.model.hop < (least := 7):  # draws, as many as a disguise takes
            raise ValueError(f"model.warp and colour need crops of {least * self.model.hop} samples or more")
        if encoder.cepstra > encoder.mels:
            raise ValueError(f"model.encoder.cepstra {encoder.cepstra} is more than there are mels, {encoder.mels}")
        if encoder.pitch and not encoder.relative_s:
            raise ValueError("model.encoder.pitch is heard above its mean; set model.encoder.relative_s, to 2 say")
        if self.training.learns == "sketch" and not self.model.decoder.outline:
            raise ValueError("a sketch needs an outline to learn; set model.decoder.outline, to 256 say")
        return self


class VocoderConfig(_Section):
    """The whole of a vocoder's `config.yaml`."""

    vocoder: Vocoder = Vocoder()
    training: Training = Training()

    @model_validator(mode="after")
    def _crop_is_whole_frames(self) -> "VocoderConfig":
        step, crop, spoken = self.vocoder.mel_step, self.training.crop, self.training.spoken
        if step % self.vocoder.bands:
            raise ValueError(f"vocoder.mel_step {step} is no multiple of vocoder.bands {self.vocoder.bands}")
        if crop % step or spoken % step or spoken > crop:
            raise ValueError(f"training.crop {crop}, spoken {spoken}: want multiples of {step}, spoken up to the crop")
        return self


class PriorConfig(_Section):
    """The whole of a prior's `config.yaml`."""

    prior: Prior = Prior()
    training: Training = Training()


AnyConfig = Config | PriorConfig | VocoderConfig


def load(path: str | Path, overrides: list[str] | None = None) -> Any:
    """A config from YAML with `training.batch=8`-like overrides on top.

    A section `prior` makes it a `PriorConfig`, a section `vocoder` a `VocoderConfig`; else it is a `Config`.

    Raises:
        InputError: no such file, no YAML, an unknown key (the nearest known one is named) or a value
            outside its limits.
    """
    try:
        tree = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from None
    if not isinstance(tree, dict):
        raise InputError(f"{path}: holds no sections; expected `model:` and `training:`")
    for override in overrides or []:
        key, sign, value = override.partition("=")
        if not sign:
            raise InputError(f"override {override!r} has no '='; write it as training.batch=8")
        _place_(tree, key.strip(), _value(override, value))
    return from_tree(tree, str(path))


def from_tree(tree: dict[str, Any], origin: str) -> Any:
    """A config from nested dicts; `origin` names them in an error."""
    kind = PriorConfig if "prior" in tree else VocoderConfig if "vocoder" in tree else Config
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{origin}: {_told(error, kind)}") from None


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


def _told(error: ValidationError, kind: type[BaseModel]) -> str:
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
