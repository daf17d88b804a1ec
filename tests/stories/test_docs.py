"""The documentation names every command and every config key, and links to files that exist."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from vqspeech import config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def hooks(monkeypatch):
    """docs/hooks.py, with a stand-in for mkdocs where it is not installed."""
    stub = ModuleType("mkdocs.structure.files")
    stub.File = stub.Files = object
    for name in ("mkdocs", "mkdocs.structure"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "mkdocs.structure.files", stub)
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs/hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_command_has_a_page_entry_with_its_options(hooks):
    text = hooks.commands()
    for command in ("convert", "enrol", "encode", "decode", "thin", "tokenize", "sample", "train", "demo", "data trim"):
        assert f"## vqspeech {command}\n" in text
    assert "`--speaker`" in text
    assert "| Random seed. |" in text


def test_every_config_key_has_a_meaning(hooks):
    text = hooks.keys()
    for name, section in (("model.quantizer", config.Quantizer), ("training", config.Training)):
        for key in section.model_fields:
            assert f"`{name}.{key}`" in text
    rows = [line for line in text.splitlines() if line.startswith("| `training.") or line.startswith("| `model.")]
    without = [line for line in rows if line.rstrip(" |").endswith("`")]
    assert len(without) <= len(rows) / 10, without


def test_links_between_pages_and_to_pictures_exist():
    generated = {"reference/cli.md", "reference/config.md"}
    for page in [*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if not re.match(r"https?:|mailto:", target):
                path = (page.parent / target).resolve()
                known = path.exists() or str(path).endswith(tuple(generated))
                assert known, f"{page.relative_to(ROOT)}: {target}"
