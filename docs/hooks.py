"""Pages of the documentation that are made at build time: from the code, the notebooks and the card of the model."""

import ast
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vqspeech import config as configs
from vqspeech.cli import app

ROOT = Path(__file__).parents[1]
CARD = ROOT / "vqspeech/pretrained/english-16k/README.md"
LIMITS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages to the site (a hook of mkdocs)."""
    from mkdocs.structure.files import File

    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_content(html: str, **_: Any) -> str:
    """Put a player below each link to a recording (a hook of mkdocs)."""
    player = r'\g<0><br><audio controls preload="none" src="\g<1>"></audio>'
    return re.sub(r'<a href="([^"]+\.opus)">[^<]*</a>', player, html)


def pages() -> dict[str, str]:
    """The generated pages in Markdown, by their paths in the site."""
    notebooks = {f"notebooks/{path.stem}.md": notebook(path) for path in sorted(ROOT.glob("docs/notebooks/*.ipynb"))}
    return {
        "reference/cli.md": commands(),
        "reference/config.md": keys(),
        "reference/english-16k.md": re.sub(r"\A---\n.*?\n---\n", "", CARD.read_text(encoding="utf-8"), flags=re.DOTALL),
        **notebooks,
    }


def commands() -> str:
    """All commands with their arguments and options."""
    found = [*_walk(typer.main.get_command(app.app), "vqspeech")]
    lines = ["# Commands", "", "`vqspeech COMMAND --help` prints the same on a terminal.", ""]
    lines += ["| command | does |", "|---|---|"]
    for name, command in found:
        lines.append(f"| [`{name}`](#{name.replace(' ', '-')}) | {_cell(_first_sentence(command.help or ''))} |")
    for name, command in found:
        arguments = [param for param in command.params if param.param_type_name == "argument"]
        usage = [f"{param.metavar}" if param.required else f"[{param.metavar}...]" for param in arguments]
        lines += ["", f"## {name}", "", " ".join((command.help or "").split()), ""]
        lines += ["```bash", " ".join([name, "[OPTIONS]", *usage]), "```", ""]
        lines += ["| argument or option | meaning | default |", "|---|---|---|", *map(_parameter, command.params)]
    return "\n".join([*lines, ""])


def keys() -> str:
    """All config keys with type, limits, default and meaning."""
    lines = [
        "# Configuration",
        "",
        "A config is a YAML file of sections: `model` and `training` for a VQ-VAE, `prior` and `training` for a prior, "
        "`vocoder` and `training` for a WaveNet vocoder. A key that is not written has its default. Any key can be "
        "replaced on the command line: `vqspeech train CONFIG training.batch_size=8`. An unknown key is an error that "
        "names the nearest known one. `egs/vctk/conf/` and `recipes/pretrained/conf/` have examples.",
    ]
    sections = {}
    for root in (configs.Config, configs.VocoderConfig, configs.PriorConfig):
        sections.update(_sections("", root))
    for path, section in sections.items():
        texts = _attribute_docs(section)
        summary = (inspect.getdoc(section) or "").split("\n\n")[0]
        lines += ["", f"## {path}", "", " ".join(summary.split()), ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        for name, field in section.model_fields.items():
            if not _is_section(field.annotation):
                cells = f"`{path}.{name}`", _type(field), _default(field.default), _cell(texts.get(name, ""))
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def notebook(path: Path) -> str:
    """A notebook as a page: prose as it is, code cells as blocks of code."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        language = "bash" if source.startswith("!") else "python"
        parts.append(source if cell["cell_type"] == "markdown" else f"```{language}\n{source.removeprefix('!')}\n```")
    title, rest = parts[0].split("\n", 1)
    return "\n\n".join([title, f"This page is a notebook: [{path.name}]({path.name}).", rest.strip(), *parts[1:], ""])


def _walk(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if hasattr(command, "list_commands"):
            yield from _walk(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _parameter(parameter: Any) -> str:
    """The row of an argument or option."""
    if parameter.param_type_name == "argument":
        names = f"`{parameter.metavar}`"
    else:
        flag = getattr(parameter, "is_flag", False)
        value = "" if flag else " " + (parameter.metavar or "VALUE")
        names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
        names = names.removesuffix("`") + f"{value}`"
    meaning, _, stated = (getattr(parameter, "help", None) or "").partition("[default: ")
    value = None if parameter.default is False else parameter.default  # a switch that is off
    default = _cell(stated.removesuffix("]")) or ("required" if parameter.required else _default(value))
    return f"| {names} | {_cell(meaning)} | {default} |"


def _sections(path: str, model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The sections of a config by their paths, those within others after them."""
    found = {}
    for name, field in model.model_fields.items():
        if _is_section(field.annotation):
            found[f"{path}{name}"] = field.annotation
            found |= _sections(f"{path}{name}.", field.annotation)
    return found


def _is_section(annotation: Any) -> bool:
    return inspect.isclass(annotation) and issubclass(annotation, BaseModel)


def _type(field: FieldInfo) -> str:
    """The type of a field and its limits."""
    kind = field.annotation
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    facts = [(sign, getattr(fact, name, None)) for fact in field.metadata for name, sign in LIMITS.items()]
    limits = [f"{sign} {limit}" for sign, limit in facts if limit is not None]
    name = kind.__name__ if inspect.isclass(kind) else str(kind)
    return _cell(", ".join([name, *limits]))


def _default(value: Any) -> str:
    """A default as it is written in YAML or on the command line; nothing for what is empty."""
    if value is None or value == "" or value == [] or callable(value):
        return ""
    text = str(value) if isinstance(value, str | Path) else json.dumps(value)
    return f"`{text}`"


def _attribute_docs(model: type[BaseModel]) -> dict[str, str]:
    """The comment beside each field of a class and of its bases, or the string that follows it."""
    texts: dict[str, str] = {}
    for part in reversed(model.__mro__):
        if not part.__module__.startswith("vqspeech"):
            continue
        source = inspect.getsource(part)
        lines, body = source.splitlines(), ast.parse(source).body[0].body  # type: ignore[attr-defined]
        field = ""
        for node in body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                field = node.target.id
                comment = lines[(node.end_lineno or node.lineno) - 1].partition("  # ")[2]
                if comment:
                    texts[field] = comment[0].upper() + comment[1:]
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and field:
                texts[field] = " ".join(str(node.value.value).split())
    return texts


def _first_sentence(text: str) -> str:
    return re.split(r"[:;] |\. |\.$", " ".join(text.split()), maxsplit=1)[0] + "."


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")
