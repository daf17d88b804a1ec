"""Phone alignment of a corpus: existing labels, or forced alignment of its text."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqspeech import audio
from vqspeech.data import corpus
from vqspeech.data.corpus import Skipped, Utterance
from vqspeech.data.phones import Phone, fold, read_ctm, read_htk, read_textgrid, write
from vqspeech.errors import InputError
from vqspeech.system.parallel import Progress, parallel_map


def import_labels(directory: str | Path, labels: str | Path) -> list[Skipped]:
    """Import labels as phones.ctm: a CTM file, or a folder of KEY.lab or KEY.TextGrid, by speaker or not.

    Their times are those of the recordings; each utterance gets what lies within its bounds.

    Returns:
        The utterances that have no labels.

    Raises:
        InputError: there are no such labels, or none of an utterance of this directory.
    """
    labels, phones_by_key = Path(labels), {}
    if not labels.exists():
        raise InputError(f"{labels}: no such labels; give a folder of .lab or .TextGrid files, or a CTM file")
    utterances = corpus.read(directory)
    table = read_ctm(labels) if labels.is_file() else {}
    for utt in utterances:
        rows = table.get(utt.key) or _labels_of(labels, utt)
        if rows:
            phones_by_key[utt.key] = _clip(rows, utt.start_s, np.inf if utt.end_s is None else utt.end_s)
    if not phones_by_key:
        raise InputError(f"{labels}: has no labels of any of the {len(utterances)} utterances of {directory}")
    write(directory, phones_by_key)
    return [Skipped(utt.key, utt.path, "has no labels") for utt in utterances if utt.key not in phones_by_key]


def align(directory: str | Path, nj: int = 1, progress: Progress = lambda *_: None) -> list[Skipped]:
    """Write phones.ctm by forced alignment of `text`, by pocketsphinx.

    Args:
        nj: processes.

    Returns:
        The utterances that could not be aligned, and why: no text, a word that the dictionary lacks.

    Raises:
        InputError: pocketsphinx is not installed, or nothing could be aligned.
    """
    _lexicon()
    utterances, aligned, skipped = corpus.read(directory), {}, []
    for utt, (phones, reason) in zip(
        utterances, parallel_map(_aligned, utterances, len(utterances), nj, progress), strict=True
    ):
        if phones:
            aligned[utt.key] = phones
        else:
            skipped.append(Skipped(utt.key, utt.path, reason))
    if not aligned:
        raise InputError(f"{directory}: none of {len(skipped)} utterances could be aligned; first: {skipped[0].reason}")
    write(directory, aligned)
    return skipped


def align_by_pocketsphinx(wave: NDArray[np.float32], text: str) -> list[Phone]:
    """Forced alignment by pocketsphinx and its English model, of a wave (time,) at 16 kHz.

    Raises:
        InputError: a word is not in its dictionary, or the words do not fit the sound.
    """
    decoder, words = _decoder(), _words(text)  # a new one: it adapts to what it has heard
    sound = (np.clip(wave, -1, 1) * 32767).astype(np.int16).tobytes()
    try:
        decoder.set_align_text(" ".join(words))
        for align_phones in (False, True):  # words first, then the phones within them
            if align_phones:
                decoder.set_alignment()
            decoder.start_utt()
            decoder.process_raw(sound, full_utt=True)
            decoder.end_utt()
        rows = [phone for word in decoder.get_alignment() for phone in word]
    except RuntimeError:
        raise InputError("the words do not fit the sound") from None
    frame_s = 0.01
    return [Phone(row.start * frame_s, (row.start + row.duration) * frame_s, fold(row.name)) for row in rows]


def _words(text: str) -> list[str]:
    """The words of a text, as the dictionary has them."""
    words = re.findall(r"[a-z']*[a-z][a-z']*", text.lower().replace("\u2019", "'"))
    if not words:
        raise InputError("has no words")
    spelled = [word if _lexicon().lookup_word(word) else word.strip("'") for word in words]
    if missing := [word for word in spelled if not _lexicon().lookup_word(word)]:
        raise InputError(f"not in the dictionary: {' '.join(missing)}")
    return spelled


def _labels_of(folder: Path, utt: Utterance) -> list[Phone]:
    for stem in (folder / utt.speaker / utt.key, folder / utt.key):
        for suffix, read_file in ((".lab", read_htk), (".TextGrid", read_textgrid)):
            if (path := stem.with_name(stem.name + suffix)).is_file():
                return read_file(path)
    return []


def _clip(phones: list[Phone], start_s: float, end_s: float) -> list[Phone]:
    clipped = (
        Phone(max(phone.start_s, start_s) - start_s, min(phone.end_s, end_s) - start_s, phone.phone) for phone in phones
    )
    return [phone for phone in clipped if phone.end_s > phone.start_s]


def _aligned(utt: Utterance) -> tuple[list[Phone], str]:
    try:
        if not utt.text:
            return [], "has no text"
        return align_by_pocketsphinx(audio.read(utt.path, 16000, utt.start_s, utt.end_s), utt.text), ""
    except InputError as fault:
        return [], str(fault)


def _decoder() -> Any:
    try:
        from pocketsphinx import Decoder
    except ImportError:
        raise InputError("alignment needs pocketsphinx; pip install 'vqspeech[measure]'") from None
    return Decoder(samprate=16000, loglevel="FATAL", bestpath=False, lm=None)


_lexicon = cache(_decoder)
