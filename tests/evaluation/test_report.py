"""The report: one file without a foreign address, with what there is and without what there is not."""

import json
import re
from html.parser import HTMLParser

import pytest
from typer.testing import CliRunner

from vqspeech import InputError, audio
from vqspeech.cli.app import app
from vqspeech.data import phones
from vqspeech.data.corpus import Utterance, write
from vqspeech.evaluation import evaluate, probe, report
from vqspeech.inference.speech_codec import SpeechCodec


class Page(HTMLParser):
    """Every tag with its attributes, and whether all that is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def measured_run(run, tmp_path, speech):
    """A run that was trained, probed and evaluated, and pairs to listen to."""
    intervals = [phones.Phone(0.0, 0.2, "sil"), phones.Phone(0.2, 0.5, "s"), phones.Phone(0.5, 0.8, "aa")]
    for part, seeds in (("train", (0, 1)), ("test", (2, 3))):
        rows = [
            Utterance(f"p22{5 + at}_{seed}", f"p22{5 + at}", str(tmp_path / f"p225_{seed}.wav"), text=f"{part} {seed}")
            for at, seed in enumerate(seeds)
        ]
        for row, seed in zip(rows, seeds, strict=True):
            audio.write(row.path, speech(0.8, seed=seed), 16000)
        write(tmp_path / part, rows)
        phones.write(tmp_path / part, {row.key: intervals for row in rows})
    (tmp_path / "pairs.txt").write_text(f"{tmp_path}/p225_2.wav alice\n")
    lines = [{"step": step, "bits_per_sample": 8.0 - step / 10} for step in range(20)]
    numbers = {"held_out_bits_per_sample": 6.25, "held_out_codes_used": 12, "held_out_perplexity": 9}
    (run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*lines, {"step": 19} | numbers]))
    results = probe.probe(SpeechCodec(run), tmp_path / "train", tmp_path / "test")
    (run / "probe.json").write_text(json.dumps(results))
    rows = evaluate.evaluate(SpeechCodec(run), evaluate.read_pairs(tmp_path / "pairs.txt"))
    evaluate.write(rows, run)
    return tmp_path


def test_a_report_has_everything_in_one_file(run, measured_run):
    result = CliRunner().invoke(app, ["report", str(run), "--pairs", str(measured_run / "pairs.txt")])
    assert result.exit_code == 0, result.output
    text = (run / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    sources = [attributes["src"] for tag, attributes in page.tags if tag in ("img", "audio")]
    assert len([source for source in sources if source.startswith("data:audio/wav;base64,")]) == 3
    assert all(source.startswith("data:") for source in sources)
    assert all(len(attributes["alt"]) > 20 for tag, attributes in page.tags if tag == "img")
    assert not re.search(r"(src|href)=.?https?:|@import|url\(", text)
    assert len(text) < 10_000_000
    for part in ("6.25 bits", "75 %", "k-means of MFCC", "8-bit mu-law", "reconstruction, p225", "conversion, alice"):
        assert part in text


def test_what_was_not_measured_is_left_out_with_the_command_for_it(run, tmp_path):
    text = report.write(run, tmp_path / "report.html").read_text()
    assert Page(text).open == []
    for command in ("vqspeech evaluate", "vqspeech probe"):
        assert command in text
    assert "<audio" not in text


def test_a_probe_of_another_model_is_refused(run, measured_run):
    results = json.loads((run / "probe.json").read_text())
    results["conditions"]["model"] = "0" * 64
    (run / "probe.json").write_text(json.dumps(results))
    with pytest.raises(InputError, match=r"probe.json: is of another model"):
        report.write(run, run / "report.html")


def test_names_cannot_smuggle_markup_into_the_page(run, measured_run):
    rows = json.loads((run / "evaluation.json").read_text())
    rows["rows"][0]["system"] = "<script>alert(1)</script>"
    (run / "evaluation.json").write_text(json.dumps(rows))
    text = report.write(run, measured_run / "report.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize("name", ["probe.json", "evaluation.json"])
def test_a_torn_file_is_refused_by_name(run, name):
    (run / name).write_text('{"rows": [')
    with pytest.raises(InputError, match=f"{name}: cannot be read"):
        report.write(run, run / "report.html")


@pytest.mark.parametrize("name", ["probe.json", "evaluation.json", "log.jsonl"])
@pytest.mark.parametrize("json_text", ['{"rows": [1], "held_out_bits_per_sample": "few"}', "[3]", '"rows"'])
def test_a_file_that_holds_something_else_is_refused_by_name(run, name, json_text):
    (run / name).write_text(json_text)
    with pytest.raises(InputError, match=f"{name}: does not hold what vqspeech writes there") as error:
        report.write(run, run / "report.html")
    assert "\n" not in str(error.value)


def test_a_line_that_was_being_written_when_a_training_was_killed_is_passed_over(run):
    with (run / "log.jsonl").open("a") as file:
        file.write('{"step": 5, "held_out_bi{"step": 6, "bits_per_sample": 3.21}\n')
        file.write('{"step": 7, "bits_per_sample": 3.11}\n{"step')
    assert report._log(run)[-1] == {"step": 7, "bits_per_sample": 3.11}
