#!/usr/bin/env python
"""The licence of every package that vqspeech brings, by what asks for it.

python docs/scripts/licences.py, in an environment that has them all.
"""

import re
from importlib import metadata

from packaging.requirements import Requirement

NAME = "vqspeech"


def brought(name: str, extra: str = "") -> set[str]:
    """What a package needs, and what that needs, as far as it is installed; by normal name."""
    found: set[str] = set()
    waiting = [(name, extra)]
    while waiting:
        one, its_extra = waiting.pop()
        try:
            needs = metadata.requires(one) or []
        except metadata.PackageNotFoundError:
            continue
        for need in map(Requirement, needs):
            if need.marker is None or need.marker.evaluate({"extra": its_extra}):
                normal = re.sub(r"[-_.]+", "-", need.name).lower()
                if normal not in found and _installed(normal):
                    found.add(normal)
                    waiting += [(normal, inner) for inner in ("", *need.extras)]
    return found


def _installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def licence(name: str) -> str:
    """As the package states it: an expression, a classifier, or the first line of its licence."""
    about = metadata.metadata(name)
    stated = [one.rpartition(" :: ")[2] for one in about.get_all("Classifier") or [] if one.startswith("License")]
    first = (about.get("License") or "not stated").strip().splitlines()[0]
    return about.get("License-Expression") or ", ".join(one for one in stated if one != "OSI Approved") or first[:60]


if __name__ == "__main__":
    core = brought(NAME)
    groups = {"vqspeech": core}
    for extra in metadata.metadata(NAME).get_all("Provides-Extra") or []:
        groups[f"[{extra}]"] = brought(NAME, extra) - core
    print("| asked for by | package | licence |")
    print("|---|---|---|")
    for group, names in groups.items():
        for name in sorted(names):
            print(f"| {group} | {name} {metadata.version(name)} | {licence(name)} |")
