"""Worlds to look at and act in: a world gives frames of 84x84x3 and takes one of ACTIONS, as gymnasium's do.

Another one is one class with `reset(seed)` and `step(action)`, each of which gives a frame.
"""

import atexit
import contextlib
import tempfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vqspeech import InputError

ACTIONS = ("stop", "forward", "left", "right", "strafe_left", "strafe_right")
SIZE = 84
Frame = NDArray[np.uint8]
TRAIN_MAPS = tuple(f"MAP{number:02d}" for number in (*range(1, 17), *range(21, 33)))
TEST_MAPS = ("MAP17", "MAP18", "MAP19", "MAP20")
MIRRORED = (0, 1, 3, 2, 5, 4)
"""The action that each of ACTIONS is in a mirror."""


LEFT_BEHIND = Path("_vizdoom")
"""An empty folder that the game makes wherever one is."""


@atexit.register
def _swept() -> None:
    with contextlib.suppress(OSError):
        LEFT_BEHIND.rmdir()


class World(Protocol):
    """A first-person world, (SIZE, SIZE, 3) a frame; the same seed and actions give the same frames."""

    def reset(self, seed: int) -> Frame:
        """Begins anew; the first frame."""
        ...

    def step(self, action: int) -> Frame:
        """Does one of ACTIONS for a moment; the frame after it."""
        ...

    def close(self) -> None:
        """Ends the world."""
        ...


class Doom:
    """A map of Freedoom without monsters or weapon, by ViZDoom; an action lasts FRAME_SKIP of 35 ticks a second.

    Nothing hurts, and one sees by infrared, as the game has it for two minutes at a time: the maps are dark otherwise.
    Where a map is left by its exit the world stands still.

    Raises:
        InputError: ViZDoom is not installed.
    """

    FRAME_SKIP = 4
    BUTTONS = ("MOVE_FORWARD", "TURN_LEFT", "TURN_RIGHT", "MOVE_LEFT", "MOVE_RIGHT")

    def __init__(self, map_name: str) -> None:
        try:
            import vizdoom
        except ImportError:
            raise InputError("this world needs ViZDoom; pip install 'vqspeech[video]'") from None
        self._workdir = tempfile.TemporaryDirectory()  # the game writes down its settings
        LEFT_BEHIND.mkdir(exist_ok=True)  # or games that begin together fail over who makes it
        game: Any = vizdoom.DoomGame()
        game.set_doom_config_path(f"{self._workdir.name}/settings.ini")
        game.load_config(f"{vizdoom.scenarios_path}/freedoom2.cfg")
        game.set_doom_map(map_name)
        game.add_game_args("-nomonsters")
        game.set_window_visible(False)
        game.set_sound_enabled(False)
        for switch in ("hud", "weapon", "crosshair", "decals", "particles", "messages"):
            getattr(game, f"set_render_{switch}")(False)
        game.set_screen_resolution(vizdoom.ScreenResolution.RES_160X120)
        game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        game.set_available_buttons([getattr(vizdoom.Button, name) for name in self.BUTTONS])
        game.set_episode_timeout(0)
        game.set_mode(vizdoom.Mode.PLAYER)
        self._game, self._started, self._last = game, False, np.zeros((SIZE, SIZE, 3), np.uint8)

    def reset(self, seed: int) -> Frame:
        """Begins the map anew."""
        self._game.set_seed(seed)
        if self._started:
            self._game.new_episode()
        else:
            self._game.init()
            self._started = True
        for cheat in ("god", "give infrared"):
            self._game.send_game_command(cheat)
        return self.step(ACTIONS.index("stop"))

    def step(self, action: int) -> Frame:
        """Presses a button for FRAME_SKIP ticks."""
        if not 0 <= action < len(ACTIONS):
            raise InputError(f"action {action} is none; choose 0 to {len(ACTIONS) - 1} ({', '.join(ACTIONS)})")
        self._game.make_action([float(action == button + 1) for button in range(len(self.BUTTONS))], self.FRAME_SKIP)
        return self._frame()

    def close(self) -> None:
        """Ends the game."""
        self._game.close()
        self._workdir.cleanup()

    def _frame(self) -> Frame:
        """The middle square of the screen."""
        from PIL import Image

        if state := self._game.get_state():
            screen = Image.fromarray(state.screen_buffer[:, 20:140])
            self._last = np.asarray(screen.resize((SIZE, SIZE), Image.Resampling.BOX))
        return self._last


def wander(steps: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A scripted walk, (steps,) actions: each for some frames, forward most often, turns long enough to look around."""
    chances, actions = np.array([0.06, 0.42, 0.18, 0.18, 0.08, 0.08]), np.zeros(0, np.int64)
    while len(actions) < steps:
        actions = np.append(actions, np.full(rng.integers(2, 9), rng.choice(len(ACTIONS), p=chances)))
    return actions[:steps]
