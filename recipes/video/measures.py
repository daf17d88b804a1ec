"""How well a dream follows the truth, and films of both."""

from itertools import pairwise
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from vqspeech import InputError

STILL = 0.5
"""Pixels a frame below which nothing moves."""


class Row(TypedDict):
    """`along`: cosine between the flow of the film and that of the truth, over all pixels that move in the truth.

    `ways`: of the frames in which the truth moves sideways, the share in which the film does so the same way.
    `error`: mean absolute difference in levels, for each frame of the horizon.
    """

    along: float
    ways: float
    error: list[float]


def compare_films(truth: NDArray, kinds: dict[str, NDArray], last: NDArray) -> dict[str, Row]:
    """Kinds of films beside the truth, (many, time, height, width, 3) each; `last`: the frame before."""
    real = _flows(np.concatenate([last, truth], axis=1))
    return {name: _row(truth, films, real, last) for name, films in kinds.items()}


def _row(truth: NDArray, films: NDArray, real: NDArray, last: NDArray) -> Row:
    flows = _flows(np.concatenate([last, films], axis=1))
    moving = np.linalg.norm(real, axis=2) > STILL
    product = (real * flows).sum(axis=2)[moving].sum()
    lengths = [np.sqrt((flow**2).sum(axis=2)[moving].sum()) for flow in (real, flows)]
    sideways, answers = (flow[:, :, 1].mean(axis=(2, 3)) for flow in (real, flows))
    turning = np.abs(sideways) > STILL
    errors = np.abs(truth.astype(np.int16) - films).mean(axis=(0, 2, 3, 4))
    return {
        "along": float(product / (lengths[0] * lengths[1])) if all(lengths) else float("nan"),
        "ways": float((np.sign(sideways) == np.sign(answers))[turning].mean()) if turning.any() else float("nan"),
        "error": [float(flow) for flow in errors],
    }


def _flows(films: NDArray) -> NDArray:
    """Optical flow between neighbouring frames, (many, time - 1, 2, height, width), in pixels: down, right."""
    try:
        from skimage.color import rgb2gray
        from skimage.registration import optical_flow_ilk
    except ImportError:
        raise InputError("optical flow needs scikit-image; pip install 'vqspeech[video]'") from None
    grey = rgb2gray(films)
    return np.stack([[optical_flow_ilk(a, b, radius=7) for a, b in pairwise(film)] for film in grey])


def show(folder: Path, given: NDArray, truth: NDArray, made: NDArray, names: list[str], starts: int = 4) -> None:
    """Writes films (`film-N.webp`, `.mp4`) of the brightest starts: for each plan the truth, and below it the dream.

    Of the first of them, `sheet.png`.  In the dark there is nothing to be seen, and all is measured anyway.

    Args:
        given: (many, past, height, width, 3).
        truth, made: (many, plans, time, height, width, 3).
    """
    from PIL import Image

    rows = []
    for number, start in enumerate(np.argsort(-given.mean(axis=(1, 2, 3, 4)))[:starts]):
        plans = range(truth.shape[1])
        past = np.repeat(given[start][None], len(plans), axis=0)
        pair = [np.concatenate([past, films[start]], axis=1) for films in (truth, made)]  # (plans, time, ...)
        film = np.concatenate([np.concatenate(list(side), axis=2) for side in pair], axis=1)  # the plans side by side
        film = film.repeat(2, axis=1).repeat(2, axis=2)
        pictures = [Image.fromarray(frame) for frame in film]
        path = folder / f"film-{number}.webp"
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=120, loop=0, quality=80)
        _write_mp4(path.with_suffix(".mp4"), film)
        if number == 0:
            for plan in plans:
                rows += [np.concatenate(list(side[plan]), axis=1) for side in pair]
    Image.fromarray(np.concatenate(rows)).save(folder / "sheet.png")
    print(f"{folder}/sheet.png: of each plan ({', '.join(names)}) the truth and below it the dream")


def _write_mp4(path: Path, film: NDArray, rate: int = 8) -> None:
    """(time, height, width, 3) levels as H.264, where PyAV is installed."""
    try:
        import av
    except ImportError:
        return
    with av.open(path, "w") as file:
        stream: Any = file.add_stream("libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *film.shape[1:3], "yuv420p"
        for frame in film:
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)
