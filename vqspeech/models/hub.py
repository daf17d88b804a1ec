"""Model names: shipped models, run directories, Hugging Face repositories.

```
english-16k          the one that ships, the default everywhere
exp/mine             a folder: a run directory, or what `vqspeech export` wrote
hf:owner/name        a repository of such a folder; hf:owner/name@revision is one state of it
```
"""

import os
import re
from pathlib import Path

from vqspeech.errors import InputError

SHIPPED = Path(__file__).parents[1] / "pretrained"
DEFAULT = "english-16k"
WEIGHTS = "model.safetensors"
PROBE = "probe.json"
FILES = ["config.yaml", "speakers.txt", WEIGHTS, "voices.tsv", PROBE, "README.md"]
PRIOR, VOCODER = "prior", "vocoder"
"""The folder of a prior, in the folder of the model whose codes it knows."""


def list_pretrained() -> list[str]:
    """The models that ship with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{WEIGHTS}"))


def resolve(model: str | Path) -> Path:
    """The folder of a model by its name, path or repository; a repository is downloaded once and then kept.

    Raises:
        InputError: there is no such folder or name, or the repository cannot be had.
    """
    if str(model).startswith("hf:"):
        return _fetched(str(model)[3:])
    if Path(model).is_dir():
        return Path(model)
    if str(model) in list_pretrained():
        return SHIPPED / str(model)
    raise InputError(
        f"{model}: is no run directory and no model that ships ({', '.join(list_pretrained()) or 'none'}); "
        "give a folder such as exp/vqvae, or hf:owner/name"
    )


def resolve_prior(prior: str | Path | None, model: str | Path) -> Path:
    """The folder of a prior; where none is named, of the one that belongs to the model.

    Raises:
        InputError: there is none.
    """
    if prior:
        return resolve(prior)
    folder = resolve(model)
    for candidate in (folder / PRIOR, folder.with_name(f"{folder.name}-prior")):
        if (candidate / WEIGHTS).is_file():
            return candidate
    raise InputError(
        f"{model}: no prior lies beside it; name one with --prior, or train one (egs/vctk/conf/prior.yaml)"
    )


def user_data_dir(folder: Path, digest: str) -> Path:
    """Where what is made for a model is kept: in its folder, or at home if the folder is not the user's own.

    A model that ships, or that was downloaded, is kept as it came; what belongs to it lies in
    `$XDG_DATA_HOME/vqspeech/<digest>`, by default under `~/.local/share`.
    """
    resolved = folder.resolve()
    if SHIPPED.resolve() not in resolved.parents and "snapshots" not in resolved.parts:
        return folder
    try:
        home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    except RuntimeError:  # HOME is not set, and nobody knows the user: nothing is there, nothing can be kept
        home = Path(os.devnull)
    return home / "vqspeech" / digest[:24]


def _fetched(repository: str) -> Path:
    """A snapshot of a repository, from the cache where it is there and HF_HUB_OFFLINE is set or the network is away."""
    name, _, revision = repository.partition("@")
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name):
        raise InputError(f"hf:{repository}: is not a repository; write hf:owner/name or hf:owner/name@revision")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    patterns = [*FILES, *(f"{part}/{file}" for part in (PRIOR, VOCODER) for file in FILES)]
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=patterns))
    except LocalEntryNotFoundError:
        raise InputError(
            f"hf:{repository}: is not in the cache, and the network cannot be reached; "
            "go online once, or copy its folder and give --model FOLDER"
        ) from None
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise InputError(
            f"hf:{repository}: cannot be downloaded ({reason}); check the name, or give a folder"
        ) from None
