"""A progress bar for what takes longer than two seconds; nothing at all where nobody looks."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from newswire.validation.characters import escaped

SHOWN_AFTER = 2.0
"""Seconds."""


class Progress:
    """How far something has come, on stderr; with no total it shows only that it goes on."""

    def __init__(self, what: str, total: int | None) -> None:
        self._console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bars.add_task(what, total=total)
        self._began = time.monotonic()
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._bars.stop()

    def at(self, done: int) -> None:
        """Say how much is done."""
        self._bars.update(self._task, completed=done)
        if not self._shown and self._console.is_terminal and time.monotonic() - self._began > SHOWN_AFTER:
            self._shown = True
            self._bars.start()

    def print(self, line: str) -> None:
        """Print a line on stderr, above the bar; it may quote what others wrote."""
        line = escaped(line)
        if self._shown:
            self._console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)
