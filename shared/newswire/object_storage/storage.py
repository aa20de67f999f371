"""Where files are that do not belong in Redis: a folder, or an S3 bucket. Both write a file completely or not at all."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol


class StorageError(Exception):
    """The folder or the bucket cannot be used now."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that is read from the folder or the bucket."""

    size: int
    chunks: AsyncIterator[bytes]


class ObjectStorage(Protocol):
    """Stores files under paths that Newswire makes. Each method raises `StorageError`."""

    async def write(self, path: str, content: bytes) -> None:
        """Store a file durably; an older one is replaced in one step."""

    async def open(self, path: str) -> StoredFile | None:
        """Return a file; None if there is none."""

    @property
    def keeps_versions(self) -> bool:
        """Whether the storage is known to keep what was deleted: a bucket with versioning, once something was written to it."""

    async def read_small(self, files: Sequence[tuple[str, int]]) -> list[bytes | StorageError | None]:
        """Read many small files, all at a time: for each path, at most so many bytes.

        None for a file that does not exist; the error of one that cannot be read, for it may be the only one.
        """

    async def delete_folder(self, path: str) -> None:
        """Delete a folder with everything in it, if there is one."""

    async def check(self) -> str | None:
        """Return why files cannot be stored; None if they can."""


async def read_all(storage: ObjectStorage, path: str) -> bytes | None:
    """Return the content of a file; None if there is none."""
    found = await storage.open(path)
    return None if found is None else b"".join([chunk async for chunk in found.chunks])
