"""Reads the articles of an uploaded file in a process of its own, which a crash, a loop or a bomb ends without harm to the service.

The process gets the path of the file and writes chunks of items beside it, so that neither holds all of them in memory.
"""

import atexit
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any, Final

import orjson

from newswire.concurrency.offload import Offload
from newswire.concurrency.worker_process import WorkerKilledError, WorkerProcess

PROCESSOR_SECONDS: Final = 900.0
MEMORY_BYTES: Final = 2 * 1024**3
DEADLINE_SECONDS: Final = 3600.0
CHUNK_ITEMS, CHUNK_BYTES = 100, 2_000_000
"""The maximum of items, and of bytes of their texts, that are published together."""
MAX_ITEMS = 200_000
MAX_ITEM_BYTES = 1024 * 1024
"""As JSON; larger articles are not accepted."""
MAX_TOTAL_BYTES = 2 * 1024**3
SOURCE_NAME = "source"
_MAX_REASON_CHARS = 500

_pool = Offload("imports", workers=1, max_waiting=4)
_process = WorkerProcess("newswire_ingest.imports.reading:answer", PROCESSOR_SECONDS, MEMORY_BYTES)
atexit.register(_process.close)


class UnreadableImportError(Exception):
    """The file cannot be read, or takes too long; the message says why."""


async def read_into(folder: Path, file_name: str, now: datetime, *, expired: bool) -> list[int]:
    """Read the file `source_path`, write chunks into its folder, and return how many items each has.

    Raises:
        UnreadableImportError: it takes too long, or has too many items.
        newswire.concurrency.offload.OffloadError: other files are being read.
    """
    request = {"folder": str(folder), "name": file_name, "now": now.isoformat(), "expired": expired}
    try:
        reply = await _pool.run(lambda _: _process.call(orjson.dumps(request)), DEADLINE_SECONDS)
    except WorkerKilledError:
        limits = f"{PROCESSOR_SECONDS / 60:g} minutes of processor time or {MEMORY_BYTES // 1024**3} GiB of memory"
        raise UnreadableImportError(f"reading the file takes more than {limits}; split it") from None
    found = orjson.loads(reply)
    if "problem" in found:
        raise UnreadableImportError(found["problem"])
    sizes: list[int] = found["sizes"]
    return sizes


def source_path(folder: Path, file_name: str) -> Path:
    """Return where the file is to be written: its suffixes show the format of some files."""
    suffixes = [suffix for suffix in PurePath(file_name).suffixes[-2:] if suffix[1:].isalnum() and len(suffix) <= 10]
    return folder / f"{SOURCE_NAME}{''.join(suffixes).lower()}"


def chunk_path(folder: Path, number: int) -> Path:
    """Return where a chunk is written."""
    return folder / f"chunk-{number}"


def answer(request: bytes) -> bytes:
    """Do what `read_into` asks for: runs in the worker."""
    asked = orjson.loads(request)
    folder, sizes, total = Path(asked["folder"]), list[int](), 0
    try:
        for chunk in _chunks(_items(folder, asked)):
            if sum(sizes) + len(chunk) > MAX_ITEMS:
                return orjson.dumps({"problem": f"the file has more than {MAX_ITEMS:,} items; split it"})
            content = b"".join(chunk)
            total += len(content)
            if total > MAX_TOTAL_BYTES:
                return orjson.dumps(
                    {"problem": f"the articles take more than {MAX_TOTAL_BYTES:,} bytes; split the file"}
                )
            chunk_path(folder, len(sizes)).write_bytes(content)
            sizes.append(len(chunk))
    except OSError as error:
        return orjson.dumps({"problem": f"the file cannot be read: {error.strerror or error}"})
    return orjson.dumps({"sizes": sizes})


def _items(folder: Path, asked: dict[str, Any]) -> Iterator[bytes]:
    from newswire_ingest.importing.models import SourceArticle  # heavy: only in the worker
    from newswire_ingest.importing.reader import ImportReader

    path = str(source_path(folder, asked["name"]))
    for found in ImportReader([path], None, datetime.fromisoformat(asked["now"]), asked["expired"]).found():
        item: dict[str, Any] = {"line": found.line}
        if isinstance(found, SourceArticle):
            item |= {"draft": found.draft, "notes": list(found.notes)}
        else:
            what = "skipped" if type(found).__name__ == "SkippedItem" else "failed"
            item |= {"what": what, "reason": found.reason[:_MAX_REASON_CHARS]}
        line = orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE)
        if len(line) > MAX_ITEM_BYTES:
            reason = f"is larger than {MAX_ITEM_BYTES:,} bytes as JSON, the maximum for an article"
            too_large = {"line": found.line, "what": "failed", "reason": reason}
            line = orjson.dumps(too_large, option=orjson.OPT_APPEND_NEWLINE)
        yield line


def _chunks(items: Iterator[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for item in items:
        chunk.append(item)
        size += len(item)
        if len(chunk) >= CHUNK_ITEMS or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
