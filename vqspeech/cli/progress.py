"""Progress on stderr: a bar on a terminal, otherwise a line a minute."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY_S = 60.0
"""Between lines."""


@contextmanager
def bar(title: str, total: float, unit: str) -> Iterator[Callable[..., None]]:
    """A progress bar on stderr; yields update(done, text).

    Where stderr is no terminal, such as a file, a line says how far it is, at most every EVERY_S.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    share = "{task.completed:.1f}/{task.total:.1f} " + unit if unit else "{task.percentage:.0f} %"
    columns = (TextColumn("{task.description}"), BarColumn(30), TextColumn(share), TimeRemainingColumn())
    console, last = Console(stderr=True), time.monotonic()
    progress = Progress(*columns, TextColumn("{task.fields[text]}"), console=console, redirect_stdout=False)
    task = progress.add_task(title, total=total, text="")

    def update(done: float, text: str = "") -> None:
        nonlocal last
        progress.update(task, completed=done, text=text)
        if console.is_terminal:
            progress.start()  # not before: what is refused at once shows no bar
        elif time.monotonic() - last >= EVERY_S:
            last = time.monotonic()
            share = f"{done:.1f}/{total:.1f} {unit}" if unit else f"{100 * done / total:.0f} %"
            print(f"{title}: {share} {text}".rstrip(), file=sys.stderr, flush=True)

    try:
        yield update
    finally:
        if progress.live.is_started:
            progress.stop()
