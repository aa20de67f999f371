"""Keeps identical warnings and errors from filling the log: while a server is down, each attempt would write the same line."""

import copy
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from newswire.observability import metrics

MAX_IDENTICAL_LINES = 3
"""Identical lines written within the window; the others are counted."""
WINDOW_SECONDS = 60.0
MAX_DISTINCT_LINES = 1000
"""Distinct lines that are remembered; beyond that, lines are written without counting."""
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_REPEATED = "repeated"


@dataclass(slots=True)
class _Seen:
    record: logging.LogRecord
    since: float
    written: int = 1
    suppressed: int = 0


class RepeatedLines(logging.Filter):
    """A filter of one handler. Lines are identical if logger, level, message, error and all members are."""

    def __init__(self, handler: logging.Handler, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._handler = handler
        self._clock = clock
        self._seen: dict[object, _Seen] = {}
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is written; first write how often those were repeated whose window has ended."""
        if hasattr(record, _REPEATED):
            return True
        with self._lock:
            ended, is_written = self._ended(), self._counted(record)
        for seen in ended:
            summary = copy.copy(seen.record)
            summary.created = time.time()
            setattr(summary, _REPEATED, seen.suppressed)
            self._handler.handle(summary)
        if not is_written:
            metrics.log_lines_suppressed.inc()
        return is_written

    def _ended(self) -> list[_Seen]:
        """Forget the lines whose window has ended; return those that were repeated."""
        limit = self._clock() - WINDOW_SECONDS
        ended = []
        while self._seen:  # in the order in which their windows began
            key = next(iter(self._seen))
            if self._seen[key].since > limit:
                break
            seen = self._seen.pop(key)
            if seen.suppressed:
                ended.append(seen)
        return ended

    def _counted(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        key = _identity(record)
        seen = self._seen.get(key)
        if seen is None:
            if len(self._seen) < MAX_DISTINCT_LINES:
                self._seen[key] = _Seen(record, self._clock())
            return True
        if seen.written < MAX_IDENTICAL_LINES:
            seen.written += 1
            return True
        seen.suppressed += 1
        return False


def _identity(record: logging.LogRecord) -> tuple[object, ...]:
    error = record.exc_info[1] if record.exc_info else None
    members = sorted((name, str(value)) for name, value in vars(record).items() if name not in _STANDARD)
    return record.name, record.levelno, record.getMessage(), type(error), str(error), *members
