"""Service behind the web page: recordings in, recordings, codes and pictures out."""

import math
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vqspeech import audio
from vqspeech.codec import bitstream, vqs_files
from vqspeech.data import synthetic
from vqspeech.demo.live_voice import LiveVoice
from vqspeech.demo.uploads import Limits, Tell, UploadFolder, hide_path, safe_filename
from vqspeech.errors import InputError
from vqspeech.evaluation import figures
from vqspeech.evaluation.code_phones import CodePhoneMap, rank_by_first_component
from vqspeech.inference import conversion, prior_speech, speaker_enrolment
from vqspeech.inference.live import LiveConverter
from vqspeech.inference.prior_sampler import PriorSampler
from vqspeech.inference.sampling_config import SamplingConfig
from vqspeech.inference.speech_codec import SOURCE_FILTER, WAVENET, SpeechCodec
from vqspeech.models import checkpoint, hub, speaker_table
from vqspeech.shapes import Codes, Wave

EXAMPLES = (2, 3)
"""Voices of the mini corpus whose recordings are offered to begin with."""
DEFAULT_VOICE = "kokoro_af_heart"
"""A voice of the shipped model that is nobody's."""
LIVE_BLOCK_MS = 100.0
"""Blocks of a live conversion: a browser sends such ones, and longer ones are less work."""
VOCODER_LABELS = {WAVENET: "WaveNet", SOURCE_FILTER: "fast"}
REPEATS = 8
"""Frames for which a code sounds when one listens to it alone."""


class ConversionResult(NamedTuple):
    """A conversion: a WAV, its codes as a .vqs, a picture, and a line of text."""

    wav: Path
    vqs: Path
    picture: Path
    about: str


class DemoService:
    """Loaded models that serve several people, one request at a time.

    Args:
        models: names as in `hub.resolve`; the first is used unless another is asked for.
        limits: of each request.
        enrolment: whether people may add and remove voices.

    Raises:
        InputError: no such model.
    """

    def __init__(self, models: list[str], limits: Limits = Limits(), enrolment: bool = True) -> None:
        self.upload_folder, self.enrolment = UploadFolder(limits), enrolment
        self._codecs, self._lock = {name: _load_fast(name) for name in models}, threading.Lock()
        rates = {name: bits_per_second(model) for name, model in self._codecs.items()}
        self.models = sorted(models, key=rates.__getitem__)
        self._samplers: dict[str, PriorSampler] = {}
        self._wavenets: dict[str, SpeechCodec] = {}

    def model(self, name: str = "") -> SpeechCodec:
        """A loaded model."""
        if name and name not in self._codecs:
            raise InputError(f"model {name[:40]!r} is not open here; choose from {', '.join(self.models)}")
        return self._codecs[name or next(iter(self._codecs))]

    def vocoders(self) -> list[tuple[str, str]]:
        """Vocoders of the first model, the best one first, each as its label and its name."""
        model = self.model()
        names = [SOURCE_FILTER] * model.uses_source_filter + [WAVENET] * model.has_wavenet
        return [(VOCODER_LABELS[name], name) for name in sorted(names, key=lambda name: name != model.default_vocoder)]

    def voices(self, name: str = "") -> list[tuple[str, str]]:
        """The voices of a model, each as what is shown and what it is called."""
        known = self.model(name).run.voices
        return [(_described(speaker, known.get(speaker)), speaker) for speaker in self.model(name).speakers]

    def default_voice(self) -> str:
        """The voice that is chosen to begin with: DEFAULT_VOICE, or the first one of a model without it."""
        speakers = self.model().speakers
        return DEFAULT_VOICE if DEFAULT_VOICE in speakers else speakers[0]

    def enrolled(self, name: str = "") -> list[str]:
        """The voices that were enrolled, and may be removed."""
        run = self.model(name).run
        known, _ = speaker_table.enrolled(run.user_data_dir, run.digest, run.model.speaker_shapes)
        return [one.voice.name for one in known] if self.enrolment else []

    def rates(self) -> list[str]:
        """What the models cost, in the order of `models`."""
        return [f"{bits_per_second(self._codecs[name]):.0f} bit/s" for name in self.models]

    def examples(self) -> dict[str, Path]:
        """Recordings to begin with, by who says them: synthetic voices; none where there is no synthesiser."""
        made = {}
        for place in EXAMPLES:
            path = self.upload_folder.folder / f"example-{synthetic.VOICES[place].name}.wav"
            try:
                wave, _ = synthetic.Synthesiser(synthetic.VOICES[place]).speak(synthetic.sentences()[place])
            except InputError:
                return {}
            audio.write(path, wave / np.float32(32768), synthetic.SAMPLE_RATE)
            person = {"F": "woman", "M": "man"}[synthetic.VOICES[place].sex]
            made[f"{synthetic.VOICES[place].accent} {person}"] = path
        return made

    def convert(
        self, recording: str | None, voice: str, temperature: float = 0.9, level: str = "voice", seed: int = 0,
        name: str = "", vocoder: str = "", progress: Tell = lambda _: None,
    ) -> ConversionResult:  # fmt: skip
        """A recording in a voice.

        Args:
            vocoder: a name of `vocoders`; by default the first.
            progress: is called with the share that is done.

        Raises:
            InputError: no recording, too long a one, or as `conversion.convert`.
        """
        model, source, seconds = self.model(name), *self.upload_folder.recording(recording)
        request_dir, tell = self.upload_folder.request_dir(), self.upload_folder.with_deadline(progress, seconds)
        model.speaker_index(voice)
        with self._lock:
            target = request_dir / f"{safe_filename(source.name)}.{voice}.wav"
            sampling = SamplingConfig(temperature, seed=seed)
            codec = self._with_vocoder(name, vocoder or self.vocoders()[0][1])
            converted = conversion.convert(codec, source, voice, target, sampling, level, tell)
        pieces = vqs_files.encode_pieces(model, [converted.codes], lambda: converted.n_samples, voice)
        vqs = request_dir / f"{safe_filename(source.name)}.vqs"
        vqs.write_bytes(b"".join(pieces))
        waves = {"your recording": source, voice: target}
        picture = _picture(request_dir, model, waves, converted.codes)
        return ConversionResult(target, vqs, picture, _sizes(vqs, target, seconds))

    def live(self, voice: str, vocoder: str = "") -> LiveVoice:
        """A live conversion to a voice of the first model.

        Raises:
            InputError: an unknown voice.
        """
        codec = self._with_vocoder("", vocoder)
        with self._lock:
            return LiveVoice(LiveConverter(codec, voice, LIVE_BLOCK_MS), self._lock, self.upload_folder.limits.work_s)

    def encode(
        self, recording: str | None, voice: str = "", name: str = "", codebooks: int | None = None
    ) -> tuple[Path, str]:
        """A recording as a .vqs of the first `codebooks` (by default all), and one line about it.

        Raises:
            InputError: as `convert`.
        """
        model, source, seconds = self.model(name), *self.upload_folder.recording(recording)
        vqs = self.upload_folder.request_dir() / f"{safe_filename(source.name)}.vqs"
        with self._lock:
            vqs_files.encode_file(model, source, vqs, voice, codebooks=codebooks)
        return vqs, f"{vqs.stat().st_size:,} bytes, {8 * vqs.stat().st_size / seconds:.0f} bit/s"

    def decode(
        self, file: str | None, voice: str = "", temperature: float = 0.9, progress: Tell = lambda _: None
    ) -> tuple[Path, str]:
        """What a .vqs says, in its own voice or another, and one line about it.

        Raises:
            InputError: no file, one that is no .vqs, is too long, or is of a model that is not open here.
        """
        source = self.upload_folder.file(file)
        with hide_path(source, "the file"):
            header, seconds = _opened(source)
        model = next((one for one in self._codecs.values() if one.run.digest.startswith(header.model)), None)
        if model is None:
            raise InputError(f"the file was made by another model ({header.model[:12]}) than those that are open here")
        self.upload_folder.check_duration(seconds)
        target = self.upload_folder.request_dir() / f"{safe_filename(source.name)}.wav"
        tell = self.upload_folder.with_deadline(progress, seconds)
        with self._lock, audio.Writer(target, model.sample_rate) as writer:
            done = 0
            for wave in vqs_files.decode_blocks(model, [source.read_bytes()], voice, SamplingConfig(temperature)):
                writer.write(wave)
                tell((done := done + len(wave)) / model.sample_rate)
        size = source.stat().st_size
        text = f"{size:,} bytes, {seconds:.1f} s: {8 * size / seconds:.0f} bit/s, said by {voice or header.speaker}"
        return target, text

    def sample(
        self, voice: str, seconds: float = 4.0, temperature: float = 0.9, prompt: str | None = None, seed: int = 0,
        name: str = "", progress: Tell = lambda _: None,
    ) -> Path:  # fmt: skip
        """Speech from nothing, or going on from a recording, in a voice.

        Raises:
            InputError: the model has no prior, or as `prior_speech.sample_codes`.
        """
        model, sampler = self.model(name), self._sampler(name)
        self.upload_folder.check_duration(seconds)
        begun = self.upload_folder.recording(prompt) if prompt else None
        of_codes, of_samples = SamplingConfig(temperature, seed=seed), SamplingConfig(0.9, seed=seed)
        with self._lock:
            codes = prior_speech.sample_codes(sampler, voice, seconds, 1, of_codes, begun[0] if begun else None)
            tell = self.upload_folder.with_deadline(progress, codes[:, :, 0].size * model.hop / model.sample_rate)
            folder = self.upload_folder.request_dir()
            return next(prior_speech.decode_to_files(model, codes, voice, folder, of_samples, tell))

    def enrol(self, recording: str | None, called: str, progress: Tell = lambda _: None) -> list[str]:
        """Adds a voice to the first model; returns what is to be said about the recording.

        Raises:
            InputError: enrolment is switched off, or as `speaker_enrolment.enrol`.
        """
        if not self.enrolment:
            raise InputError("no voices can be added to this page")
        source, _ = self.upload_folder.recording(recording)
        warnings: list[str] = []
        text = self.upload_folder.with_deadline(progress, 1.0)
        with self._lock, hide_path(source, "the recording has"):
            speaker_enrolment.enrol(self.model(), called.strip(), [source], progress=text, warn=warnings.append)
            self._reload()
        return [line.removeprefix(f"{source}: ") for line in warnings]

    def remove(self, called: str) -> None:
        """Removes a voice that was enrolled.

        Raises:
            InputError: enrolment is switched off, or there is no such voice.
        """
        if not self.enrolment:
            raise InputError("no voices can be removed from this page")
        with self._lock:
            speaker_enrolment.remove(self.model(), called)
            self._reload()

    def dictionary(self) -> CodePhoneMap:
        """Which codes of the first model are which phones."""
        run = self.model().run
        return CodePhoneMap(run.folder or Path(), run.config.model.quantizer.codebook_size)

    def say_codes(self, codes: list[int], voice: str) -> Path:
        """Some codes of the first codebook one after the other, each for REPEATS frames.

        Raises:
            InputError: no codes, unknown ones, or an unknown voice.
        """
        if not codes:
            raise InputError("there is nothing to say; choose a phone or a code")
        model, target = self.model(), self.upload_folder.request_dir() / "codes.wav"
        with self._lock:
            wave = model.decode(np.repeat(codes[:24], REPEATS), voice, SamplingConfig(0.8))
        audio.write(target, wave, model.sample_rate)
        return target

    def _sampler(self, name: str) -> PriorSampler:
        key, model = name or next(iter(self._codecs)), self.model(name)
        if key not in self._samplers:
            self._samplers[key] = PriorSampler(hub.resolve_prior("", key), model)
        self._samplers[key].model = model
        return self._samplers[key]

    def _reload(self) -> None:
        """Loads the first model anew, with the voices that it has now."""
        first = next(iter(self._codecs))
        self._codecs[first] = _load_fast(first)
        self._wavenets.pop(first, None)

    def _with_vocoder(self, name: str, vocoder: str) -> SpeechCodec:
        model, key = self.model(name), name or next(iter(self._codecs))
        if vocoder != WAVENET or not model.uses_source_filter:
            return model
        if key not in self._wavenets:
            self._wavenets[key] = SpeechCodec(model.run, WAVENET)
        return self._wavenets[key]


def _load_fast(name: str) -> SpeechCodec:
    """A model with its fastest vocoder."""
    run = checkpoint.load(name)
    return SpeechCodec(run, SpeechCodec.fastest_vocoder(run))


def bits_per_second(model: SpeechCodec) -> float:
    """What the codes of a model cost if all are alike."""
    return sum(map(math.log2, model.net.quantizer.sizes)) * model.sample_rate / model.hop


def _described(name: str, voice: speaker_table.SpeakerInfo | None) -> str:
    sexes = {"F": "female", "M": "male"}
    known = [sexes.get(voice.sex, voice.sex), voice.accent] if voice else []
    return f"{name} ({', '.join(one for one in known if one)})" if any(known) else name


def _picture(request_dir: Path, model: SpeechCodec, paths: dict[str, Path], codes: Codes) -> Path:
    """Mel spectrograms of recordings by name, and their codes as colours."""
    path = request_dir / "picture.png"
    ranks = [rank_by_first_component(quantizer.codebook) for quantizer in model.quantizers]
    colours = np.stack([rank[column] for rank, column in zip(ranks, codes.T, strict=True)])
    waves: dict[str, Wave] = {name: audio.read(one, model.sample_rate) for name, one in paths.items()}
    figures.conversion(waves, colours, model.sample_rate, model.hop).savefig(path, format="png")
    return path


def _opened(path: Path) -> tuple[bitstream.Header, float]:
    """The header of a .vqs and the seconds that it lasts, both before a code of it is decoded."""
    reader = bitstream.Reader()
    try:
        lengths = [chunk.length for chunk in (*reader.push(path.read_bytes()), *reader.finish())]
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    assert reader.header  # finish() has said so
    return reader.header, (lengths[-1] or 0) / max(1, reader.header.sample_rate)


def _sizes(vqs: Path, wav: Path, seconds: float) -> str:
    small, large = vqs.stat().st_size, wav.stat().st_size
    return (
        f"{seconds:.1f} s: {small:,} bytes of codes ({8 * small / seconds:.0f} bit/s), "
        f"{large:,} bytes of WAV ({8 * large / seconds / 1000:.0f} kbit/s), {large / small:.0f} times as many"
    )
