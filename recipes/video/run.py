#!/usr/bin/env python
"""The paper's section 4.4: six frames and what is done, imagined on in codes alone; frames are decoded to be looked at.

run.py all                            collects, trains, imagines: ten minutes of two cores
run.py collect data/video --episodes 200 --steps 300
run.py collect data/video/train --films FOLDER        films of one's own, told by FOLDER/actions.txt
run.py train data/video exp/video --frame-minutes 20 --minutes 60 --units 128
run.py imagine data/video exp/video                   films, a contact sheet, and how well it obeys, as a table
"""

import itertools
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parents[1] / "image"))
sys.path.insert(0, str(Path(__file__).parent))
import episodes
import measures
import networks
from dreams import PAST, Dream, Moments, Sizes, draws, moments_of
from episodes import Episode
from learning import Drawn, batch_of, train
from pictures import Pictures
from worlds import ACTIONS, TEST_MAPS, TRAIN_MAPS, Doom, wander

from vqspeech import InputError
from vqspeech.nn.quantizer import codebook_usage
from vqspeech.system import parallel

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
CODES = 512
HORIZON = 10
PLANS = ("forward", "left", "right")
PART = 64
"""Frames that go through the networks at once."""


@app.command("collect")
def collect(
    folder: Annotated[Path, typer.Argument(help="Shards go to its train/ and test/, films into itself.")],
    count: Annotated[int, typer.Option("--episodes", min=1, help="To train on; a tenth more to test on.")] = 24,
    steps: Annotated[int, typer.Option(min=PAST + HORIZON, help="Actions in an episode.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the walks.")] = 0,
    nj: Annotated[int, typer.Option(help="Games played at once.")] = 2,
    films: Annotated[Path | None, typer.Option(help="A folder of films with actions.txt, not a game.")] = None,
) -> None:  # fmt: skip
    """Frames and actions: scripted walks through Doom's maps, or one's own films."""
    if films:
        folder.mkdir(parents=True, exist_ok=True)
        for name, episode in episodes.filmed(films):
            episodes.write(folder / f"{name}.npz", episode)
            print(f"{name}: {len(episode.frames)} frames")
        return
    test = max(4, count // 10)
    walks = []
    for part, number, maps in (("train", count, TRAIN_MAPS), ("test", test, TEST_MAPS)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        walks += [(folder / part, maps[index % len(maps)], seed + index, steps) for index in range(number)]

    def report(done: int, total: int) -> None:
        print(f"\r{done}/{total} ", end="", file=sys.stderr)

    for _ in parallel.parallel_map(_walked, walks, len(walks), nj, report):
        pass
    print(f"{folder}: {count} and {test} episodes of {steps + 1} frames, to train and to test on")


def _walked(walk: tuple[Path, str, int, int]) -> None:
    folder, map_name, seed, steps = walk
    path = folder / f"{map_name}-{seed:05d}.npz"
    if path.exists():
        return
    world = Doom(map_name)
    try:
        actions = wander(steps, np.random.default_rng([seed, int(map_name[3:])]))
        episodes.write(path, episodes.walk(world, seed, actions, f"{map_name} {seed}"))
    finally:
        world.close()


@app.command("train")
def learn(
    data: Annotated[Path, typer.Argument(help="Folder with train/ and test/.")],
    out: Annotated[Path, typer.Argument(help="Where the two models go.")],
    units: Annotated[int, typer.Option(help="Of the VQ-VAE; the dream has as many channels.")] = 64,
    frame_minutes: Annotated[float, typer.Option(help="Of training the VQ-VAE.")] = 2.3,
    minutes: Annotated[float, typer.Option(help="Of training the dream.")] = 4.7,
    batch: Annotated[int, typer.Option(help="Frames, or moments, in a step.")] = 16,
) -> None:
    """The VQ-VAE of frames, then the dream over its codes.  The same command goes on with what was stopped."""
    train_episodes, test_episodes = (episodes.load(data / part) for part in ("train", "test"))
    sizes = Sizes(CODES, channels=units)
    out.mkdir(parents=True, exist_ok=True)
    (out / "sizes.json").write_text(json.dumps(sizes._asdict()) + "\n")
    test_levels = _levels(test_episodes)
    subset = torch.from_numpy(test_levels[:: max(1, len(test_levels) // 64)].copy())

    def held_pictures(learner: Any) -> dict[str, float]:
        with torch.inference_mode():
            bits = learner.loss(networks.Batch(subset, 0)).parts["bits_per_dim"]
            return {"held_out_bits_per_dim": float(bits)}

    schedule = {
        "batch_size": batch,
        "learning_rate": 1e-3,
        "muon_lr_ratio": 5.0,
        "evaluate_every": 500,
        "save_every": 500,
    }
    torch.manual_seed(0)
    pictures = Pictures(_levels(train_episodes), np.zeros(0, np.int64), [])
    frames = train(
        networks.VQVAE(_frame_sizes(sizes)), Drawn(pictures, 0), batch_of, held_pictures, out / "vqvae",
        max_minutes=frame_minutes, **schedule,
    )  # fmt: skip
    unseen = Moments(_in_codes(frames, test_episodes), 0)
    held_out = moments_of([unseen[number] for number in range(min(128, len(unseen)))])

    def held_moments(learner: Any) -> dict[str, float]:
        with torch.inference_mode():
            return {"held_out_bits_per_code": float(learner.loss(held_out).parts["bits_per_code"])}

    torch.manual_seed(0)
    walks = itertools.chain(train_episodes, map(episodes.mirrored, train_episodes))  # twice as many walks
    dream = Dream(sizes, len(ACTIONS), frames.quantizer.codebook)
    train(
        dream, Moments(_in_codes(frames, walks), 0), moments_of, held_moments, out / "dream",
        max_minutes=minutes, **schedule,
    )  # fmt: skip


@app.command("imagine")
def imagine(
    data: Annotated[Path, typer.Argument(help="Folder with test/.")],
    run: Annotated[Path, typer.Argument(help="What `train` wrote; films and tables go there too.")],
    starts: Annotated[int, typer.Option(min=2, help="Moments to imagine on from.")] = 24,
    temperature: Annotated[float, typer.Option(help="Below 1 likely codes become likelier.")] = 0.7,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
) -> None:
    """Ten frames from six, for each of three plans, beside the game itself doing the same."""
    frames, dream = _trained(run)
    tests = episodes.load(data / "test")
    places = _places(tests, starts)
    plans = [_plans(episode, at) for episode, at in places]
    truth = np.stack([_truth(episode, at, plan) for (episode, at), plan in zip(places, plans, strict=True)])
    given_actions = np.stack([_actions(episode, at, plan) for (episode, at), plan in zip(places, plans, strict=True)])
    given_frames = np.stack([episode.frames[at - PAST + 1 : at + 1] for episode, at in places])

    n_starts, n_plans = given_actions.shape[:2]
    n_films = n_starts * n_plans
    real, real_codes = truth.reshape(n_films, HORIZON, *truth.shape[3:]), _encode(frames, truth, n_films)
    pasts = _encode(frames, given_frames, n_starts).repeat_interleave(n_plans, dim=0)
    actions = torch.from_numpy(given_actions).flatten(0, 1)
    shuffled_actions = actions.clone()  # with what another plan would have done
    shuffled_actions[:, PAST - 1 :] = torch.from_numpy(np.roll(given_actions, 1, axis=1)).flatten(0, 1)[:, PAST - 1 :]
    uniforms = draws(seed, n_films, HORIZON, *pasts.shape[2:])
    began = time.perf_counter()
    imagined = dream.imagine(pasts, actions, uniforms, temperature)
    rate = len(imagined) * HORIZON / (time.perf_counter() - began)
    codes = {
        "the dream": imagined,
        "the same, told other actions": dream.imagine(pasts, shuffled_actions, uniforms, temperature),
        "the last frame, again": pasts[:, -1:].expand(-1, HORIZON, -1, -1),
        "the truth through its codes": real_codes,
    }
    films = {name: _decoded(frames, film_codes) for name, film_codes in codes.items()}
    last = np.repeat(given_frames[:, -1:], n_plans, axis=0)
    rows = measures.compare_films(real, films, last)
    used, perplexity = codebook_usage(torch.bincount(real_codes.flatten(), minlength=CODES))
    summary = {"starts": n_starts, "temperature": temperature, "frames_per_s": rate, "codes": real_codes[0, 0].numel()}
    summary |= {"codes_used": used, "perplexity": perplexity, "bits_per_code": _bits(frames, dream, tests)}
    (run / "table.json").write_text(json.dumps(summary | {"rows": rows}, indent=1) + "\n")
    _print_table(summary, rows)
    names = [*PLANS, "as walked"][-n_plans:]
    measures.show(run, given_frames, truth, films["the dream"].reshape(truth.shape), names)


@app.command("all")
def everything(
    out: Annotated[Path, typer.Option(help="Where data, models and films go.")] = Path("exp/video"),
    minutes: Annotated[float, typer.Option(help="Of training.")] = 7.0,
) -> None:
    """The tiny default: collects, trains and imagines within ten minutes on two cores."""
    collect(out / "data", 24, 200, 0, 2, None)
    learn(out / "data", out, 48, minutes / 3, minutes * 2 / 3, 16)
    imagine(out / "data", out, 12, 0.7, 0)


def _places(tests: list[Episode], starts: int) -> list[tuple[Episode, int]]:
    """Moments with six frames before and ten after them, spread over all episodes."""
    moments = [(episode, at) for episode in tests for at in range(PAST - 1, len(episode.actions) - HORIZON + 1)]
    if not moments:
        raise InputError(f"no episode has {PAST} frames to be given and {HORIZON} to be imagined; collect longer ones")
    return [moments[round(place)] for place in np.linspace(0, len(moments) - 1, starts)]


def _plans(episode: Episode, at: int) -> list[NDArray]:
    """What is to be done: three plans where the world can be asked, and what was done there."""
    walked = episode.actions[at : at + HORIZON]
    chosen = [np.full(HORIZON, ACTIONS.index(name), np.uint8) for name in PLANS] if episode.origin else []
    return [*chosen, walked]


def _truth(episode: Episode, at: int, plans: list[NDArray]) -> NDArray:
    """(plans, HORIZON, SIZE, SIZE, 3): what the world shows, walked again from its beginning for each plan."""
    outcomes = [episode.frames[at + 1 : at + 1 + HORIZON]]
    if episode.origin:
        map_name, seed = episode.origin.split()
        world = Doom(map_name)
        try:
            for plan in reversed(plans[:-1]):
                actions = np.concatenate([episode.actions[:at], plan])
                outcomes.insert(0, episodes.walk(world, int(seed), actions, "").frames[at + 1 :])
        finally:
            world.close()
    return np.stack(outcomes)


def _actions(episode: Episode, at: int, plans: list[NDArray]) -> NDArray:
    """(plans, PAST - 1 + HORIZON): the actions between the given frames, then the plan."""
    past_actions = episode.actions[at - PAST + 1 : at]
    return np.stack([np.concatenate([past_actions, plan]) for plan in plans])


def _trained(run: Path) -> tuple[networks.VQVAE, Dream]:
    try:
        sizes = Sizes(**json.loads((run / "sizes.json").read_text()))
        frames, dream = networks.VQVAE(_frame_sizes(sizes)), Dream(sizes, len(ACTIONS))
        for model, name in ((frames, "vqvae"), (dream, "dream")):
            model.load_state_dict(load_file(run / name / "model.safetensors"))
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"{run}: holds no whole models ({str(error).splitlines()[0]}); `run.py train` makes them"
        ) from None
    return frames.eval(), dream.eval()


def _frame_sizes(sizes: Sizes) -> networks.Sizes:
    return networks.Sizes(sizes.channels, codes=sizes.codes)


def _levels(walks: list[Episode]) -> NDArray:
    return np.concatenate([episode.frames for episode in walks]).transpose(0, 3, 1, 2)


@torch.inference_mode()
def _encode(frames: networks.VQVAE, levels: NDArray, films: int) -> torch.Tensor:
    """(..., SIZE, SIZE, 3) -> (films, time, rows, columns)."""
    parts = torch.from_numpy(levels.reshape(-1, *levels.shape[-3:])).permute(0, 3, 1, 2).split(PART)
    return torch.cat([frames.encode(part) for part in parts]).unflatten(0, (films, -1))


@torch.inference_mode()
def _decoded(frames: networks.VQVAE, codes: torch.Tensor) -> NDArray:
    """(many, time, rows, columns) -> (many, time, SIZE, SIZE, 3)."""
    levels = torch.cat([frames.decode(part) for part in codes.flatten(0, 1).split(PART)])
    return levels.permute(0, 2, 3, 1).unflatten(0, codes.shape[:2]).numpy()


def _in_codes(frames: networks.VQVAE, walks: Iterable[Episode]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(_encode(frames, episode.frames, 1)[0], torch.from_numpy(episode.actions)) for episode in walks]


@torch.inference_mode()
def _bits(frames: networks.VQVAE, dream: Dream, tests: list[Episode], moments: int = 256) -> float:
    """What the next frame's codes cost, told the true past; bits each."""
    all_ = Moments(_in_codes(frames, tests), 0)
    batches = torch.arange(min(moments, len(all_))).split(PART)
    bits = [
        float(dream.loss(moments_of([all_[int(index)] for index in batch])).parts["bits_per_code"]) for batch in batches
    ]
    return float(np.average(bits, weights=[len(batch) for batch in batches]))


def _print_table(summary: dict[str, float], rows: dict[str, measures.Row]) -> None:
    codes, bits = summary["codes"], summary["bits_per_code"]
    print(f"{summary['codes_used']:.0f} of {CODES} codes in use, perplexity {summary['perplexity']:.0f}; ", end="")
    print(f"{codes * bits:.0f} bits a frame ({codes * np.log2(CODES):.0f} if all codes are alike); ", end="")
    print(f"{summary['frames_per_s']:.1f} frames a second\n")
    print("| | flow along the truth's | sideways, right way | error, frame 1 | 2 | 5 | 10 |")
    print("|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        errors = " | ".join(f"{row['error'][frame - 1]:.1f}" for frame in (1, 2, 5, 10))
        print(f"| {name} | {row['along']:.2f} | {row['ways']:.2f} | {errors} |")


if __name__ == "__main__":
    try:
        app()
    except InputError as error:
        sys.exit(f"run.py: {error}")
