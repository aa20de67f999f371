"""A progress bar for work that takes longer than two seconds. It is shown on terminals only."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from newswire.validation.characters import escaped

SHOW_AFTER_SECONDS = 2.0


class Progress:
    """A progress bar on stderr. Without a total it shows activity only."""

    def __init__(self, title: str, total: int | None) -> None:
        self._console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bars.add_task(title, total=total)
        self._started = time.monotonic()
        self._shown = False
        self._done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._bars.stop()

    def update(self, done: int) -> None:
        """Set how much is done."""
        self._done = done
        self._bars.update(self._task, completed=done)
        if not self._shown and self._console.is_terminal and time.monotonic() - self._started > SHOW_AFTER_SECONDS:
            self._shown = True
            self._bars.start()

    def advance(self) -> None:
        """Add one to what is done."""
        self.update(self._done + 1)

    def print(self, line: str) -> None:
        """Print a line on stderr, above the bar. Control characters are escaped."""
        line = escaped(line)
        if self._shown:
            self._console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)
