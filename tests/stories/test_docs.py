"""The documentation names every command, option and config key, and links to files that exist."""

import importlib.util
import re
from pathlib import Path

import pytest
import typer

from vqspeech import config
from vqspeech.cli import app

ROOT = Path(__file__).parents[2]
CONFIGS = config.Config(), config.PriorConfig(), config.VocoderConfig()


@pytest.fixture(scope="module")
def hooks():
    """docs/hooks.py."""
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs/hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leaves(tree, path=""):
    """Dotted paths of the values in nested dicts."""
    for name, value in tree.items():
        yield from leaves(value, f"{path}{name}.") if isinstance(value, dict) else [f"{path}{name}"]


def test_every_command_and_option_is_in_the_reference(hooks):
    parts = dict(part.split("\n", 1) for part in hooks.commands().split("\n## ")[1:])

    def check(group, path):
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                check(command, f"{path} {name}")
                continue
            for param in command.params:
                for option in param.opts if param.param_type_name == "option" else [param.metavar]:
                    assert re.search(rf"`{re.escape(option)}[` ]", parts[f"{path} {name}"]), (name, option)

    check(typer.main.get_command(app.app), "vqspeech")


def test_every_config_key_has_a_meaning(hooks):
    rows = dict(re.findall(r"^\| `([\w.]+)` \|.*\| (.*?) ?\|$", hooks.keys(), re.MULTILINE))
    assert set(rows) == {key for settings in CONFIGS for key in leaves(settings.model_dump())}
    assert [key for key, meaning in rows.items() if not meaning] == []


def test_links_between_pages_and_to_pictures_exist(hooks):
    generated = {ROOT / "docs" / path for path in hooks.pages()}
    for page in [*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if not re.match(r"https?:|mailto:", target):
                path = (page.parent / target).resolve()
                assert path.exists() or path in generated, f"{page.relative_to(ROOT)}: {target}"


def test_every_page_is_in_the_navigation(hooks):
    navigation = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    pages = {str(path.relative_to(ROOT / "docs")) for path in ROOT.glob("docs/**/*.md")}
    assert navigation == pages | set(hooks.pages())
