"""Phone alignment of a corpus: existing labels, or forced alignment of its text."""

import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vqspeech import audio
from vqspeech.data import corpus
from vqspeech.data.corpus import Skipped, Utterance
from vqspeech.data.phones import PAUSE, Phone, fold, read_ctm, read_htk, read_textgrid, write
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
    labels, found = Path(labels), {}
    if not labels.exists():
        raise InputError(f"{labels}: no such labels; give a folder of .lab or .TextGrid files, or a CTM file")
    utterances = corpus.read(directory)
    table = read_ctm(labels) if labels.is_file() else {}
    for one in utterances:
        rows = table.get(one.key) or _labels_of(labels, one)
        if rows:
            found[one.key] = _within(rows, one.start_s, np.inf if one.end_s is None else one.end_s)
    if not found:
        raise InputError(f"{labels}: has no labels of any of the {len(utterances)} utterances of {directory}")
    write(directory, found)
    return [Skipped(one.key, one.path, "has no labels") for one in utterances if one.key not in found]


def align(
    directory: str | Path, aligner: str = "pocketsphinx", nj: int = 1, progress: Progress = lambda *_: None
) -> list[Skipped]:
    """Write phones.ctm by forced alignment of `text`.

    Args:
        aligner: "pocketsphinx" or "torchaudio".
        nj: processes.

    Returns:
        The utterances that could not be aligned, and why: no text, a word that the dictionary lacks.

    Raises:
        InputError: an unknown aligner, or nothing could be aligned.
    """
    aligners = {"pocketsphinx": align_by_pocketsphinx, "torchaudio": align_by_torchaudio}
    if aligner not in aligners:
        raise InputError(f"aligner {aligner!r} is unknown; choose from {', '.join(aligners)}")
    _lexicon()
    if aligner == "torchaudio":
        _torchaudio()
    utterances, found, skipped = corpus.read(directory), {}, []
    work = partial(_aligned, aligners[aligner])
    for one, (phones, reason) in zip(
        utterances, parallel_map(work, utterances, len(utterances), nj, progress), strict=True
    ):
        if phones:
            found[one.key] = phones
        else:
            skipped.append(Skipped(one.key, one.path, reason))
    if not found:
        raise InputError(f"{directory}: none of {len(skipped)} utterances could be aligned; first: {skipped[0].reason}")
    write(directory, found)
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
        for again in (False, True):  # words first, then the phones within them
            if again:
                decoder.set_alignment()
            decoder.start_utt()
            decoder.process_raw(sound, full_utt=True)
            decoder.end_utt()
        rows = [phone for word in decoder.get_alignment() for phone in word]
    except RuntimeError:
        raise InputError("the words do not fit the sound") from None
    frame_s = 0.01
    return [Phone(one.start * frame_s, (one.start + one.duration) * frame_s, fold(one.name)) for one in rows]


def align_by_torchaudio(wave: NDArray[np.float32], text: str) -> list[Phone]:
    """The same by torchaudio's MMS_FA, which knows letters: words are aligned, their phones spread evenly within.

    So its words are good and its phones coarse.  Its model (1.2 GB) is fetched by torch.hub, or lies in its cache.

    Raises:
        InputError: as above; or torchaudio, its compiled part or its model cannot be had.
    """
    bundle, model = _torchaudio()
    words = _words(text)
    spelt = [re.sub("[^a-z]", "", word) for word in words]
    with torch.inference_mode():
        emission, _ = model(torch.from_numpy(wave)[None])
        spans = bundle.get_aligner()(emission[0], bundle.get_tokenizer()(spelt))
    frame_s, now_s, phones = len(wave) / 16000 / emission.shape[1], 0.0, []
    for word, letters in zip(words, spans, strict=True):
        names = _lexicon().lookup_word(word).split()
        edges = np.linspace(letters[0].start * frame_s, letters[-1].end * frame_s, len(names) + 1)
        if edges[0] > now_s:
            phones.append(Phone(now_s, float(edges[0]), PAUSE))
        phones += [Phone(float(a), float(b), fold(name)) for a, b, name in zip(edges, edges[1:], names, strict=False)]
        now_s = float(edges[-1])
    return phones


def _words(text: str) -> list[str]:
    """The words of a text, as the dictionary has them."""
    words = re.findall(r"[a-z']*[a-z][a-z']*", text.lower().replace("\u2019", "'"))
    if not words:
        raise InputError("has no words")
    known = [word if _lexicon().lookup_word(word) else word.strip("'") for word in words]
    if missing := [word for word in known if not _lexicon().lookup_word(word)]:
        raise InputError(f"not in the dictionary: {' '.join(missing)}")
    return known


def _labels_of(folder: Path, one: Utterance) -> list[Phone]:
    for place in (folder / one.speaker / one.key, folder / one.key):
        for suffix, read_file in ((".lab", read_htk), (".TextGrid", read_textgrid)):
            if (path := place.with_name(place.name + suffix)).is_file():
                return read_file(path)
    return []


def _within(phones: list[Phone], start_s: float, end_s: float) -> list[Phone]:
    cut = (Phone(max(one.start_s, start_s) - start_s, min(one.end_s, end_s) - start_s, one.phone) for one in phones)
    return [one for one in cut if one.end_s > one.start_s]


def _aligned(aligner: Callable[..., list[Phone]], one: Utterance) -> tuple[list[Phone], str]:
    try:
        if not one.text:
            return [], "has no text"
        return aligner(audio.read(one.path, 16000, one.start_s, one.end_s), one.text), ""
    except InputError as fault:
        return [], str(fault)


def _decoder() -> Any:
    try:
        from pocketsphinx import Decoder
    except ImportError:
        raise InputError("alignment needs pocketsphinx; pip install 'vqspeech[measure]'") from None
    return Decoder(samprate=16000, loglevel="FATAL", bestpath=False, lm=None)


_lexicon = cache(_decoder)


@cache
def _torchaudio() -> Any:
    try:
        from torchaudio.pipelines import MMS_FA

        MMS_FA.get_aligner()
        return MMS_FA, MMS_FA.get_model(with_star=False)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"torchaudio cannot align here ({reason}); take --aligner pocketsphinx") from None
