"""Where the bytes of images are: a folder, or an S3 bucket. Both write a file completely or not at all."""

from typing import Protocol

from newswire_ingest.media.models import StoredFile


class MediaStorage(Protocol):
    """Stores files under paths that Newswire makes. Each method raises `newswire_ingest.media.errors.StorageError`."""

    async def write(self, path: str, content: bytes) -> None:
        """Store a file durably; an older one is replaced in one step."""

    async def open(self, path: str) -> StoredFile | None:
        """Return a file; None if there is none."""

    async def delete_folder(self, path: str) -> None:
        """Delete a folder with everything in it, if there is one."""

    async def check(self) -> str | None:
        """Return why files cannot be stored; None if they can."""


async def read_all(storage: MediaStorage, path: str) -> bytes | None:
    """Return the content of a file; None if there is none."""
    found = await storage.open(path)
    return None if found is None else b"".join([chunk async for chunk in found.chunks])
