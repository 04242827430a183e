"""The bar that a command shows while it works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tfreuse.errors import printable


class Bar:
    """Shows the function that is worked on, on standard error and only if that is a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("reading")

    def __call__(self, name: str, number: int, count: int) -> None:
        """Show that work begins on the function `name`, the `number`th of `count`."""
        shown = printable(name or "main graph")[:50]
        self._progress.update(self._task, description=shown, completed=number, total=count)


@contextmanager
def progress_bar() -> Iterator[Bar]:
    """A bar that goes when the work is done."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress)
