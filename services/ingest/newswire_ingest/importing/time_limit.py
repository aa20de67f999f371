"""A limit on the processor time for one article: nothing else bounds what libraries do with a hostile page."""

import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TypeVar

from newswire_ingest.importing.models import UnreadableSourceError

T = TypeVar("T")
MAX_ARTICLE_PROCESSOR_SECONDS = 60.0
"""Per article. The largest articles that the API accepts need about ten."""


def limit_processor_time(found: Iterator[T]) -> Iterator[T]:
    """Yield the items, each within `MAX_ARTICLE_PROCESSOR_SECONDS` of processor time.

    The limit applies in the main thread on Unix; other threads cannot be interrupted.

    Raises:
        UnreadableSourceError: an item took longer; the iterator has ended.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield from found
        return
    previous_handler = signal.signal(signal.SIGPROF, _raise_timeout)
    try:
        while True:
            # Repeated each second: a library may have caught the first exception as an error of its own.
            signal.setitimer(signal.ITIMER_PROF, MAX_ARTICLE_PROCESSOR_SECONDS, 1.0)
            try:
                item = next(found, None)
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            if item is None:
                return
            yield item
    finally:
        signal.signal(signal.SIGPROF, previous_handler)


def _raise_timeout(_number: int, _frame: FrameType | None) -> None:
    raise UnreadableSourceError(
        f"takes more than {MAX_ARTICLE_PROCESSOR_SECONDS:.0f} seconds of processor time; the rest of this file is not read"
    )
