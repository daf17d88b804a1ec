"""Phone posteriors of 20 ms frames, from a recogniser's encoder and a linear layer.

```
posteriors.scp              utterance path:offset:frames, in frames
posteriors/about.json       format, phones, frame_s, the recogniser
posteriors/posteriors.f16   rows of one float16 a phone
posteriors/layer.safetensors  the linear layer, fitted to what part of a corpus has phones.ctm
```
They are softer than labels of a forced alignment, and every recording of a corpus can have them.

Source: soft targets are those of Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network (2015).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vqspeech import audio
from vqspeech.data import corpus, phones
from vqspeech.data.corpus import Utterance
from vqspeech.data.recognition import Recogniser
from vqspeech.errors import InputError
from vqspeech.system.files import atomic_path

FORMAT = 1
SAMPLE_RATE, HOP = 16000, 320
WINDOW_FRAMES, GAP_FRAMES = 1500, 15
"""Frames that the recogniser hears at once, and of silence between two utterances in them."""
FIT_FRAMES = 150_000
MIN_FIT_FRAMES = 501
"""Least labelled frames to fit the layer to: the first 500 are held out."""
FOLDER, TABLE = "posteriors", "posteriors.scp"

Features = NDArray[np.float32]
Progress = Callable[[int, int], None]


def write(
    directories: Sequence[Path], asr: str, layer: Path | None = None, threads: int = 1,
    progress: Progress = lambda *_: None,
) -> float:  # fmt: skip
    """Adds posteriors to data directories; the layer is fitted to those of them that have phones.ctm.

    Args:
        asr: a faster-whisper model, by its name or its folder.
        layer: one that was fitted before, instead.
        threads: of the recogniser.

    Returns:
        The share of labelled frames whose likeliest phone is the label; NaN where a layer was given.

    Raises:
        InputError: no such recogniser, or no labels for any utterance and no layer.
    """
    encoder = Encoder(asr, threads)
    right = float("nan")
    if layer:
        weight, bias = read_layer(layer)
    else:
        weight, bias, right = fit(_labelled(directories, encoder))
    total, n_done = sum(len(corpus.Corpus(directory)) for directory in directories), 0
    for directory in directories:
        folder = directory / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        _write_layer(folder / "layer.safetensors", weight, bias)
        archive, rows, offset = folder / "posteriors.f16", [], 0
        with atomic_path(archive) as part, part.open("wb") as file:
            for utt, features in encoder.encode(corpus.Corpus(directory)):
                logits = features @ weight.T + bias
                shares = np.exp(logits - logits.max(axis=1, keepdims=True))
                file.write((shares / shares.sum(axis=1, keepdims=True)).astype("<f2").tobytes())
                rows.append(f"{utt.key} {archive}:{offset}:{len(features)}\n")
                offset += len(features)
                n_done += 1
                progress(n_done, total)
        metadata = {"format": FORMAT, "phones": phones.PHONES, "frame_s": HOP / SAMPLE_RATE, "asr": Path(asr).name}
        corpus.write_text_atomic(folder / "about.json", json.dumps(metadata) + "\n")
        corpus.write_text_atomic(directory / TABLE, "".join(rows))
    return right


class PhoneTargets(Protocol):
    """Phone posteriors of utterances by key, (frames, phones); a frame of sum 0 has no label."""

    def __contains__(self, key: str) -> bool: ...

    def __getitem__(self, key: str) -> NDArray[np.floating]: ...


class Posteriors:
    """The posteriors of a data directory, mapped into memory; `averaged` frames become one by their mean.

    Args:
        directory: with `posteriors.scp`, as `write` makes it.

    Raises:
        InputError: they are of another format, or not whole.
    """

    def __init__(self, directory: Path) -> None:
        self.averaged = 1
        path = directory / FOLDER / "about.json"
        try:
            metadata = json.loads(path.read_text(encoding="utf-8"))
            if metadata["format"] != FORMAT or tuple(metadata["phones"]) != phones.PHONES:
                raise ValueError("of another version")
            self.frame_s = float(metadata["frame_s"])
            self._places: dict[str, tuple[Path, int, int]] = {}
            for line in (directory / TABLE).read_text(encoding="utf-8").splitlines():
                key, place = line.split(maxsplit=1)
                path, offset, frames = place.rsplit(":", 2)
                self._places[key] = Path(path), int(offset), int(frames)
            paths = {path for path, _, _ in self._places.values()}
            self._maps = {path: np.memmap(path, "<f2", "r").reshape(-1, len(phones.PHONES)) for path in paths}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{directory}: its posteriors cannot be read ({error}); make them again") from None

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __getitem__(self, key: str) -> NDArray[np.floating]:
        """Those of an utterance, (frames, phones)."""
        path, offset, frames = self._places[key]
        rows = self._maps[path][offset : offset + frames]
        if self.averaged == 1:
            return rows
        rows = np.pad(rows.astype(np.float32), ((0, -frames % self.averaged), (0, 0)), mode="edge")
        return rows.reshape(-1, self.averaged, rows.shape[1]).mean(axis=1)


class PhoneLabels:
    """The labels of a data directory's phones.ctm, as posteriors of 0 and 1.

    Args:
        directory: with `phones.ctm`.
        frame_s: seconds of a frame.
    """

    def __init__(self, directory: Path, frame_s: float) -> None:
        self._phones, self._hop = phones.read(directory), round(frame_s * SAMPLE_RATE)

    def __contains__(self, key: str) -> bool:
        return key in self._phones

    def __getitem__(self, key: str) -> NDArray[np.floating]:
        """Those of an utterance, (frames, phones), to the end of its last phone."""
        frames = round(self._phones[key][-1].end_s * SAMPLE_RATE / self._hop)
        return np.eye(len(phones.PHONES))[phones.frame_phones(self._phones[key], frames, self._hop, SAMPLE_RATE)]


def beside_packed(
    folders: Sequence[str | Path], frame_s: float, prefer_labels: bool = False
) -> list[PhoneTargets | None]:
    """The phone targets beside each of some packed folders: posteriors, or labels; none where there are none.

    Args:
        frame_s: seconds of a frame of the targets; posteriors of shorter frames are averaged.
        prefer_labels: whether labels are taken where there are both.

    Raises:
        InputError: none has any, or some are of frames that do not fit.
    """
    targets: list[PhoneTargets | None] = []
    for path in folders:
        parent = Path(path).parent
        has_labels = (parent / "phones.ctm").is_file()
        if (parent / TABLE).is_file() and not (prefer_labels and has_labels):
            posteriors = Posteriors(parent)
            posteriors.averaged = max(1, round(frame_s / posteriors.frame_s))
            if abs(posteriors.averaged * posteriors.frame_s - frame_s) > 1e-6:
                raise InputError(
                    f"{path}: posteriors of {posteriors.frame_s:g} s a frame, the config has {frame_s:g} s a code"
                )
            targets.append(posteriors)
        else:
            targets.append(PhoneLabels(parent, frame_s) if has_labels else None)
    if not any(targets):
        raise InputError(
            f"{folders[0]}: has no phone posteriors and no labels; run `vqspeech data posteriors` or "
            "`vqspeech data align`"
        )
    return targets


class Encoder:
    """The encoder of a faster-whisper model, which gives (frames, channels) for a recording, HOP samples a frame.

    Args:
        asr: its name or its folder.
        threads: on which it runs.
    """

    def __init__(self, asr: str, threads: int = 1) -> None:
        self._model = Recogniser(asr, threads).model

    def encode(self, utterances: Iterable[Utterance]) -> Iterator[tuple[Utterance, Features]]:
        """Utterances, several of which are heard at once, and their features."""
        pending: list[tuple[Utterance, NDArray[np.float32]]] = []
        used = 0
        for utt in utterances:
            try:
                wave = audio.read(utt.path, SAMPLE_RATE, utt.start_s, utt.end_s)
            except InputError:
                continue  # packing reports it
            frames = -(-len(wave) // HOP)
            if pending and used + frames > WINDOW_FRAMES:
                yield from self._encode_pending(pending)
                pending, used = [], 0
            pending.append((utt, wave))
            used += frames + GAP_FRAMES
        yield from self._encode_pending(pending)

    def encode_wave(self, wave: NDArray[np.float32]) -> Features:
        """Features of one recording, window by window."""
        parts = [wave[start : start + WINDOW_FRAMES * HOP] for start in range(0, len(wave), WINDOW_FRAMES * HOP)]
        return np.concatenate([self._features(part)[: -(-len(part) // HOP)] for part in parts])

    def _encode_pending(
        self, pending: list[tuple[Utterance, NDArray[np.float32]]]
    ) -> Iterator[tuple[Utterance, Features]]:
        for utt, wave in pending if len(pending) == 1 else ():
            yield utt, self.encode_wave(wave)
        if len(pending) > 1:
            starts = np.cumsum([0, *(-(-len(wave) // HOP) + GAP_FRAMES for _, wave in pending)])
            window = np.zeros(WINDOW_FRAMES * HOP, np.float32)
            for start, (_, wave) in zip(starts, pending, strict=False):
                window[start * HOP : start * HOP + len(wave)] = wave
            features = self._features(window)
            for start, (utt, wave) in zip(starts, pending, strict=False):
                yield utt, features[start : start - (-len(wave) // HOP)]

    def _features(self, wave: NDArray[np.float32]) -> Features:
        """(WINDOW_FRAMES, channels) of at most a window."""
        padded = np.pad(wave, (0, WINDOW_FRAMES * HOP - len(wave)))
        spectra = self._model.feature_extractor(padded, padding=0)[:, : 2 * WINDOW_FRAMES]
        return np.asarray(self._model.encode(spectra))[0].astype(np.float32)


def fit(labelled: tuple[Features, NDArray[np.int64]]) -> tuple[Features, Features, float]:
    """Weights (phones, channels) and biases of a logistic regression, and its share of right frames of every tenth.

    A phone that has no label gets a bias that makes it next to impossible.

    Raises:
        InputError: fewer labelled frames than MIN_FIT_FRAMES, or fewer than three phones in them.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    features, labels = labelled
    names = len(np.unique(labels))
    if len(labels) < MIN_FIT_FRAMES or names < 3:
        raise InputError(
            f"{len(labels)} frames with {names} different phones are labelled; a layer needs at least "
            f"{MIN_FIT_FRAMES} frames (10 s) with three phones; label more, or give --layer"
        )
    tested = np.arange(len(labels)) // 500 % 10 == 0
    scaler = StandardScaler().fit(features[~tested])
    regression = LogisticRegression(max_iter=60, C=0.1, tol=1e-3)
    regression.fit(scaler.transform(features[~tested]), labels[~tested])
    right = float(regression.score(scaler.transform(features[tested]), labels[tested]))
    weight = np.zeros((len(phones.PHONES), features.shape[1]), np.float32)
    bias = np.full(len(phones.PHONES), -30, np.float32)
    weight[regression.classes_] = regression.coef_ / scaler.scale_
    bias[regression.classes_] = regression.intercept_ - (regression.coef_ / scaler.scale_) @ scaler.mean_
    return weight, bias, right


def _labelled(directories: Sequence[Path], encoder: Encoder) -> tuple[Features, NDArray[np.int64]]:
    """Features and labels of frames of the utterances that have some, FIT_FRAMES or what there is."""
    parts: list[tuple[Features, NDArray[np.int64]]] = []
    for directory in (folder for folder in directories if (folder / "phones.ctm").is_file()):
        phones_by_key = phones.read(directory)
        labelled = [utt for utt in corpus.Corpus(directory) if utt.key in phones_by_key]
        for utt, features in encoder.encode(labelled):
            labels = phones.frame_phones(phones_by_key[utt.key], len(features), HOP, SAMPLE_RATE)
            parts.append((features, labels))
    if not parts:
        raise InputError(f"{', '.join(map(str, directories))}: no utterance has labels in phones.ctm; give --layer")
    features, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    chosen = np.random.default_rng(0).permutation(len(labels))[:FIT_FRAMES]
    chosen.sort()
    return features[chosen], labels[chosen]


def read_layer(path: Path) -> tuple[Features, Features]:
    """The weights and biases of a layer that was kept."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
        return tensors["weight"], tensors["bias"]
    except (OSError, SafetensorError, KeyError) as error:
        raise InputError(
            f"{path}: is no layer of phone posteriors ({error}); give posteriors/layer.safetensors"
        ) from None


def _write_layer(path: Path, weight: Features, bias: Features) -> None:
    from safetensors.numpy import save_file

    with atomic_path(path) as part:
        save_file({"weight": weight, "bias": bias}, part)
