"""Report of a run as one HTML file."""

import base64
import io
import json
import platform
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from vqspeech import __version__, audio
from vqspeech.config import to_yaml
from vqspeech.data import corpus, phones
from vqspeech.errors import InputError
from vqspeech.evaluation import evaluate, figures, tables
from vqspeech.evaluation.objective import MEASURES
from vqspeech.inference.sampling_config import SamplingConfig
from vqspeech.inference.speech_codec import SpeechCodec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEARD_S, RECORDINGS = 6.0, 3
"""How much of a recording is to be heard, and of how many at most."""


class Picture(NamedTuple):
    """Figure of the page: a data URI, a heading and an alternative text."""

    title: str
    uri: str
    alt: str


class Section(NamedTuple):
    """Sentences and tables under a heading."""

    heading: str
    parts: tables.Parts


class Sound(NamedTuple):
    """Audio player of the page: a data URI and a title."""

    title: str
    uri: str


class Spoken(NamedTuple):
    """A recording with its reconstructions, as spectrograms and players."""

    title: str
    picture: Picture
    sounds: list[Sound]


def write(
    run: str | Path, path: Path, pairs: Path | None = None, sampling: SamplingConfig = SamplingConfig(),
    progress: Callable[[float], None] = lambda _: None,
) -> Path:  # fmt: skip
    """Write the report of a run directory as one self-contained file.

    Args:
        pairs: rows of `source voice`; the first RECORDINGS are converted and can be listened to.
        progress: is called with the share that is done.

    Raises:
        InputError: no run there, jinja2 or matplotlib is missing.
    """
    run, model = Path(run), SpeechCodec(run)
    probed, evaluated, log = _read(run / "probe.json"), _read(run / "evaluation.json"), _log(run)
    with _understood(run / "probe.json"):
        if probed and probed["conditions"]["model"] != model.run.digest:
            raise InputError(
                f"{run}/probe.json: is of another model than the one beside it; run `vqspeech probe` again"
            )
        code_parts, (of_phones, drawn_of_it) = _code_parts(probed), _of_probe(probed, model) if probed else ([], [])
    with _understood(run / "evaluation.json"):
        quality = _quality(evaluated)
    with _understood(run / "log.jsonl"):
        facts, pictures = [*_facts(model, log), *of_phones], [*_curves(log), *drawn_of_it]
    progress(0.4)
    rows = evaluate.read_pairs(pairs)[:RECORDINGS] if pairs else []
    spoken = []
    for number, pair in enumerate(rows):
        spoken.append(_spoken(model, pair, sampling))
        progress(0.4 + 0.6 * (number + 1) / len(rows))
    sections = [Section("How good is it?", quality), Section("What do the codes know?", code_parts)]
    subtitle = f"Speech as discrete codes, {len(model.speakers)} voices. Model {model.run.digest[:24]}."
    progress(1.0)
    return page(path, run.name, subtitle, facts, sections, pictures, spoken, to_yaml(model.run.config))


def page(
    path: Path, name: str, subtitle: str, facts: list[tuple[str, str]], sections: list[Section],
    pictures: list[Picture], spoken: Sequence[Spoken] = (), config: str = "",
) -> Path:  # fmt: skip
    """Write a self-contained HTML file.

    Args:
        facts: the few numbers that come first, each with what it is.
        config: as text.

    Raises:
        InputError: jinja2 is missing.
    """
    try:
        from jinja2 import Environment, PackageLoader
    except ImportError:
        raise InputError("reports need jinja2; pip install 'vqspeech[recipe]'") from None
    environment = Environment(
        loader=PackageLoader("vqspeech.evaluation"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    text = environment.get_template("report.html").render(
        name=name, subtitle=subtitle, facts=facts, sections=sections, pictures=pictures, spoken=spoken, config=config,
        versions=_versions(),
    )  # fmt: skip
    corpus.write_text_atomic(path, text)
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); make it again") from None


def _log(run: Path) -> list[dict[str, float]]:
    try:
        lines = (run / "log.jsonl").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []  # a model that was given away without it
    rows = []
    for line in lines:
        with suppress(ValueError):  # one that was being written when the training was killed
            rows.append(json.loads(line))
    return rows


@contextmanager
def _understood(path: Path) -> Generator[None, None, None]:
    """Turn errors of unexpected JSON into an InputError that names the file."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        labels = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(f"{path}: does not hold what vqspeech writes there ({labels}); make it again") from None


def _facts(model: SpeechCodec, log: list[dict[str, float]]) -> list[tuple[str, str]]:
    """The few numbers that come first, each with what it is."""
    newest: dict[str, float] = {}
    for row in log:
        newest |= row
    sizes, rate = model.net.quantizer.sizes, model.sample_rate / model.hop
    labels, codes = " and ".join(map(str, sizes)), sizes[0]
    facts = [(f"{rate * np.log2(sizes).sum():,.0f} bit/s", f"one of {labels} codes, {rate:g} times a second")]
    if "held_out_bits_per_sample" in newest:
        facts.append((f"{newest['held_out_bits_per_sample']:.2f} bits", "a sample, held out (8 is knowing nothing)"))
        used, perplexity = newest["held_out_codes_used"], newest["held_out_perplexity"]
        facts.append((f"{100 * used / codes:.0f} %", f"of the codes in use, perplexity {perplexity:.0f}"))
    return facts


def _curves(log: list[dict[str, float]]) -> list[Picture]:
    def line(name: str) -> tuple[list[float], list[float]]:
        rows = [row for row in log if name in row]
        return [row["step"] for row in rows], [row[name] for row in rows]

    names = {"bits_per_sample": "training", "held_out_bits_per_sample": "held out"}
    lines = {title: points for name, title in names.items() if (points := line(name))[0]}
    if not lines:
        return []
    ends = "; ".join(f"{title} ends at {values[-1]:.2f}" for title, (_, values) in lines.items())
    return [drawn("Training", figures.curves(lines, "bits a sample"), f"Bits a sample over the steps: {ends}.")]


def _of_probe(probed: dict[str, Any], model: SpeechCodec) -> tuple[list[tuple[str, str]], list[Picture]]:
    """A fact and pictures."""
    accuracy = probed["accuracy"]["edges cut"]
    chance, peer = (100 * value for value in (accuracy["codes"]["majority"], accuracy["k-means of MFCC"]["accuracy"]))
    facts = [(f"{100 * accuracy['codes']['accuracy']:.1f} %", f"of phones; chance {chance:.1f}, k-means {peer:.1f}")]
    counts, confusion = (np.array(probed[name]) for name in ("codes_by_phone", "confusion"))
    names, used = list(phones.PHONES), int((counts.sum(axis=1) > 0).sum())
    phone, share = max(probed["by_phone"].items(), key=lambda item: item[1])
    best = f"the best known phone is {phone}, {100 * share:.0f} % right"
    pictures = [
        drawn(
            "Code usage",
            figures.code_histogram(counts.sum(axis=1)),
            f"How often each code occurs: {used} of {len(counts)} codes occur at all.",
        ),
        drawn("Phones of each code", figures.phones_of_codes(counts, names), "Shares of the phones within each code."),
        drawn("Phones taken for phones", figures.confusion(confusion, names), f"Said against understood; {best}."),
    ]  # fmt: skip
    vectors = model.quantizers[0].codebook.detach().numpy()
    if len(vectors) >= 8:
        from sklearn.manifold import TSNE

        tsne = TSNE(perplexity=min(30, len(vectors) / 4), init="pca", random_state=0)
        labels = probed["phone_of_code"] + ["pau"] * (len(vectors) - len(probed["phone_of_code"]))
        manner = {phone: manner for manner, several in phones.MANNERS.items() for phone in several.split()}
        figure = figures.codebook(tsne.fit_transform(vectors), [manner[label] for label in labels], labels)
        pictures.append(drawn("The codebook", figure, "Codes by t-SNE, with their likeliest phones, by manner."))
    return facts, pictures


def _spoken(model: SpeechCodec, pair: evaluate.Pair, sampling: SamplingConfig) -> Spoken:
    """A recording, the same from its codes in its own voice where the model has it, and its conversion."""
    rate = model.sample_rate
    wave = audio.read(pair.source, rate)[: round(HEARD_S * rate)]
    codes = model.encode(wave)
    own_speaker = next((name for name in model.speakers if pair.source.name.startswith(f"{name}_")), None)
    waves = {"source": wave}
    for title, speaker in (("reconstruction", own_speaker), ("conversion", pair.speaker)):
        if speaker:
            waves[f"{title}, {speaker}"] = model.decode(codes, speaker, sampling, length=len(wave))
    alt = f"Mel spectrograms of {pair.source.name} and what is spoken from its {codes.size} codes."
    picture = drawn(f"{pair.source.name} to {pair.speaker}", figures.spectrograms(waves, rate), alt)
    return Spoken(picture.title, picture, [Sound(title, _sound(wave, rate)) for title, wave in waves.items()])


def _quality(results: dict[str, Any]) -> tables.Parts:
    if not results:
        return ["Not measured yet: vqspeech evaluate PAIRS --model RUN_DIR, then the report again."]
    return [
        tables.evaluated(evaluate.summary(results), {measure.name: measure.unit for measure in MEASURES}),
        "Conversions beside the untouched recordings, mu-law alone, and the codecs that were installed. What each "
        "measure does with known faults stands in docs/explanation/measures.md.",
    ]


def _code_parts(results: dict[str, Any]) -> tables.Parts:
    if not results:
        return [
            "Not measured yet: vqspeech probe --model RUN_DIR --train DATA_DIR --test DATA_DIR, then the report again."
        ]
    return [
        *tables.probed(results),
        "The paper has 49.3 % of 41 phones with 128 codes at 25 Hz, where always the commonest gives 7.2 %: on all of "
        "VCTK, trained for longer, with other labels. k-means of MFCC on the same recordings is the fair comparison.",
    ]


def drawn(title: str, figure: "Figure", alt: str) -> Picture:
    """A figure for a page."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Picture(title, _uri(file.getvalue()), alt)


def painted(title: str, path: Path, alt: str) -> Picture:
    """A PNG file for a page."""
    return Picture(title, _uri(path.read_bytes()), alt)


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _sound(wave: NDArray[np.float32], rate: int) -> str:
    file = io.BytesIO()
    soundfile.write(file, np.clip(wave, -1, 1), rate, format="WAV", subtype="PCM_16")
    return "data:audio/wav;base64," + base64.b64encode(file.getvalue()).decode()


def _versions() -> dict[str, str]:
    measuring = ("scikit-learn", "pocketsphinx", "speechmos", "pesq", "pystoi", "resemblyzer")
    versions = {"vqspeech": __version__, "Python": platform.python_version()}
    for name in ("torch", "numba", "numpy", "librosa", *measuring):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
