"""`newswire` as its users run it, on a machine whose wall clock a test moves.

`python -m tests.servers.moved_clock FILE run …` runs the command with the seconds in FILE added to `time.time`. Clocks that only
measure intervals are not moved.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path


def moved(file: Path, clock: Callable[[], float] = time.time) -> Callable[[], float]:
    """Return a clock that adds the seconds in a file, which is read each time."""

    def read() -> float:
        return clock() + float(file.read_text())

    return read


class MovedClock:
    """The wall clock of a process that was started with `command`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seconds = 0.0
        self.move(0)

    @property
    def command(self) -> list[str]:
        """The command line that runs `newswire` with this clock."""
        return [sys.executable, "-m", __name__, str(self._file)]

    def now(self) -> float:
        """Return the time of the process."""
        return time.time() + self._seconds

    def move(self, seconds: float) -> None:
        """Move the clock on; the process sees the new time at once."""
        self._seconds += seconds
        written = self._file.with_suffix(".new")
        written.write_text(str(self._seconds))
        written.replace(self._file)


if __name__ == "__main__":
    time.time = moved(Path(sys.argv.pop(1)))
    from newswire_cli.main import app  # only now: functions keep the clock as the default of an argument

    app()
