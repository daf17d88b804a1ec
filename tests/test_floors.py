"""The house: imports point down, rooms on one floor do not see each other, rooms stay small."""

import ast
from pathlib import Path

import vqspeech

ROOT = Path(vqspeech.__file__).parent
FLOORS = [
    {"errors", "shapes", "compiling"},
    {"config", "mulaw", "files", "kaldi", "parallel", "pieces", "wav", "containers", "preprocessing", "refusals"},
    {"shelves", "audio_writing", "decoding", "saving"},
    {
        "archives",
        "audio",
        "hub",
        "journal",
        "loudness",
        "voices",
        "machine",
        "metrics",
        "plots",
        "tables",
        "assignment",
        "abx",
        "engines.lanes",
        "bitstream",
        "targets",
    },
    {"corpus"},
    {"phones", "recognition"},
    {"posteriors"},
    {
        "splits",
        "measures",
        "peers",
        "dataset",
        "intake",
        "thinning",
        "nn.quantiser",
        "nn.encoder",
        "nn.mel",
        "nn.pixelcnn",
        "nn.wavenet",
        "nn.filterbank",
        "nn.pitch",
        "engines.loops",
    },
    {"nn.outline", "nn.draft", "nn.hearing", "engines.limits"},
    {
        "align",
        "dictionary",
        "muon",
        "models.vqvae",
        "models.prior",
        "models.vocoder",
        "engines.torch_engine",
        "engines.numba_engine",
    },
    {"checkpoint", "drafting", "vocoding"},
    {"training_state"},
    {"synthesis", "fitting"},
    {"composing", "knowing"},
    {"coding"},
    {"training", "conversion", "prepare", "mini", "bench", "codec", "tokens", "sampling", "probe", "enrol", "export"},
    {"vocoder_training", "progress", "streaming", "cli_options", "evaluate", "studio"},
    {"report", "page"},
    {"cli_data", "cli_codes", "cli_measure", "cli_models"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}


def rooms() -> dict[str, Path]:
    paths = {path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."): path for path in ROOT.rglob("*.py")}
    return {room: path for room, path in paths.items() if not room.endswith("__init__")}


def imports(path: Path) -> set[str]:
    """The rooms that a file names in an import, wherever in it; types alone (TYPE_CHECKING) count too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vqspeech":
            inside = (node.module or "").removeprefix("vqspeech").removeprefix(".")
            for name in node.names:
                below = f"{inside}.{name.name}".removeprefix(".")
                found.add(below if below in FLOOR else inside)
    return found - {""}


def test_every_room_has_a_floor():
    assert set(rooms()) == set(FLOOR)


def test_imports_point_down():
    wrong = [
        f"{room} imports {other}"
        for room, path in rooms().items()
        for other in imports(path)
        if FLOOR[other] >= FLOOR[room]
    ]
    assert not wrong


def test_no_room_is_larger_than_three_hundred_lines():
    large = {room: lines for room, path in rooms().items() if (lines := len(path.read_text().splitlines())) > 300}
    assert not large
