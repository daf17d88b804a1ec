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


class Heard(NamedTuple):
    """Utterance of the probe: codes (frames, codebooks), features and phones of its frames."""

    utterance: Utterance
    codes: NDArray[np.int64]
    quantised: NDArray[np.float32]
    mfcc: NDArray[np.float32]
    untrained: NDArray[np.float32]
    labels: NDArray[np.int64]
    said: list[Phone]


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
    total, heard = sum(map(len, parts)), ([], [])
    for number, (part, one, said) in enumerate((p, *pair) for p, pairs in enumerate(parts) for pair in pairs):
        heard[part].append(_hear(model, untrained, one, said))
        progress(0.8 * (number + 1) / total)
    sources = _sources(model.codebooks)
    symbols = {source: _symbols(source, heard, model.net.quantizer.sizes[0], seed) for source in sources}
    found: dict[str, Any] = {"conditions": _conditions(model, train, test, heard, seed), "accuracy": {}}
    for policy in POLICIES:
        found["accuracy"][policy] = {source: _accuracy(heard, symbols[source], policy, seed) for source in sources}
    progress(0.85)
    found["information"] = {source: _information(heard[1], symbols[source][1]) for source in sources}
    found["linear"] = {width: _linear(heard, width, seed) for width in (1, 3, 5)}
    progress(0.95)
    found["speaker"] = _speaker(heard, symbols["codes"])
    found["abx"] = _abx(model, heard[1], seed)
    found |= _by_phone(heard, symbols["codes"])
    progress(1.0)
    return found


def _parts(train: str | Path, test: str | Path, minutes: float, seed: int) -> list[list[tuple[Utterance, list]]]:
    """The utterances of both parts that have phones, some `minutes` of each."""
    parts = []
    for directory in (train, test):
        said, pairs, spent_s = phones.read(directory), [], 0.0
        known = [one for one in corpus.read(directory) if one.key in said]
        for at in np.random.default_rng(seed).permutation(len(known)):
            if spent_s < 60 * minutes:
                pairs.append((known[at], said[known[at].key]))
                spent_s += said[known[at].key][-1].end_s
        if not pairs:
            raise InputError(f"{directory}: phones.ctm has none of its utterances; make it again")
        parts.append(sorted(pairs, key=lambda pair: pair[0].key))
    learned = {one.key for one, _ in parts[0]}
    sentences = {sentence(one) for one, _ in parts[0] if one.text}
    for one, _ in parts[1]:
        if one.key in learned or (one.text and sentence(one) in sentences):
            what = "utterance" if one.key in learned else "sentence"
            raise InputError(
                f"{test}: the {what} of {one.key!r} is in {train} too, so it is not held out; "
                "take the parts of `vqspeech data split`"
            )
    return parts


@torch.inference_mode()
def _hear(model: SpeechCodec, untrained: VQVAE, one: Utterance, said: list[Phone]) -> Heard:
    wave = audio.read(one.path, model.sample_rate, one.start_s, one.end_s)
    codes = model.encode(wave).astype(np.int64)
    padded = np.pad(mulaw.compress(wave), (0, len(codes) * model.hop - len(wave)), constant_values=mulaw.SILENCE)
    latents = untrained.latents(torch.from_numpy(padded)[None])[0].t().numpy()
    labels = phones.frame_phones(said, len(codes), model.hop, model.sample_rate)
    quantised = model.net.quantizer.decode(torch.from_numpy(codes).to(model.device)[None])[0].t().cpu().numpy()
    return Heard(
        one, codes, quantised, metrics.mfcc(wave, len(codes), model.hop, model.sample_rate), latents, labels, said
    )


def _untrained(model: SpeechCodec, seed: int) -> VQVAE:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VQVAE.from_config(model.run.config.model, 1).eval()


def _sources(codebooks: int) -> tuple[str, ...]:
    """Symbol sources of the probe: each codebook, all together, and the baselines."""
    upper = (*(f"codebook {number}" for number in range(2, codebooks + 1)), SEVERAL) if codebooks > 1 else ()
    return (SOURCES[0], *upper, *SOURCES[1:])


def _symbols(source: str, heard: Sequence[list[Heard]], size: int, seed: int) -> list[list[NDArray[np.int64]]]:
    """The symbols of a source, of all utterances of both parts; clusters are fitted on the first."""
    draws = np.random.default_rng(seed)
    if source == "codes":
        return [[one.codes[:, 0] for one in part] for part in heard]
    if source.startswith("codebook "):
        return [[one.codes[:, int(source.split()[1]) - 1] for one in part] for part in heard]
    if source == "codes in random order":
        return [[draws.permutation(one.codes[:, 0]) for one in part] for part in heard]
    field = {"k-means of MFCC": "mfcc", "untrained encoder": "untrained", SEVERAL: "quantised"}[source]
    features = np.concatenate([getattr(one, field) for one in heard[0]])
    clusters = _sklearn().cluster.MiniBatchKMeans(size, n_init=3, batch_size=4096, random_state=seed)
    clusters.fit(features[draws.permutation(len(features))[:200_000]])
    return [[clusters.predict(getattr(one, field)).astype(np.int64) for one in part] for part in heard]


def _looked_at(labels: NDArray[np.int64], policy: str) -> NDArray[np.bool_]:
    """Frames that are scored."""
    if policy == "raw":
        return np.ones(len(labels), bool)
    spoken = labels != PAUSE
    if policy == "edges cut" and spoken.any():
        first, last = np.flatnonzero(spoken)[[0, -1]]
        spoken[first : last + 1] = True
    return spoken


def _stretches(part: list[Heard], symbols: list[NDArray[np.int64]], policy: str) -> list[LabelledFrames]:
    masks = (_looked_at(one.labels, policy) for one in part)
    return [
        LabelledFrames(one.utterance.speaker, own[mask], one.labels[mask])
        for one, own, mask in zip(part, symbols, masks, strict=True)
    ]


def _accuracy(heard: Any, symbols: list[list[NDArray]], policy: str, seed: int) -> dict[str, float]:
    train, test = (_stretches(part, own, policy) for part, own in zip(heard, symbols, strict=True))
    size = 1 + max(int(own.max(initial=0)) for part in symbols for own in part)
    table = information.counts(train, size, len(phones.PHONES))
    value, low, high = information.share(information.count_correct(information.majority_label(table), test), seed)
    same = information.majority_label(table.sum(axis=0, keepdims=True)).repeat(size)
    majority = information.share(information.count_correct(same, test), seed).value
    above = information.above_chance(value, majority)
    return {"accuracy": value, "low": low, "high": high, "majority": majority, "above_chance": above}


def _information(part: list[Heard], symbols: list[NDArray]) -> dict[str, float]:
    stretches = _stretches(part, symbols, "edges cut")
    size = 1 + max(int(own.max(initial=0)) for own in symbols)
    return information.information(information.counts(stretches, size, len(phones.PHONES)))


def _linear(heard: Any, width: int, seed: int) -> float:
    """Accuracy of a logistic regression on the codes of a frame and its neighbours."""
    from scipy.sparse import csr_matrix

    size = 1 + max(int(one.codes.max()) for part in heard for one in part)

    def around(one: Heard) -> NDArray[np.integer]:
        return np.concatenate([information.windows(column, width) for column in one.codes.T], axis=1)

    def frames(part: list[Heard]) -> tuple[csr_matrix, NDArray[np.int64]]:
        masks = [_looked_at(one.labels, "edges cut") for one in part]
        seen = np.concatenate([around(one)[mask] for one, mask in zip(part, masks, strict=True)])
        labels = np.concatenate([one.labels[mask] for one, mask in zip(part, masks, strict=True)])
        columns = (seen + np.arange(seen.shape[1]) * size).ravel()
        rows, shape = np.arange(0, columns.size + 1, seen.shape[1]), (len(seen), seen.shape[1] * size)
        return csr_matrix((np.ones(columns.size, np.float32), columns, rows), shape=shape), labels

    (train, labels), (test, wanted) = map(frames, heard)
    chosen = np.random.default_rng(seed).permutation(len(labels))[:LINEAR_FRAMES]
    regression = _sklearn().linear_model.LogisticRegression(max_iter=100, tol=1e-3)
    return float(regression.fit(train[chosen], labels[chosen]).score(test, wanted))


def _speaker(heard: Any, symbols: list[list[NDArray]]) -> dict[str, float | None]:
    """Speaker accuracy of a logistic regression on code histograms of utterances."""
    size = 1 + max(int(own.max()) for part in symbols for own in part)
    names = [[one.utterance.speaker for one in part] for part in heard]
    both = set(names[0]) & set(names[1])

    def utterances(part: int) -> tuple[NDArray[np.float64], list[str]]:
        chosen = [(own, name) for own, name in zip(symbols[part], names[part], strict=True) if name in both]
        shares = [np.bincount(own, minlength=size) / len(own) for own, _ in chosen]
        return np.sqrt(np.array(shares)), [name for _, name in chosen]

    if len(both) < 2:
        return {"accuracy": None, "majority": None, "speakers": len(both)}
    (train, known), (test, wanted) = utterances(0), utterances(1)
    commonest = Counter(known).most_common(1)[0][0]
    regression = _sklearn().linear_model.LogisticRegression(C=100.0, max_iter=300)
    accuracy = float(regression.fit(train, known).score(test, wanted))
    return {"accuracy": accuracy, "majority": wanted.count(commonest) / len(wanted), "speakers": len(both)}


def _abx(model: SpeechCodec, part: list[Heard], seed: int) -> dict[str, dict[str, float | None]]:
    vectors = model.quantizers[0].codebook.detach().numpy()
    draws = np.random.default_rng(seed)
    ways: dict[str, Callable[[Heard], NDArray]] = {
        "codes": lambda one: vectors[one.codes[:, 0]],
        "MFCC": lambda one: one.mfcc,
        "codes in random order": lambda one: vectors[draws.permutation(one.codes[:, 0])],
    }
    if model.codebooks > 1:
        ways["all codebooks"] = lambda one: one.quantised
    found = {}
    for name, way in ways.items():
        tokens = [token for one in part for token in _tokens(one, way(one), model.hop / model.sample_rate)]
        errors = {side: abx.error(tokens, side == "across", seed=seed) for side in ("within", "across")}
        found[name] = {side: None if np.isnan(error) else error for side, error in errors.items()}
    return found


def _tokens(one: Heard, features: NDArray, frame_s: float) -> Iterator[abx.Token]:
    for start_s, end_s, phone in one.said:
        first, end = (round(edge / frame_s - 0.5 + 1e-6) for edge in (start_s, end_s))
        if (name := phones.fold(phone)) != phones.PAUSE and features[first:end].size:
            yield abx.Token(name, one.utterance.speaker, features[first:end])


def _by_phone(heard: Any, symbols: list[list[NDArray]]) -> dict[str, Any]:
    """Confusions of phones, without utterance edges; and counts of codes and phones on the test part."""
    train, test = (_stretches(part, own, "edges cut") for part, own in zip(heard, symbols, strict=True))
    size, kinds = 1 + max(int(own.max()) for part in symbols for own in part), len(phones.PHONES)
    mapped = information.majority_label(information.counts(train, size, kinds))
    confusion = information.counts([LabelledFrames("", one.labels, mapped[one.symbols]) for one in test], kinds, kinds)
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


def _conditions(model: SpeechCodec, train: str | Path, test: str | Path, heard: Any, seed: int) -> dict[str, Any]:
    about: dict[str, Any] = {"train": str(train), "test": str(test), "seed": seed, "model": model.run.digest}
    sizes = model.net.quantizer.sizes
    about["phone_labels"] = checkpoint.has_phone_labels(model.run.config)
    about |= {"codes": sizes[0], "codebooks": len(sizes), "frame_rate": model.sample_rate / model.hop}
    for name, part in zip(("train", "test"), heard, strict=True):
        about[f"{name}_minutes"] = sum(len(one.codes) for one in part) * model.hop / model.sample_rate / 60
        about[f"{name}_speakers"] = len({one.utterance.speaker for one in part})
    names = {phone.phone for part in heard for one in part for phone in one.said}
    known = {name: phones.fold(name) for name in sorted(names)}
    return about | {"map": known, "phones": sorted(set(known.values()))}


def _sklearn() -> Any:
    try:
        import sklearn.cluster
        import sklearn.linear_model
    except ImportError:
        raise InputError("probes need scikit-learn; pip install 'vqspeech[measure]'") from None
    return sklearn
