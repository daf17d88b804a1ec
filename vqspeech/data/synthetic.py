"""The mini corpus: half an hour of synthetic English with exact phone times, in the layout of VCTK 0.92.

    wav48_silence_trimmed/p901/p901_001_mic1.flac    22,050 Hz, 16 bits, as espeak-ng makes it
    txt/p901/p901_001.txt                            the sentence
    lab/p901/p901_001.lab                            HTK labels: start end phone, in units of 100 ns
    speaker-info.txt  README.txt

Everybody reads the first sentences, as in VCTK; each of the others has one, two or three readers, so
that splits without a common sentence exist.  The names p901 to p914 belong to nobody in VCTK.
"""

import ctypes
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech.errors import InputError

SAMPLE_RATE = 22_050
COMMON = 20
"""How many sentences every voice reads."""
PAUSE = "pau"

Progress = Callable[[int, int], None]
Event = tuple[int, str]
Segment = tuple[int, int, str]


class Voice(NamedTuple):
    """One speaker: an accent and a vocal tract of espeak-ng.

    The rate is in words a minute; pitch and range (of the pitch) are espeak-ng's, 0 to 100.
    """

    name: str
    sex: str
    age: int
    accent: str
    region: str
    language: str
    variant: str
    rate: int
    pitch: int
    range: int


# Variants with breath are left out, for it is made with the C library's rand(); so are those with an echo,
# which would fill the silences that tell where a stop's closure starts.
VOICES = (
    Voice("p901", "F", 24, "American", "Standard", "en-us", "f1", 150, 55, 60),
    Voice("p902", "M", 41, "American", "Standard", "en-us", "m3", 145, 45, 50),
    Voice("p903", "F", 35, "English", "RP", "en-gb-x-rp", "belinda", 150, 45, 45),
    Voice("p904", "M", 58, "English", "RP", "en-gb-x-rp", "m1", 135, 20, 60),
    Voice("p905", "M", 33, "Scottish", "Edinburgh", "en-gb-scotland", "m7", 155, 60, 70),
    Voice("p906", "F", 29, "Scottish", "Edinburgh", "en-gb-scotland", "steph", 160, 45, 55),
    Voice("p907", "M", 46, "Caribbean", "Islands", "en-029", "klatt2", 140, 35, 65),
    Voice("p908", "F", 19, "Caribbean", "Islands", "en-029", "Annie", 150, 60, 70),
    Voice("p909", "M", 27, "American", "NewYork", "en-us-nyc", "boris", 165, 70, 50),
    Voice("p910", "F", 71, "English", "Lancashire", "en-gb-x-gbclan", "grandma", 130, 40, 60),
    Voice("p911", "M", 66, "English", "WestMidlands", "en-gb-x-gbcwmd", "m8", 140, 30, 40),
    Voice("p912", "M", 37, "English", "Standard", "en", "klatt4", 150, 55, 40),
    Voice("p913", "F", 12, "American", "Standard", "en-us", "Andrea", 155, 75, 70),
    Voice("p914", "M", 50, "English", "Standard", "en", "adam", 165, 25, 30),
)

# The phones of CMUdict, each with every phoneme of espeak-ng's English that sounds as it.
# A rhotic vowel (A@) is one segment in espeak-ng, and so is a vowel that ends in a dark l: both go by the
# name of the vowel.  A syllabic l (@L) goes by the name of the l.
_PHONEMES = {
    "aa": "0 A: A@", "ae": "a aa", "ah": "@ @2 V a#", "ao": "O2 O: O@ o@", "aw": "aU",
    "ay": "aI aI2 aI3 aI@", "b": "b", "ch": "tS", "d": "d", "dh": "D", "eh": "E e@", "er": "3 3: IR VR",
    "ey": "eI", "f": "f", "g": "g", "hh": "h", "ih": "I I# I2 i@3", "iy": "i i: i@", "jh": "dZ", "k": "k",
    "l": "l @L", "m": "m", "n": "n n-", "ng": "N", "ow": "oU", "oy": "OI", "p": "p", "r": "r r-", "s": "s",
    "sh": "S", "t": "t t# t2 t[ ?", "th": "T", "uh": "U U@ @5", "uw": "u:", "v": "v", "w": "w w#",
    "y": "j ;", "z": "z", "zh": "Z", "pau": "_ _: _! _|",
}  # fmt: skip
PHONES = {phoneme: phone for phone, phonemes in _PHONEMES.items() for phoneme in phonemes.split()}


class Summary(NamedTuple):
    """What a mini corpus holds."""

    directory: Path
    speakers: int
    utterances: int
    seconds: float


def make(directory: Path, progress: Progress | None = None, voices: Sequence[Voice] = VOICES) -> Summary:
    """The mini corpus in a directory: whole or not at all, the same bytes every time.

    A directory that already holds this very corpus is left alone.

    Args:
        directory: new or empty; its parents are made.
        progress: called with the number of utterances done and to do.
        voices: a part of VOICES, for a smaller corpus; a voice reads the same whoever else does.

    Raises:
        InputError: espeakng-loader is missing (install the extra), or the directory holds something else.
    """
    directory = Path(directory)
    readme = _readme(voices)
    if directory.is_dir() and any(directory.iterdir()):
        marker = directory / "README.txt"
        if not (marker.is_file() and marker.read_bytes() == readme.encode()):
            raise InputError(f"{directory}: holds something else than this mini corpus; name a new directory")
        return _summary(directory)
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory}: is a file; name a new directory")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.") as part:
        # a directory of its own inside, for the temporary one may be read by its owner only
        corpus_dir = Path(part, "corpus")
        _write_corpus(corpus_dir, voices, progress)
        (corpus_dir / "README.txt").write_bytes(readme.encode())
        corpus_dir.replace(directory)
    return _summary(directory)


def _write_corpus(directory: Path, voices: Sequence[Voice], progress: Progress | None) -> None:
    import soundfile

    n_done, total = 0, sum(len(readings(voice)) for voice in voices)
    for voice in voices:
        sound, text, lab = (directory / kind / voice.name for kind in ("wav48_silence_trimmed", "txt", "lab"))
        for folder in (sound, text, lab):
            folder.mkdir(parents=True)
        synthesiser = Synthesiser(voice)
        for number, sentence in enumerate(readings(voice), start=1):
            wave, events = synthesiser.speak(sentence)
            key = f"{voice.name}_{number:03d}"
            soundfile.write(sound / f"{key}_mic1.flac", wave, SAMPLE_RATE, subtype="PCM_16")
            (text / f"{key}.txt").write_bytes(f"{sentence}\n".encode())
            (lab / f"{key}.lab").write_bytes(_lab(segments(wave, events)).encode())
            n_done += 1
            if progress:
                progress(n_done, total)
    rows = ["ID  AGE  GENDER  ACCENTS  REGION"]
    rows += [f"{v.name}  {v.age}  {v.sex}    {v.accent}  {v.region}" for v in voices]
    (directory / "speaker-info.txt").write_bytes("".join(f"{row}\n" for row in rows).encode())


def _lab(phones: Sequence[Segment]) -> str:
    """HTK labels; a sample is 453.5 units of 100 ns."""
    units = 10_000_000 / SAMPLE_RATE
    return "".join(f"{round(start * units)} {round(end * units)} {phone}\n" for start, end, phone in phones)


def _readme(voices: Sequence[Voice]) -> str:
    """What the corpus is; its last line changes with anything that decides the bytes."""
    version = Synthesiser(voices[0]).version
    recipe = repr((version, SAMPLE_RATE, COMMON, _PHONEMES, tuple(voices), sentences()))
    return f"""The mini corpus of vqspeech: {len(voices)} synthetic voices in the layout of VCTK 0.92.

No person speaks here. All of it was made by espeak-ng {version} from sentences written for it;
speaker-info.txt describes what each voice imitates. The files in lab/ are no estimates: they
hold the times at which the synthesiser started each phone, in units of 100 ns.

content: {hashlib.sha256(recipe.encode()).hexdigest()}
"""


def _summary(directory: Path) -> Summary:
    labs = sorted(directory.glob("lab/*/*.lab"))
    ends = [int(lab.read_text(encoding="utf-8").split()[-2]) for lab in labs]
    return Summary(directory, len({lab.parent for lab in labs}), len(labs), sum(ends) / 10_000_000)


def sentences() -> list[str]:
    """The text of the corpus, a sentence a line, all of it written for this purpose."""
    return files("vqspeech.data").joinpath("mini_sentences.txt").read_text(encoding="utf-8").splitlines()


def readings(voice: Voice) -> list[str]:
    """What one voice reads, in order: the common sentences, then its share of the others.

    Sentence i of the others has i % 3 + 1 readers, five places apart in the table of voices.
    """
    common, rare = sentences()[:COMMON], sentences()[COMMON:]
    place = VOICES.index(voice)
    readers = [{(i + 5 * j) % len(VOICES) for j in range(i % 3 + 1)} for i in range(len(rare))]
    return common + [text for text, places in zip(rare, readers, strict=True) if place in places]


def segments(wave: NDArray[np.int16], events: Sequence[Event]) -> list[Segment]:
    r"""The phones of an utterance as (start, end, phone) in samples, without a gap from 0 to its end.

    espeak-ng reports a phoneme after the silence it puts before it, which is the closure of a stop.  That
    silence is digital zero, so that the start is found by going back to the last sample that is not:

        wave   ~~~~~~~~000000000/\/~~~~
        event  ^ah              ^t          ->   ah [0, 8)   t [8, ...)
    """
    nonzero = np.flatnonzero(wave)
    starts: list[Event] = [(0, PAUSE)]
    for sample, phoneme in events:
        phone = PHONES[phoneme]
        last_phone = starts[-1][1]
        if PAUSE not in (phone, last_phone):
            n_before = np.searchsorted(nonzero, sample)  # how many sounding samples come earlier
            sample = max(starts[-1][0], int(nonzero[n_before - 1]) + 1 if n_before else 0)
        if phone != PAUSE or last_phone != PAUSE:
            starts.append((sample, phone))
    ends = [start for start, _ in starts[1:]] + [len(wave)]
    # a phone without length sounds in the vowel before it, as a dark l does
    return [(start, end, phone) for (start, phone), end in zip(starts, ends, strict=True) if end > start]


class _Event(ctypes.Structure):
    """espeak_EVENT of espeak-ng's speak_lib.h."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("type", "id", "text_position", "length", "time_ms", "sample")),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


_SAMPLES, _EVENTS = ctypes.POINTER(ctypes.c_short), ctypes.POINTER(_Event)
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, _SAMPLES, ctypes.c_int, _EVENTS)
_LIST_TERMINATED, _PHONEME = 0, 7  # espeak_EVENT_TYPE
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4  # espeak_PARAMETER
_SYNCHRONOUS, _PHONEME_EVENTS, _UTF8 = 2, 1, 1


class Synthesiser:
    """One voice of espeak-ng in its first state.

    espeak-ng keeps its flutter and phases in global variables that no call resets: the second utterance
    depends on the first, the second voice on the first voice.  A private copy of the library has private
    globals, and costs a few milliseconds.
    """

    def __init__(self, voice: Voice) -> None:
        try:
            import espeakng_loader
        except ImportError:
            cure = "pip install 'vqspeech[recipe]'"
            raise InputError(f"espeakng-loader, which speaks the mini corpus, is missing; {cure}") from None
        with tempfile.TemporaryDirectory() as folder:
            self._espeak = ctypes.CDLL(shutil.copy(espeakng_loader.get_library_path(), folder))
        data = os.fsencode(espeakng_loader.get_data_path())
        if self._espeak.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS) != SAMPLE_RATE:
            raise InputError("espeak-ng does not start; pip install --force-reinstall espeakng-loader")
        name = f"{voice.language}+{voice.variant}"
        if self._espeak.espeak_SetVoiceByName(name.encode()) != 0:
            raise InputError(f"espeak-ng has no voice {name}; name one of its languages and variants")
        # at full volume the loudest voices are clipped
        settings = {_RATE: voice.rate, _VOLUME: 70, _PITCH: voice.pitch, _RANGE: voice.range}
        for parameter, value in settings.items():
            self._espeak.espeak_SetParameter(parameter, value, 0)
        self._espeak.espeak_Info.restype = ctypes.c_char_p
        self.version: str = self._espeak.espeak_Info(None).decode().split()[0]
        self._pieces: list[NDArray[np.int16]] = []
        self._events: list[Event] = []
        self._callback = _CALLBACK(self._take)  # espeak-ng keeps its address: it must live as long
        self._espeak.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str) -> tuple[NDArray[np.int16], list[Event]]:
        """The wave of a sentence, and the sample at which each of espeak-ng's phonemes was reported."""
        self._pieces, self._events = [], []
        line = text.encode() + b"\0"
        self._espeak.espeak_Synth(line, ctypes.c_size_t(len(line)), 0, 1, 0, _UTF8, None, None)
        return np.concatenate(self._pieces), self._events

    def _take(self, wave, samples: int, events) -> int:
        """Keep what espeak-ng hands over in pieces: samples, and a list of events; 0 asks for more."""
        if samples:
            self._pieces.append(np.ctypeslib.as_array(wave, (samples,)).copy())
        for event in events:
            if event.type == _LIST_TERMINATED:
                break
            if event.type == _PHONEME:
                self._events.append((event.sample, event.name.decode().strip("',%=")))  # without the stress
        return 0
