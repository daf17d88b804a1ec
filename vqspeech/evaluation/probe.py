"""Probes of codes for phones and speakers, beside k-means of MFCC and an untrained encoder.

Each code is mapped to the phone that it most likely is, on one part of a corpus, and scored on another part that has
no utterance and no sentence of the first (van den Oord et al., 2017, section 4.3).  The same map is made of k-means
clusters of MFCC, of an encoder that never learned, and of the codes in a random order; every accuracy stands beside
that of saying the commonest phone throughout.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from vqspeech import audio
from vqspeech.audio import mulaw
from vqspeech.data import corpus, phones
from vqspeech.data.corpus import Utterance
from vqspeech.data.phones import Phone
from vqspeech.data.splits import sentence
from vqspeech.errors import InputError
from vqspeech.evaluation import abx, information, metrics
from vqspeech.evaluation.information import LabelledFrames
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.models import checkpoint
from vqspeech.models.vqvae import VQVAE

POLICIES = {
    "edges cut": "without the pauses at both ends of an utterance; the paper's 7.2 % holds only so",
    "no pauses": "without any pause",
    "raw": "everything",
}
SOURCES = ("codes", "k-means of MFCC", "untrained encoder", "codes in random order")
SEVERAL = "all codebooks, k-means"
"""The sums of their vectors, in as many clusters as a codebook has codes; `codes` are those of the first."""
PAUSE = phones.PHONES.index(phones.PAUSE)
LINEAR_FRAMES = 60_000  # of training, that a linear probe sees at most


class EncodedUtterance(NamedTuple):
    """Utterance of the probe: codes (frames, codebooks), features and phones of its frames."""

    utterance: Utterance
    codes: NDArray[np.int64]
    quantised: NDArray[np.float32]
    mfcc: NDArray[np.float32]
    untrained: NDArray[np.float32]
    labels: NDArray[np.int64]
    intervals: list[Phone]


def probe(
    model: SpeechCodec, train: str | Path, test: str | Path, minutes: float = 120.0, seed: int = 0,
    progress: Callable[[float], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Probe a model: all results, as written to probe.json.

    Args:
        train, test: data directories with phones.ctm (`vqspeech data align`).
        minutes: of each at most, chosen at random.
        seed: of what is random: that choice, the clusters, the untrained encoder, the triples of ABX, the bootstrap.
        progress: is called with the share that is done.

    Raises:
        InputError: no phones, an utterance or a sentence in both parts, scikit-learn is missing.
    """
    _sklearn()
    parts = _parts(train, test, minutes, seed)
    untrained = _untrained(model, seed)
    total, encoded = sum(map(len, parts)), ([], [])
    for number, (part, utt, intervals) in enumerate((p, *pair) for p, pairs in enumerate(parts) for pair in pairs):
        encoded[part].append(_encode(model, untrained, utt, intervals))
        progress(0.8 * (number + 1) / total)
    sources = _sources(model.codebooks)
    symbols = {source: _symbols(source, encoded, model.net.quantizer.sizes[0], seed) for source in sources}
    results: dict[str, Any] = {"conditions": _conditions(model, train, test, encoded, seed), "accuracy": {}}
    for policy in POLICIES:
        results["accuracy"][policy] = {source: _accuracy(encoded, symbols[source], policy, seed) for source in sources}
    progress(0.85)
    results["information"] = {source: _information(encoded[1], symbols[source][1]) for source in sources}
    results["linear"] = {width: _linear(encoded, width, seed) for width in (1, 3, 5)}
    progress(0.95)
    results["speaker"] = _speaker(encoded, symbols["codes"])
    results["abx"] = _abx(model, encoded[1], seed)
    results |= _by_phone(encoded, symbols["codes"])
    progress(1.0)
    return results


def _parts(train: str | Path, test: str | Path, minutes: float, seed: int) -> list[list[tuple[Utterance, list]]]:
    """The utterances of both parts that have phones, some `minutes` of each."""
    parts = []
    for directory in (train, test):
        intervals, pairs, spent_s = phones.read(directory), [], 0.0
        labelled = [utt for utt in corpus.read(directory) if utt.key in intervals]
        for index in np.random.default_rng(seed).permutation(len(labelled)):
            if spent_s < 60 * minutes:
                pairs.append((labelled[index], intervals[labelled[index].key]))
                spent_s += intervals[labelled[index].key][-1].end_s
        if not pairs:
            raise InputError(f"{directory}: phones.ctm has none of its utterances; make it again")
        parts.append(sorted(pairs, key=lambda pair: pair[0].key))
    learned = {utt.key for utt, _ in parts[0]}
    sentences = {sentence(utt) for utt, _ in parts[0] if utt.text}
    for utt, _ in parts[1]:
        if utt.key in learned or (utt.text and sentence(utt) in sentences):
            kind = "utterance" if utt.key in learned else "sentence"
            raise InputError(
                f"{test}: the {kind} of {utt.key!r} is in {train} too, so it is not held out; "
                "take the parts of `vqspeech data split`"
            )
    return parts


@torch.inference_mode()
def _encode(model: SpeechCodec, untrained: VQVAE, utt: Utterance, intervals: list[Phone]) -> EncodedUtterance:
    wave = audio.read(utt.path, model.sample_rate, utt.start_s, utt.end_s)
    codes = model.encode(wave).astype(np.int64)
    padded = np.pad(mulaw.compress(wave), (0, len(codes) * model.hop - len(wave)), constant_values=mulaw.SILENCE)
    latents = untrained.latents(torch.from_numpy(padded)[None])[0].t().numpy()
    labels = phones.frame_phones(intervals, len(codes), model.hop, model.sample_rate)
    quantised = model.net.quantizer.decode(torch.from_numpy(codes).to(model.device)[None])[0].t().cpu().numpy()
    return EncodedUtterance(
        utt, codes, quantised, metrics.mfcc(wave, len(codes), model.hop, model.sample_rate), latents, labels, intervals
    )


def _untrained(model: SpeechCodec, seed: int) -> VQVAE:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VQVAE.from_config(model.run.config.model, 1).eval()


def _sources(codebooks: int) -> tuple[str, ...]:
    """Symbol sources of the probe: each codebook, all together, and the baselines."""
    upper = (*(f"codebook {number}" for number in range(2, codebooks + 1)), SEVERAL) if codebooks > 1 else ()
    return (SOURCES[0], *upper, *SOURCES[1:])


def _symbols(
    source: str, parts: Sequence[list[EncodedUtterance]], size: int, seed: int
) -> list[list[NDArray[np.int64]]]:
    """The symbols of a source, of all utterances of both parts; clusters are fitted on the first."""
    draws = np.random.default_rng(seed)
    if source == "codes":
        return [[utt.codes[:, 0] for utt in part] for part in parts]
    if source.startswith("codebook "):
        return [[utt.codes[:, int(source.split()[1]) - 1] for utt in part] for part in parts]
    if source == "codes in random order":
        return [[draws.permutation(utt.codes[:, 0]) for utt in part] for part in parts]
    field = {"k-means of MFCC": "mfcc", "untrained encoder": "untrained", SEVERAL: "quantised"}[source]
    features = np.concatenate([getattr(utt, field) for utt in parts[0]])
    clusters = _sklearn().cluster.MiniBatchKMeans(size, n_init=3, batch_size=4096, random_state=seed)
    clusters.fit(features[draws.permutation(len(features))[:200_000]])
    return [[clusters.predict(getattr(utt, field)).astype(np.int64) for utt in part] for part in parts]


def _scored_frames(labels: NDArray[np.int64], policy: str) -> NDArray[np.bool_]:
    """Frames that are scored."""
    if policy == "raw":
        return np.ones(len(labels), bool)
    is_speech = labels != PAUSE
    if policy == "edges cut" and is_speech.any():
        first, last = np.flatnonzero(is_speech)[[0, -1]]
        is_speech[first : last + 1] = True
    return is_speech


def _stretches(part: list[EncodedUtterance], symbols: list[NDArray[np.int64]], policy: str) -> list[LabelledFrames]:
    masks = (_scored_frames(utt.labels, policy) for utt in part)
    return [
        LabelledFrames(utt.utterance.speaker, codes[mask], utt.labels[mask])
        for utt, codes, mask in zip(part, symbols, masks, strict=True)
    ]


def _accuracy(parts: Any, symbols: list[list[NDArray]], policy: str, seed: int) -> dict[str, float]:
    train, test = (_stretches(part, codes, policy) for part, codes in zip(parts, symbols, strict=True))
    size = 1 + max(int(codes.max(initial=0)) for part in symbols for codes in part)
    table = information.counts(train, size, len(phones.PHONES))
    value, low, high = information.share(information.count_correct(information.majority_label(table), test), seed)
    commonest = information.majority_label(table.sum(axis=0, keepdims=True)).repeat(size)
    majority = information.share(information.count_correct(commonest, test), seed).value
    relative = information.above_chance(value, majority)
    return {"accuracy": value, "low": low, "high": high, "majority": majority, "above_chance": relative}


def _information(part: list[EncodedUtterance], symbols: list[NDArray]) -> dict[str, float]:
    stretches = _stretches(part, symbols, "edges cut")
    size = 1 + max(int(symbol.max(initial=0)) for symbol in symbols)
    return information.information(information.counts(stretches, size, len(phones.PHONES)))


def _linear(parts: Any, width: int, seed: int) -> float:
    """Accuracy of a logistic regression on the codes of a frame and its neighbours."""
    from scipy.sparse import csr_matrix

    size = 1 + max(int(utt.codes.max()) for part in parts for utt in part)

    def with_neighbours(utt: EncodedUtterance) -> NDArray[np.integer]:
        return np.concatenate([information.windows(column, width) for column in utt.codes.T], axis=1)

    def frames(part: list[EncodedUtterance]) -> tuple[csr_matrix, NDArray[np.int64]]:
        masks = [_scored_frames(utt.labels, "edges cut") for utt in part]
        codes = np.concatenate([with_neighbours(utt)[mask] for utt, mask in zip(part, masks, strict=True)])
        labels = np.concatenate([utt.labels[mask] for utt, mask in zip(part, masks, strict=True)])
        columns = (codes + np.arange(codes.shape[1]) * size).ravel()
        rows, shape = np.arange(0, columns.size + 1, codes.shape[1]), (len(codes), codes.shape[1] * size)
        return csr_matrix((np.ones(columns.size, np.float32), columns, rows), shape=shape), labels

    (train, labels), (test, test_labels) = map(frames, parts)
    chosen = np.random.default_rng(seed).permutation(len(labels))[:LINEAR_FRAMES]
    regression = _sklearn().linear_model.LogisticRegression(max_iter=100, tol=1e-3)
    return float(regression.fit(train[chosen], labels[chosen]).score(test, test_labels))


def _speaker(parts: Any, symbols: list[list[NDArray]]) -> dict[str, float | None]:
    """Speaker accuracy of a logistic regression on code histograms of utterances."""
    size = 1 + max(int(codes.max()) for part in symbols for codes in part)
    names = [[utt.utterance.speaker for utt in part] for part in parts]
    shared = set(names[0]) & set(names[1])

    def utterances(part: int) -> tuple[NDArray[np.float64], list[str]]:
        chosen = [(codes, name) for codes, name in zip(symbols[part], names[part], strict=True) if name in shared]
        shares = [np.bincount(codes, minlength=size) / len(codes) for codes, _ in chosen]
        return np.sqrt(np.array(shares)), [name for _, name in chosen]

    if len(shared) < 2:
        return {"accuracy": None, "majority": None, "speakers": len(shared)}
    (train, train_names), (test, test_names) = utterances(0), utterances(1)
    commonest = Counter(train_names).most_common(1)[0][0]
    regression = _sklearn().linear_model.LogisticRegression(C=100.0, max_iter=300)
    accuracy = float(regression.fit(train, train_names).score(test, test_names))
    return {"accuracy": accuracy, "majority": test_names.count(commonest) / len(test_names), "speakers": len(shared)}


def _abx(model: SpeechCodec, part: list[EncodedUtterance], seed: int) -> dict[str, dict[str, float | None]]:
    vectors = model.quantizers[0].codebook.detach().numpy()
    draws = np.random.default_rng(seed)
    extractors: dict[str, Callable[[EncodedUtterance], NDArray]] = {
        "codes": lambda utt: vectors[utt.codes[:, 0]],
        "MFCC": lambda utt: utt.mfcc,
        "codes in random order": lambda utt: vectors[draws.permutation(utt.codes[:, 0])],
    }
    if model.codebooks > 1:
        extractors["all codebooks"] = lambda utt: utt.quantised
    results = {}
    for name, extract in extractors.items():
        tokens = [token for utt in part for token in _tokens(utt, extract(utt), model.hop / model.sample_rate)]
        errors = {side: abx.error(tokens, side == "across", seed=seed) for side in ("within", "across")}
        results[name] = {side: None if np.isnan(error) else error for side, error in errors.items()}
    return results


def _tokens(utt: EncodedUtterance, features: NDArray, frame_s: float) -> Iterator[abx.Token]:
    for start_s, end_s, phone in utt.intervals:
        first, end = (round(edge / frame_s - 0.5 + 1e-6) for edge in (start_s, end_s))
        if (name := phones.fold(phone)) != phones.PAUSE and features[first:end].size:
            yield abx.Token(name, utt.utterance.speaker, features[first:end])


def _by_phone(parts: Any, symbols: list[list[NDArray]]) -> dict[str, Any]:
    """Confusions of phones, without utterance edges; and counts of codes and phones on the test part."""
    train, test = (_stretches(part, codes, "edges cut") for part, codes in zip(parts, symbols, strict=True))
    size, kinds = 1 + max(int(codes.max()) for part in symbols for codes in part), len(phones.PHONES)
    mapped = information.majority_label(information.counts(train, size, kinds))
    confusion = information.counts([LabelledFrames("", utt.labels, mapped[utt.symbols]) for utt in test], kinds, kinds)
    right, total = np.diag(confusion), confusion.sum(axis=1)
    accuracy_of_phone = {phone: right[at] / total[at] for at, phone in enumerate(phones.PHONES) if total[at]}
    manners = {}
    for manner, names in phones.MANNERS.items():
        places = [phones.PHONES.index(name) for name in names.split()]
        if total[places].sum():
            manners[manner] = float(right[places].sum() / total[places].sum())
    return {
        "manners": manners,
        "by_phone": {phone: float(value) for phone, value in accuracy_of_phone.items()},
        "confusion": confusion.tolist(),
        "phone_of_code": [phones.PHONES[at] for at in mapped],
        "codes_by_phone": information.counts(test, size, kinds).tolist(),
    }


def _conditions(model: SpeechCodec, train: str | Path, test: str | Path, parts: Any, seed: int) -> dict[str, Any]:
    conditions: dict[str, Any] = {"train": str(train), "test": str(test), "seed": seed, "model": model.run.digest}
    sizes = model.net.quantizer.sizes
    conditions["phone_labels"] = checkpoint.has_phone_labels(model.run.config)
    conditions |= {"codes": sizes[0], "codebooks": len(sizes), "frame_rate": model.sample_rate / model.hop}
    for name, part in zip(("train", "test"), parts, strict=True):
        conditions[f"{name}_minutes"] = sum(len(utt.codes) for utt in part) * model.hop / model.sample_rate / 60
        conditions[f"{name}_speakers"] = len({utt.utterance.speaker for utt in part})
    names = {phone.phone for part in parts for utt in part for phone in utt.intervals}
    phone_map = {name: phones.fold(name) for name in sorted(names)}
    return conditions | {"map": phone_map, "phones": sorted(set(phone_map.values()))}


def _sklearn() -> Any:
    try:
        import sklearn.cluster
        import sklearn.linear_model
    except ImportError:
        raise InputError("probes need scikit-learn; pip install 'vqspeech[measure]'") from None
    return sklearn
