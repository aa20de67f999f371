"""Reads version documents that were moved out of Redis, to a folder or a bucket.

In Redis, a *pointer* takes the place of such a document: its sizes and the beginning of its SHA-256. The object's path follows
from article, version and digest: an object is never replaced by another one, and all objects of an article are in one folder.
"""

import asyncio
import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from newswire.object_storage.location import open_location
from newswire.object_storage.storage import ObjectStorage, StorageError, read_all
from newswire.observability import metrics
from newswire.settings import Settings

log = logging.getLogger(__name__)

READ_SECONDS = 5.0
CONCURRENT_READS = 32
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


class DocumentArchive:
    """Resolves pointers: returns the documents in their stored form, as Redis had them."""

    def __init__(self, storage: ObjectStorage | None) -> None:
        """Without a storage, every archived document is unavailable."""
        self.storage = storage
        self._slots = asyncio.Semaphore(CONCURRENT_READS)
        self._failing_until = 0.0

    async def resolve(self, article_id: str, version: int, stored: bytes | None) -> bytes | None:
        """Return the document that Redis stores, or to which it has a pointer; None for None.

        Raises:
            DocumentUnavailableError: it is in the archive, and cannot be read.
        """
        pointer = Pointer.read(stored) if stored else None
        return stored if pointer is None else await self._read(pointer, article_id, version)

    async def resolve_all(
        self, versions: Sequence[Numbered], stored: Sequence[bytes | None], *, without_unavailable: bool = False
    ) -> list[bytes | None]:
        """Resolve many documents. Those that the archive lacks are None; so are all that cannot be read, if asked for.

        Raises:
            DocumentUnavailableError: the archive cannot be read.
        """

        async def one(version: Numbered, document: bytes) -> bytes | None:
            try:
                return await self.resolve(*version, document)
            except DocumentMissingError as error:
                log.error("an archived document is missing", extra={"reason": str(error)})
            except DocumentUnavailableError:
                if not without_unavailable:
                    raise
            return None

        found = list(stored)
        archived = [at for at, each in enumerate(stored) if each is not None and each.startswith(POINTER_MARK)]
        for start in range(0, len(archived), CONCURRENT_READS):
            page = archived[start : start + CONCURRENT_READS]
            read = await asyncio.gather(*(one(versions[at], stored[at] or b"") for at in page))
            for at, document in zip(page, read, strict=True):
                found[at] = document
        return found

    async def _read(self, pointer: Pointer, article_id: str, version: int) -> bytes:
        if self.storage is None:
            raise DocumentUnavailableError("its text is in an archive, and NEWSWIRE_ARCHIVE_URL is not set")
        loop = asyncio.get_running_loop()
        if loop.time() < self._failing_until:
            raise DocumentUnavailableError("its text is in the archive, which does not answer at the moment")
        try:
            async with self._slots, asyncio.timeout(READ_SECONDS):
                content = await _content(self.storage, pointer, article_id, version)
                if content is None and await read_all(self.storage, MARKER) is None:
                    raise StorageError(f"it has no file {MARKER}; is it mounted?")
        except (StorageError, TimeoutError) as error:
            self._failing_until = loop.time() + FAILING_SECONDS
            metrics.archive_reads.labels("unavailable").inc()
            reason = str(error) or f"no answer within {READ_SECONDS:.0f} s"
            log.warning("the archive cannot be read", extra={"reason": reason})
            raise DocumentUnavailableError("its text is in the archive, which cannot be read at the moment") from error
        if content is None:
            metrics.archive_reads.labels("missing").inc()
            raise DocumentMissingError(f"the archive has no valid text of version {version} of {article_id}")
        metrics.archive_reads.labels("ok").inc()
        return content


NO_ARCHIVE = DocumentArchive(None)


def open_archive(settings: Settings) -> DocumentArchive:
    """Return the archive of an installation."""
    if settings.archive_url is None:
        return DocumentArchive(None)
    key, secret = settings.archive_access_key_id, settings.archive_secret_access_key
    return DocumentArchive(
        open_location(
            settings.archive_url,
            key.get_secret_value() if key else None,
            secret.get_secret_value() if secret else None,
        )
    )


async def _content(storage: ObjectStorage, pointer: Pointer, article_id: str, version: int) -> bytes | None:
    """Return what an object has, if it is what was written."""
    found = await storage.open(pointer.path(article_id, version))
    if found is None:
        return None
    chunks, left = [], pointer.stored_bytes
    async for chunk in found.chunks:
        chunks.append(chunk[: max(0, left)])
        left -= len(chunk)
    content = b"".join(chunks)
    return content if left == 0 and _digest(content) == pointer.digest else None


def _digest(packed: bytes) -> str:
    return hashlib.sha256(packed).hexdigest()[:32]
