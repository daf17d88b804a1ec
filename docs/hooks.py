"""Pages of the documentation that are made from the code: every command and option, every config key."""

import ast
import inspect
from collections.abc import Iterator
from typing import Any

import click
import typer
from mkdocs.structure.files import File, Files
from pydantic import BaseModel

from vqspeech import config
from vqspeech.cli import app

SECTIONS = {"model": config.Config, "prior": config.PriorConfig, "vocoder": config.VocoderConfig}


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages to the site (a hook of mkdocs)."""
    files.append(File.generated(config, "reference/cli.md", content=commands()))
    files.append(File.generated(config, "reference/config.md", content=keys()))
    return files


def commands() -> str:
    """All commands with their arguments and options, in Markdown."""
    group = typer.main.get_command(app.app)
    lines = ["# Commands", "", "`vqspeech COMMAND --help` prints the same on a terminal.", ""]
    for name, command in _walk(group, "vqspeech"):
        lines += [f"## {name}", "", _escaped(command.help or ""), ""]
        context = click.Context(command, info_name=name)
        lines += ["```", " ".join([name, *command.collect_usage_pieces(context)]), "```", ""]
        rows = [_row(parameter) for parameter in command.params]
        if rows:
            lines += ["| | meaning | default |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def keys() -> str:
    """All config keys with type, default and meaning, in Markdown."""
    lines = [
        "# Configuration",
        "",
        "A config is a YAML file of sections. Any key can be set on the command line as `section.key=value`. An "
        "unknown key is an error that offers the nearest one. `egs/vctk/conf/` and `recipes/pretrained/conf/` have "
        "examples.",
        "",
    ]
    done: set[type] = set()
    for root in SECTIONS.values():
        for section, field in root.model_fields.items():
            if inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel):
                lines += _section(section, field.annotation, done)
    return "\n".join(lines)


def _walk(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if hasattr(command, "list_commands"):
            yield from _walk(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _row(parameter: Any) -> str:
    names = ", ".join(f"`{name}`" for name in parameter.opts)
    if parameter.param_type_name == "argument":
        names = f"`{parameter.metavar or parameter.name.upper()}`"
    default = parameter.default
    shown = "" if default in (None, "", [], False) or parameter.required or callable(default) else f"`{default}`"
    return f"| {names} | {_escaped(getattr(parameter, 'help', None) or '')} | {shown} |"


def _section(path: str, model: type[BaseModel], done: set[type]) -> list[str]:
    if model in done:
        return []
    done.add(model)
    texts = _attribute_docs(model)
    rows, nested = [], []
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
            nested += _section(f"{path}.{name}", annotation, done)
            continue
        kind = getattr(annotation, "__name__", None) or str(annotation)
        kind = str(annotation).replace("typing.", "") if kind in ("Literal", "Union", "UnionType") else kind
        default = "" if field.is_required() else f"`{field.default}`"
        rows.append(f"| `{path}.{name}` | {_escaped(kind)} | {default} | {_escaped(texts.get(name, ''))} |")
    text = (inspect.getdoc(model) or "").split("\n\n")[0].replace("\n", " ")
    head = [f"## {path}", "", _escaped(text), "", "| key | type | default | meaning |", "|---|---|---|---|"]
    return [*head, *rows, "", *nested] if rows else nested


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


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")
