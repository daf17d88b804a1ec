"""A progress bar on stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(title: str, total: float, unit: str) -> Iterator[Callable[..., None]]:
    """A progress bar on stderr; yields update(done, text)."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    share = "{task.completed:.1f}/{task.total:.1f} " + unit if unit else "{task.percentage:.0f} %"
    columns = (TextColumn("{task.description}"), BarColumn(30), TextColumn(share), TimeRemainingColumn())
    progress = Progress(
        *columns, TextColumn("{task.fields[text]}"), console=Console(stderr=True), redirect_stdout=False
    )
    task = progress.add_task(title, total=total, text="")

    def update(done: float, text: str = "") -> None:
        progress.start()  # not before: what is refused at once shows no bar
        progress.update(task, completed=done, text=text)

    try:
        yield update
    finally:
        if progress.live.is_started:
            progress.stop()
