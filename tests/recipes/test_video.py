"""The recipe of video: shards, dreams that obey in a world of eight symbols, and what is measured of them."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vqspeech import InputError

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes/image"))
sys.path.insert(0, str(Path(__file__).parents[2] / "recipes/video"))
import dreams
import episodes
import measures
import worlds

spec = importlib.util.spec_from_file_location("video_run", Path(__file__).parents[2] / "recipes/video/run.py")
run = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run)

LEFT, RIGHT = worlds.ACTIONS.index("left"), worlds.ACTIONS.index("right")


class Stripes:
    """A world of stripes that turn with one."""

    def reset(self, seed: int) -> np.ndarray:
        self.picture = np.random.default_rng(seed).integers(0, 256, (1, worlds.SIZE, 3)).astype(np.uint8)
        return self.frame()

    def step(self, action: int) -> np.ndarray:
        self.picture = np.roll(self.picture, {LEFT: 4, RIGHT: -4}.get(action, 0), axis=1)
        return self.frame()

    def close(self) -> None:
        pass

    def frame(self) -> np.ndarray:
        return np.repeat(self.picture, worlds.SIZE, axis=0)


def in_codes(number: int, steps: int, seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Walks in which the codes of a frame move a place to the side with each turn."""
    rng, walks = np.random.default_rng(seed), []
    for _ in range(number):
        frames = [rng.integers(0, 8, (4, 6))]
        actions = rng.choice([LEFT, RIGHT], steps)
        for action in actions:
            frames.append(np.roll(frames[-1], 1 if action == LEFT else -1, axis=1))
        walks.append((torch.from_numpy(np.stack(frames)), torch.from_numpy(actions)))
    return walks


def test_a_shard_is_what_was_walked_and_a_torn_one_is_told(tmp_path):
    walked = episodes.walk(Stripes(), 3, worlds.wander(20, np.random.default_rng(1)), "stripes 3")
    episodes.write(tmp_path / "one.npz", walked)
    (read,) = episodes.load(tmp_path)
    assert np.array_equal(read.frames, walked.frames)
    assert np.array_equal(read.actions, walked.actions)
    assert read.origin == "stripes 3"
    whole = (tmp_path / "one.npz").read_bytes()
    for torn in (whole[: len(whole) // 2], whole[:300] + bytes(40) + whole[340:], b"", b"no shard"):
        (tmp_path / "one.npz").write_bytes(torn)
        with pytest.raises(InputError, match=r"one\.npz"):
            episodes.load(tmp_path)
    episodes.write(tmp_path / "one.npz", walked._replace(actions=np.full(20, 9, np.uint8)))
    with pytest.raises(InputError, match="action 9 is none"):
        episodes.load(tmp_path)
    episodes.write(tmp_path / "one.npz", walked._replace(actions=np.zeros(5, np.uint8)))
    with pytest.raises(InputError, match="no frames for 5 actions"):
        episodes.load(tmp_path)
    with pytest.raises(InputError, match="holds no shards"):
        episodes.load(tmp_path / "none")


def test_what_is_too_short_or_no_action_is_told(tmp_path):
    short = episodes.walk(Stripes(), 0, np.zeros(14, np.int64), "")
    with pytest.raises(InputError, match="6 frames to be given and 10"):
        run._places([short], 2)
    with pytest.raises(InputError, match="'fly' is none; there are stop, forward"):
        episodes.numbered(["left", "fly"], "here")
    with pytest.raises(InputError, match="holds no whole models"):
        run._trained(tmp_path)
    with pytest.raises(InputError, match=r"actions\.txt: is missing"):
        list(episodes.filmed(tmp_path))


def test_a_walk_is_varied_and_its_seeds_alone_decide():
    first, second = (worlds.wander(500, np.random.default_rng(seed)) for seed in (1, 2))
    assert np.array_equal(first, worlds.wander(500, np.random.default_rng(1)))
    assert not np.array_equal(first, second)
    assert set(first) == set(range(len(worlds.ACTIONS)))


def test_a_walk_in_a_mirror_is_the_mirrored_walk():
    actions = worlds.wander(30, np.random.default_rng(2))
    seen, again = (episodes.walk(Stripes(), 3, actions, "stripes 3") for _ in range(2))
    world = Stripes()
    world.reset(3)
    world.picture = np.flip(world.picture, 1)
    swapped = {LEFT: RIGHT, RIGHT: LEFT}
    reflected = [world.frame(), *(world.step(swapped.get(int(action), int(action))) for action in actions)]
    mirror = episodes.mirrored(seen)
    assert np.array_equal(mirror.frames, reflected)
    assert [worlds.ACTIONS[action] for action in mirror.actions] == [
        {"left": "right", "right": "left", "strafe_left": "strafe_right", "strafe_right": "strafe_left"}.get(name, name)
        for name in (worlds.ACTIONS[action] for action in actions)
    ]
    assert not mirror.origin
    assert np.array_equal(episodes.mirrored(mirror).frames, again.frames)


def test_a_moment_ends_with_the_action_that_leads_to_its_frame():
    actions = torch.arange(10) % 6
    frames = torch.arange(11).view(11, 1, 1)
    moments = dreams.Moments([(frames, actions)], seed=0)
    assert len(moments) == 5
    for number in range(10):
        past, action_names, codes = moments[number]
        assert past.flatten().tolist() == list(range(int(codes) - dreams.PAST, int(codes)))
        assert action_names.tolist() == [int(actions[int(index)]) for index in past.flatten()]


def test_a_dream_draws_each_frame_from_the_distribution_that_it_learns():
    torch.manual_seed(0)
    dream = dreams.Dream(dreams.Sizes(8, 4, 8, 2, 2, 4, 6, 4), 6).eval().requires_grad_(False)
    past = torch.randint(8, (2, dreams.PAST, 4, 6))
    actions = torch.randint(6, (2, dreams.PAST - 1 + 3))
    uniforms = dreams.draws(1, 2, 3, 4, 6)
    made = dream.imagine(past, actions, uniforms)
    frames = torch.cat([past, made], dim=1)
    for time in range(3):
        cond = dream.condition(frames[:, time : time + dreams.PAST], actions[:, time : time + dreams.PAST])
        shares = dream.net(made[:, time], cond=cond).softmax(dim=1)
        until = shares.cumsum(1).gather(1, made[:, time][:, None])[:, 0]
        chosen = shares.gather(1, made[:, time][:, None])[:, 0]
        assert ((uniforms[:, time] < until + 1e-5) & (uniforms[:, time] > until - chosen - 1e-5)).all()


def test_a_dream_that_has_seen_a_world_obeys_its_actions():
    torch.manual_seed(0)
    dream, moments = dreams.Dream(dreams.Sizes(8, 16, 32, 2, 1, 4, 6, 8), 6), dreams.Moments(in_codes(500, 8, 0), 0)
    optimiser = torch.optim.Adam(dream.parameters(), 5e-3)
    for step in range(250):
        batch = dreams.moments_of([moments[number] for number in range(32 * step, 32 * step + 32)])
        loss = dream.loss(batch)
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
    walks = in_codes(16, 5, 1)
    frames, walked = (torch.stack(part) for part in zip(*walks, strict=True))
    for action, shift in ((LEFT, 1), (RIGHT, -1)):
        actions = torch.cat([walked, torch.full((16, 2), action)], dim=1)
        made = dream.eval().imagine(frames, actions, torch.full((16, 2, 4, 6), 0.5), temperature=0.1)
        for time in (0, 1):
            inner = slice(2, 4)  # at the sides nobody knows what comes in
            expected = frames[:, -1].roll(shift * (time + 1), dims=2)[:, :, inner]
            assert (made[:, time][:, :, inner] == expected).float().mean() > 0.9


def test_a_film_that_is_the_truth_follows_it_and_one_that_turns_the_other_way_does_not():
    from scipy.ndimage import gaussian_filter

    rough = np.random.default_rng(0).random((84, 200))
    smooth = gaussian_filter(rough, 3)
    ground = (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)

    def film(step: int) -> np.ndarray:
        return np.stack([np.repeat(ground[:, 60 + step * t : 144 + step * t, None], 3, axis=2) for t in range(5)])[None]

    truth, reverse = film(2), film(-2)
    films = {"same": truth[:, 1:], "wrong": reverse[:, 1:]}
    same, wrong = measures.compare_films(truth[:, 1:], films, truth[:, :1]).values()
    assert same["along"] == pytest.approx(1.0)
    assert same["ways"] == 1.0
    assert same["error"] == [0.0] * 4
    assert wrong["along"] < -0.5
    assert wrong["ways"] == 0.0
    assert all(error > 5 for error in wrong["error"])


def test_films_of_ones_own_become_episodes(tmp_path):
    pytest.importorskip("av", reason="films need PyAV: pip install 'vqspeech[video]'")
    walked = episodes.walk(Stripes(), 0, np.array([LEFT, LEFT, RIGHT]), "")
    measures._write_mp4(tmp_path / "walk.mp4", walked.frames)
    (tmp_path / "actions.txt").write_text("walk.mp4 left left right\n")
    ((name, filmed),) = episodes.filmed(tmp_path)
    assert name == "walk"
    assert filmed.actions.tolist() == [LEFT, LEFT, RIGHT]
    pairs = zip(filmed.frames, walked.frames, strict=True)
    assert all(np.corrcoef(first.mean(axis=(0, 2)), second.mean(axis=(0, 2)))[0, 1] > 0.9 for first, second in pairs)
    for line, message in (("walk.mp4 left", "4 frames and 1 actions"), ("other.mp4 left", "says nothing of walk.mp4")):
        (tmp_path / "actions.txt").write_text(line + "\n")
        with pytest.raises(InputError, match=message):
            list(episodes.filmed(tmp_path))
    (tmp_path / "actions.txt").write_text("walk.mp4 left left right\n")
    (tmp_path / "walk.mp4").write_bytes(b"no film")
    with pytest.raises(InputError, match="no film that can be read"):
        list(episodes.filmed(tmp_path))


def test_doom_shows_the_same_for_the_same_seed_and_actions():
    pytest.importorskip("vizdoom", reason="the world needs ViZDoom: pip install 'vqspeech[video]'")
    actions = worlds.wander(20, np.random.default_rng(0))
    walks = []
    for _ in range(2):
        world = worlds.Doom("MAP01")
        walks.append(episodes.walk(world, 5, actions, ""))
        with pytest.raises(InputError, match="action 6 is none"):
            world.step(6)
        world.close()
    assert np.array_equal(walks[0].frames, walks[1].frames)
    assert len(np.unique(walks[0].frames.reshape(21, -1), axis=0)) > 5
