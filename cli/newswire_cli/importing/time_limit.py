"""A limit on the processor time for one article: what foreign libraries do with a hostile page is bounded by nothing else."""

import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TypeVar

from newswire_cli.importing.models import Unreadable

T = TypeVar("T")
SECONDS = 60.0
"""Of the processor, for one article. The largest that the API takes need about ten."""


def each_within(found: Iterator[T]) -> Iterator[T]:
    """Go through what is found, each within `SECONDS`; only where this thread can be interrupted: the first, on Unix.

    Raises:
        Unreadable: one took longer; the iterator has ended by that.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield from found
        return
    before = signal.signal(signal.SIGPROF, _too_long)
    try:
        while True:
            # Again each second: a library may have taken the first for an error of its own.
            signal.setitimer(signal.ITIMER_PROF, SECONDS, 1.0)
            try:
                one = next(found, None)
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            if one is None:
                return
            yield one
    finally:
        signal.signal(signal.SIGPROF, before)


def _too_long(_number: int, _frame: FrameType | None) -> None:
    raise Unreadable(
        f"takes more than {SECONDS:.0f} seconds of processor time; it and what follows in this file is not read"
    )
