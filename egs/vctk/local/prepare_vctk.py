#!/usr/bin/env python
"""VCTK as it is unpacked, 0.80 or 0.92, becomes a Kaldi data directory.

0.80: wav48/p225/p225_001.wav; 0.92: wav48_silence_trimmed/p225/p225_001_mic1.flac and _mic2.flac; both:
txt/p225/p225_001.txt.  Known gaps are no faults: p315 has no text (its utterances are kept without), p280
and p315 have no second microphone (the first is taken), part of p362 is missing, p376_295.raw is no wave,
and speaker s5 has no number.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from vqspeech import InputError
from vqspeech.data import corpus

NAME = re.compile(r"(?P<key>(?P<speaker>p\d+|s5)_\d+)(?:_(?P<mic>mic[12]))?\.(?:wav|flac)")
LAYOUTS = ("wav48_silence_trimmed", "wav48")


def find(vctk: Path, microphone: str = "mic2") -> tuple[list[corpus.Utterance], Counter]:
    """The utterances of a VCTK folder, and how many files were left out for which reason.

    Args:
        vctk: the folder that holds wav48 or wav48_silence_trimmed, or its parent.
        microphone: which of 0.92's two is preferred; where it is missing, the other is taken.

    Raises:
        InputError: the folder is no VCTK.
    """
    roots = [root for root in (vctk, *sorted(vctk.glob("*/"))) for layout in LAYOUTS if (root / layout).is_dir()]
    if not roots:
        raise InputError(f"{vctk}: holds neither {LAYOUTS[0]}/ (0.92) nor {LAYOUTS[1]}/ (0.80); give VCTK's folder")
    root = roots[0]
    recordings = next(root / layout for layout in LAYOUTS if (root / layout).is_dir())
    recording_by_key: dict[str, tuple[str, Path]] = {}
    left_out: Counter = Counter()
    for path in sorted(recordings.glob("*/*")):
        match = NAME.fullmatch(path.name)
        if match is None or match["speaker"] != path.parent.name:
            left_out["no recording by its name"] += 1
            continue
        if match["key"] in recording_by_key:
            left_out["the other microphone"] += 1
        if match["key"] not in recording_by_key or match["mic"] == microphone:
            recording_by_key[match["key"]] = match["speaker"], path
    utterances = []
    for key, (speaker, path) in recording_by_key.items():
        text = _text(root / "txt" / speaker / f"{key}.txt")
        left_out["without text (kept)"] += text is None
        utterances.append(corpus.Utterance(key, speaker, str(path), text=text))
    if not utterances:
        raise InputError(f"{recordings}: holds no recording named like p225_001; unpack VCTK again")
    return utterances, +left_out


def _text(path: Path) -> str | None:
    try:
        return " ".join(path.read_text(encoding="utf-8", errors="replace").split()) or None
    except OSError:
        return None


def main(
    vctk: Annotated[Path, typer.Argument(metavar="VCTK_DIR")],
    out: Annotated[Path, typer.Argument(metavar="OUT_DIR")],
    mic: Annotated[str, typer.Option(help="mic1 or mic2: which of 0.92's microphones is preferred.")] = "mic2",
) -> None:
    """Write OUT_DIR as a Kaldi data directory of VCTK."""
    if mic not in ("mic1", "mic2"):
        raise InputError(f"--mic {mic} is unknown; choose mic1 or mic2")
    utterances, left_out = find(vctk, mic)
    corpus.write(out, utterances)
    typer.echo(f"{out}: {len(utterances)} utterances of {len({utt.speaker for utt in utterances})} speakers")
    for reason, count in sorted(left_out.items()):
        typer.echo(f"  {count} files: {reason}")


if __name__ == "__main__":
    try:
        typer.run(main)
    except InputError as error:
        typer.echo(f"prepare_vctk.py: {error}", err=True)
        raise SystemExit(2) from None
