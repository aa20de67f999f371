"""Reads version documents that were moved out of Redis, to a folder or a bucket.

In Redis, a *pointer* takes the place of such a document: its sizes and the beginning of its SHA-256. The object's path follows
from article, version and digest: an object is never replaced by another one, and all objects of an article are in one folder.
"""

import asyncio
import hashlib
import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from newswire.object_storage.location import open_location
from newswire.object_storage.storage import ObjectStorage, StorageError, read_all
from newswire.observability import metrics
from newswire.settings import Settings

log = logging.getLogger(__name__)

READ_SECONDS = 5.0
CONCURRENT_READS = 32
BATCH_SIZE = 32
"""Objects that are read together where many are wanted."""
MAX_BATCH_BYTES = 8 * 1024 * 1024
CONCURRENT_BATCHES = 3
LARGE_BYTES = 512 * 1024
"""More than this is hashed in a thread."""
RETRY_PAUSES_OF_COMMANDS = (6.0, 12.0, 24.0)
"""Seconds; longer than `FAILING_SECONDS`. A bucket that asks for fewer requests must not end the work of an hour."""
FAILING_SECONDS = 5.0
"""After a failure, reads fail at once for this time: requests must not wait in turn for a storage that does not answer."""
MARKER = "newswire-archive"
"""A file that every archive has: an empty folder in its place is one that is not mounted."""
POINTER_MARK = b"archived:"
_POINTER = re.compile(rb"archived:(\d{1,12}):(\d{1,12}):([0-9a-f]{32})")
Numbered: TypeAlias = tuple[str, int]
"""An article and the number of its version."""


class DocumentUnavailableError(ConnectionError):
    """The text of a version is in the archive, which cannot be read now. The message is for clients."""


class DocumentMissingError(DocumentUnavailableError):
    """The archive does not have a text, or a changed one."""


_Read: TypeAlias = bytes | DocumentUnavailableError
"""A document in its stored form, or why it cannot be read."""
UNAVAILABLE = "its text is in the archive, which cannot be read at the moment"


@dataclass(frozen=True, slots=True)
class Pointer:
    """What Redis keeps of an archived document."""

    stored_bytes: int
    unpacked_bytes: int
    digest: str

    @classmethod
    def to(cls, packed: bytes, unpacked_bytes: int) -> "Pointer":
        """Return the pointer to a document in its stored form."""
        return cls(len(packed), unpacked_bytes, _digest(packed))

    @classmethod
    def read(cls, stored: bytes) -> "Pointer | None":
        """Read what Redis stores as a document; None if it is one."""
        found = _POINTER.fullmatch(stored) if stored.startswith(POINTER_MARK) else None
        return cls(int(found[1]), int(found[2]), found[3].decode()) if found else None

    def written(self) -> str:
        """Return the pointer as Redis stores it."""
        return f"{POINTER_MARK.decode()}{self.stored_bytes}:{self.unpacked_bytes}:{self.digest}"

    def path(self, article_id: str, version: int) -> str:
        """Return the path of the object."""
        return f"{article_folder(article_id)}/{version}-{self.digest}.zst"


def article_folder(article_id: str) -> str:
    """Return the folder of all objects of an article. The last characters of an id are random, so that folders fill evenly."""
    return f"{article_id[-2:]}/{article_id}"


@dataclass(frozen=True, slots=True)
class _Archived:
    """A version whose document is in the archive."""

    article: str
    version: int
    pointer: Pointer

    @property
    def path(self) -> str:
        return self.pointer.path(self.article, self.version)


class DocumentArchive:
    """Resolves pointers: returns the documents in their stored form, as Redis had them."""

    def __init__(self, storage: ObjectStorage | None, retry_pauses: Sequence[float] = ()) -> None:
        """Without a storage, every archived document is unavailable. ``retry_pauses``: seconds before each further attempt."""
        self.storage = storage
        self._retry_pauses = retry_pauses
        self._slots = asyncio.Semaphore(CONCURRENT_READS)
        self._batches = asyncio.Semaphore(CONCURRENT_BATCHES)
        self._failing_until = 0.0

    async def resolve(self, article_id: str, version: int, stored: bytes | None) -> bytes | None:
        """Return the document that Redis stores, or to which it has a pointer; None for None.

        Raises:
            DocumentUnavailableError: it is in the archive, and cannot be read.
        """
        pointer = Pointer.read(stored) if stored else None
        if pointer is None:
            return stored
        (found,) = await self._read([_Archived(article_id, version, pointer)], self._slots)
        if isinstance(found, DocumentUnavailableError):
            raise found
        return found

    async def resolve_each(
        self, versions: Sequence[Numbered], stored: Sequence[bytes | None]
    ) -> list[bytes | DocumentUnavailableError | None]:
        """Resolve many documents; return for each that cannot be read why: a `DocumentMissingError` for those that are lost."""
        found: list[bytes | DocumentUnavailableError | None] = list(stored)
        archived = {
            at: _Archived(*version, pointer)
            for at, (version, document) in enumerate(zip(versions, stored, strict=True))
            if document is not None and (pointer := Pointer.read(document)) is not None
        }
        batches = _batches(list(archived.values()))
        read = await asyncio.gather(*(self._read(batch, self._batches) for batch in batches))
        for at, document in zip(archived, chain.from_iterable(read), strict=True):
            found[at] = document
        return found

    async def resolve_all(
        self, versions: Sequence[Numbered], stored: Sequence[bytes | None], *, without_unavailable: bool = False
    ) -> list[bytes | None]:
        """Resolve many documents. Those that the archive lacks are None; so are all that cannot be read, if asked for.

        Raises:
            DocumentUnavailableError: the archive cannot be read.
        """
        found: list[bytes | None] = []
        for each in await self.resolve_each(versions, stored):
            if isinstance(each, DocumentMissingError):
                log.error("an archived document is missing", extra={"reason": str(each)})
            elif isinstance(each, DocumentUnavailableError) and not without_unavailable:
                raise each
            found.append(None if isinstance(each, DocumentUnavailableError) else each)
        return found

    async def _read(self, batch: Sequence[_Archived], slots: asyncio.Semaphore) -> list[_Read]:
        async with slots:
            found = await self._attempt(batch)
        for pause in self._retry_pauses:
            again = [at for at, each in enumerate(found) if _is_unavailable(each)]
            if not again:
                break
            await asyncio.sleep(pause)
            async with slots:
                for at, each in zip(again, await self._attempt([batch[at] for at in again]), strict=True):
                    found[at] = each
        return found

    async def _attempt(self, batch: Sequence[_Archived]) -> list[_Read]:
        """Return the documents of a batch, or why they cannot be read."""
        if self.storage is None:
            return _unavailable(batch, "its text is in an archive, and NEWSWIRE_ARCHIVE_URL is not set")
        loop = asyncio.get_running_loop()
        if loop.time() < self._failing_until:
            return _unavailable(batch, "its text is in the archive, which does not answer at the moment")
        try:
            async with asyncio.timeout(READ_SECONDS):
                found = await _contents(self.storage, batch)
        except (StorageError, TimeoutError) as error:
            self._failing_until = loop.time() + FAILING_SECONDS
            reason = str(error) or f"no answer within {READ_SECONDS:.0f} s"
            log.warning("the archive cannot be read", extra={"reason": reason})
            found = _unavailable(batch, UNAVAILABLE)
        for result, count in Counter(map(_result, found)).items():
            metrics.archive_reads.labels(result).inc(count)
        return found


NO_ARCHIVE = DocumentArchive(None)


def open_archive(settings: Settings, retry_pauses: Sequence[float] = ()) -> DocumentArchive:
    """Return the archive of an installation."""
    if settings.archive_url is None:
        return DocumentArchive(None)
    key, secret = settings.archive_access_key_id, settings.archive_secret_access_key
    return DocumentArchive(
        open_location(
            settings.archive_url,
            key.get_secret_value() if key else None,
            secret.get_secret_value() if secret else None,
        ),
        retry_pauses,
    )


def _batches(archived: Sequence[_Archived]) -> list[list[_Archived]]:
    batches: list[list[_Archived]] = []
    size = 0
    for each in archived:
        if not batches or len(batches[-1]) == BATCH_SIZE or size + each.pointer.stored_bytes > MAX_BATCH_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(each)
        size += each.pointer.stored_bytes
    return batches


async def _contents(storage: ObjectStorage, batch: Sequence[_Archived]) -> list[_Read]:
    """Return the documents of a batch.

    Raises:
        StorageError: the storage cannot be read, or is not an archive.
    """
    found = await _read_valid(storage, batch)
    if again := [at for at, content in enumerate(found) if not isinstance(content, bytes)]:
        if await read_all(storage, MARKER) is None:  # if the marker is readable, the others are, too
            raise StorageError(f"it has no file {MARKER}; is it mounted?")
        # Once more: a gateway on the way may have cut an object off, or have returned another one's error.
        for at, content in zip(again, await _read_valid(storage, [batch[at] for at in again]), strict=True):
            found[at] = content
            if isinstance(content, DocumentUnavailableError) and content.__cause__ is not None:
                log.warning("an archived document cannot be read", extra={"reason": str(content.__cause__)})
    return found


async def _read_valid(storage: ObjectStorage, batch: Sequence[_Archived]) -> list[_Read]:
    contents = await storage.read_small([(each.path, each.pointer.stored_bytes + 1) for each in batch])

    def checked() -> list[_Read]:
        return [_checked(*each) for each in zip(batch, contents, strict=True)]

    small = sum(len(content) for content in contents if isinstance(content, bytes)) < LARGE_BYTES
    return checked() if small else await asyncio.to_thread(checked)


def _checked(archived: _Archived, content: bytes | StorageError | None) -> _Read:
    what = f"version {archived.version} of {archived.article}"
    if isinstance(content, StorageError):
        unavailable = DocumentUnavailableError(UNAVAILABLE)
        unavailable.__cause__ = content
        return unavailable
    if content is None or _digest(content) != archived.pointer.digest:
        return DocumentMissingError(f"the archive has no valid text of {what}")
    return content


def _unavailable(batch: Sequence[_Archived], why: str) -> list[_Read]:
    return [DocumentUnavailableError(why) for _ in batch]


def _is_unavailable(found: _Read) -> bool:
    return isinstance(found, DocumentUnavailableError) and not isinstance(found, DocumentMissingError)


def _result(found: _Read) -> str:
    if isinstance(found, bytes):
        return "ok"
    return "unavailable" if _is_unavailable(found) else "missing"


def _digest(packed: bytes) -> str:
    return hashlib.sha256(packed).hexdigest()[:32]
