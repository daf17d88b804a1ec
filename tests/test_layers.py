"""The order of the packages: imports point down this list only."""

import ast
from pathlib import Path

import vqspeech

ROOT = Path(vqspeech.__file__).parent
LAYERS = [
    "cli",
    "demo",
    "training",
    "evaluation",
    "codec",
    "inference",
    "models",
    "data",
    "engines",
    "audio",
    "nn",
    "system",
]


def imported_packages(path: Path) -> set[str]:
    """Packages of vqspeech that a file imports, anywhere in it."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vqspeech":
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {package for module in modules if (package := module.split(".")[1]) in LAYERS}


def test_imports_point_down():
    assert set(LAYERS) == {path.parent.name for path in ROOT.glob("*/__init__.py")}
    for number, package in enumerate(LAYERS):
        for path in (ROOT / package).rglob("*.py"):
            above = imported_packages(path) & set(LAYERS[:number])
            assert not above, f"{path.relative_to(ROOT)} imports {', '.join(above)}"
