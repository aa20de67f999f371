"""Bytes that wait to be read: in memory while they are few, in a temporary file when they are many."""

import asyncio
from tempfile import SpooledTemporaryFile

MAX_MEMORY_BYTES = 1024 * 1024
MAX_UNREAD_BYTES = 256 * 1024 * 1024
READ_CHUNK_BYTES = 64 * 1024


class DiskBuffer:
    """One writer, one reader. Keeps the writer waiting once too much is unread."""

    def __init__(self, max_unread_bytes: int = MAX_UNREAD_BYTES) -> None:
        self._file = SpooledTemporaryFile(max_size=MAX_MEMORY_BYTES)  # noqa: SIM115 (closed by close)
        self._max_unread_bytes = max_unread_bytes
        self._read = self._written = 0
        self._moved = asyncio.Condition()
        self._complete = False

    async def write(self, data: bytes) -> None:
        """Put bytes at the end."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._written - self._read < self._max_unread_bytes)
            self._file.seek(self._written)
            self._file.write(data)
            self._written += len(data)
            self._moved.notify_all()

    async def complete(self) -> None:
        """Say that no more will be written."""
        async with self._moved:
            self._complete = True
            self._moved.notify_all()

    async def read(self) -> bytes:
        """Return what was written and not read yet, or a part of it; nothing at the end."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._written > self._read or self._complete)
            self._file.seek(self._read)
            data = self._file.read(READ_CHUNK_BYTES)
            self._read += len(data)
            if self._read == self._written:
                self._file.seek(0)
                self._file.truncate()
                self._read = self._written = 0
            self._moved.notify_all()
            return data

    def close(self) -> None:
        """Give the file back."""
        self._file.close()
