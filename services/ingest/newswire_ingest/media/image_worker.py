"""Decodes and scales images in a process of its own, which a crash, a loop or a bomb ends without harm to the service."""

import atexit
from typing import Any, Final

import orjson

from newswire.concurrency.offload import Offload
from newswire.concurrency.worker_process import WorkerKilledError, WorkerProcess
from newswire.observability import metrics
from newswire_ingest.media.errors import InvalidImageError
from newswire_ingest.media.models import CleanImage, ImageFormat

PROCESSOR_SECONDS: Final = 20.0
"""The largest accepted image takes a third of it."""
MEMORY_BYTES: Final = 1024 * 1024 * 1024
"""Address space of the process: four copies of the largest accepted image, and the libraries."""
DEADLINE_SECONDS: Final = 60.0
MAX_WAITING: Final = 16

_pool = Offload("media", workers=1, max_waiting=MAX_WAITING)
_process = WorkerProcess("newswire_ingest.media.decoding:answer", PROCESSOR_SECONDS, MEMORY_BYTES)
atexit.register(_process.close)


async def clean(content: bytes) -> CleanImage:
    """Decode an upload and encode it again, upright and without metadata.

    Raises:
        InvalidImageError: it is no image, or over a limit.
        newswire.concurrency.offload.OffloadError: too much work is waiting.
    """
    described, encoded = await _call(b"{}\n" + content)
    return CleanImage(
        encoded,
        ImageFormat(described["format"]),
        described["width"],
        described["height"],
        described["frames"],
        described["alpha"],
        described["colour"],
    )


async def scale(content: bytes, width: int, format_: ImageFormat) -> bytes:
    """Return a stored image in a smaller width.

    Raises:
        InvalidImageError: it cannot be decoded.
        newswire.concurrency.offload.OffloadError: too much work is waiting.
    """
    head = orjson.dumps({"width": width, "format": format_.value})
    return (await _call(head + b"\n" + content))[1]


async def _call(request: bytes) -> tuple[Any, bytes]:
    try:
        reply = await _pool.run(lambda _: _process.call(request), DEADLINE_SECONDS)
    except WorkerKilledError:
        metrics.offload_rejected.labels("media", "processor_time").inc()
        raise InvalidImageError(
            f"takes more than {PROCESSOR_SECONDS:g} s or {MEMORY_BYTES // 1024**2} MiB to decode",
            "export it again as a plain JPEG or PNG, or scale it down",
        ) from None
    head, _, content = reply.partition(b"\n")
    described = orjson.loads(head)
    if "problem" in described:
        raise InvalidImageError(described["problem"], described["fix"])
    return described, content
