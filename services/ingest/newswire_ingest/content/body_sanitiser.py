"""Sanitises bodies at a bounded cost: small ones directly, others in a process that is killed if it takes too long."""

import atexit
import threading
from typing import Final

import orjson

from newswire.concurrency.offload import Offload
from newswire.concurrency.worker_process import WorkerKilledError, WorkerProcess
from newswire.observability import metrics
from newswire_ingest.content.markup_limits import MarkupLimitError
from newswire_ingest.content.sanitised_body import (
    SMALL_MARKUP,
    SanitisedBody,
    markup_count,
    read_answer,
    sanitised_body,
)

INLINE_MARKUP: Final = SMALL_MARKUP
"""A body with this much markup takes 0.7 ms. A round trip to a worker process takes 0.4 ms, and twice that under load."""
INLINE_CHARACTERS: Final = 64 * 1024
PROCESSOR_SECONDS: Final = 1.0
"""About five times the time of the largest body within the limits of `markup_limits`."""
MEMORY_BYTES: Final = 1024 * 1024 * 1024

_pool = Offload("sanitise")
_workers: list[WorkerProcess] = []
_of_thread = threading.local()


async def sanitise_body(sent: str, address: str | None) -> SanitisedBody:
    """Sanitise a body. Relative URLs are resolved against the URL of the article.

    Raises:
        MarkupLimitError: its structure is over a limit, or it takes more CPU time than any legitimate body.
        OffloadError: too many bodies are queued.
    """
    if len(sent) <= INLINE_CHARACTERS and (markup := markup_count(sent)) <= INLINE_MARKUP:
        return sanitised_body(sent, address, markup)
    request = orjson.dumps([sent, address])
    return await _pool.run(lambda _: _in_process(request))


def _in_process(request: bytes) -> SanitisedBody:
    try:
        return read_answer(_worker().call(request))
    except WorkerKilledError:
        metrics.offload_rejected.labels("sanitise", "processor_time").inc()
        raise MarkupLimitError(
            f"takes more than {PROCESSOR_SECONDS:g} s of processor time to parse",
            "close every element where it ends, and nest fewer elements",
        ) from None


def _worker() -> WorkerProcess:
    if not hasattr(_of_thread, "worker"):
        _of_thread.worker = WorkerProcess(
            "newswire_ingest.content.sanitised_body:answer", PROCESSOR_SECONDS, MEMORY_BYTES
        )
        _workers.append(_of_thread.worker)
    worker: WorkerProcess = _of_thread.worker
    return worker


@atexit.register
def _close() -> None:
    for worker in _workers:
        worker.close()
