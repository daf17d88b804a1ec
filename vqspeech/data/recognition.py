"""Speech recognition by faster-whisper, with word and character error rates."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rapidfuzz.distance import Levenshtein

from vqspeech import audio
from vqspeech.data import corpus
from vqspeech.data.corpus import Skipped
from vqspeech.errors import InputError
from vqspeech.shapes import Wave

SAMPLE_RATE = 16000


class Recogniser:
    """A faster-whisper model of English.

    Args:
        asr: its name (`tiny.en`), a name on the hub, or its folder.
        threads: on which it runs.

    Raises:
        InputError: faster-whisper is not installed, or there is no such model.
    """

    def __init__(self, asr: str, threads: int = 1) -> None:
        try:
            from faster_whisper import WhisperModel
        except ImportError:
            raise InputError("a recogniser needs faster-whisper; pip install 'vqspeech[asr]'") from None
        try:
            self.model: Any = WhisperModel(asr, device="cpu", compute_type="float32", cpu_threads=threads)
        except Exception as error:  # ctranslate2 and the hub have errors of many kinds
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"{asr}: cannot be loaded as a recogniser ({reason}); give a name or a folder") from None

    def hear(self, wave: Wave) -> str:
        """The text of a wave at SAMPLE_RATE."""
        segments, _ = self.model.transcribe(wave, language="en", beam_size=5, condition_on_previous_text=False)
        return " ".join(segment.text.strip() for segment in segments)


def transcribe(directory: Path, asr: str, threads: int = 1, progress: Callable = lambda *_: None) -> list[Skipped]:
    """Adds `text` to a data directory that has none, by a recogniser.

    Returns:
        The utterances that could not be read; their text is empty.

    Raises:
        InputError: it has texts already, or there is no such recogniser.
    """
    if (directory / "text").exists():
        raise InputError(f"{directory}: has a text already; move it away to have it transcribed")
    recogniser, rows, skipped = Recogniser(asr, threads), [], []
    utterances = corpus.Corpus(directory)
    for number, utt in enumerate(utterances, 1):
        text = ""
        try:
            text = recogniser.hear(audio.read(utt.path, SAMPLE_RATE, utt.start_s, utt.end_s))
        except InputError as error:
            skipped.append(Skipped(utt.key, utt.path, str(error)))
        rows.append(f"{utt.key} {text}".rstrip() + "\n")
        progress(number, len(utterances))
    corpus.write_text_atomic(directory / "text", "".join(rows))
    return skipped


def words(text: str) -> list[str]:
    """The words of a text, without case and punctuation.

    >>> words("It's eight-thirty, Mr. Bell!")
    ["it's", 'eight', 'thirty', 'mr', 'bell']
    """
    return re.sub(r"[^a-z' ]", "", text.lower().replace("-", " ")).split()


def errors(reference: str, hypothesis: str) -> dict[str, float]:
    """Word and character error rate of a hypothesis, and the lengths of the reference that they are shares of."""
    reference_words, hypothesis_words = words(reference), words(hypothesis)
    letters = " ".join(reference_words)
    return {
        "wer": Levenshtein.distance(reference_words, hypothesis_words) / max(1, len(reference_words)),
        "cer": Levenshtein.distance(letters, " ".join(hypothesis_words)) / max(1, len(letters)),
        "words": len(reference_words),
        "letters": len(letters),
    }
