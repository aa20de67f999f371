"""A buffer of bytes between a writer and a reader: in memory while small, in a temporary file when large."""

import asyncio
from tempfile import SpooledTemporaryFile

MAX_MEMORY_BYTES = 1024 * 1024
MAX_UNREAD_BYTES = 256 * 1024 * 1024
READ_CHUNK_BYTES = 64 * 1024


class DiskBuffer:
    """A buffer for one writer and one reader. The writer waits while too much is unread."""

    def __init__(self, max_unread_bytes: int = MAX_UNREAD_BYTES) -> None:
        self._file = SpooledTemporaryFile(max_size=MAX_MEMORY_BYTES)  # noqa: SIM115 (closed by close)
        self._max_unread_bytes = max_unread_bytes
        self._read = self._written = 0
        self._moved = asyncio.Condition()
        self._complete = False

    async def write(self, data: bytes) -> None:
        """Append bytes."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._written - self._read < self._max_unread_bytes)
            self._file.seek(self._written)
            self._file.write(data)
            self._written += len(data)
            self._moved.notify_all()

    async def complete(self) -> None:
        """End the stream: nothing more is written after this."""
        async with self._moved:
            self._complete = True
            self._moved.notify_all()

    async def read(self) -> bytes:
        """Return the next unread bytes, waiting for some; empty at the end of the stream."""
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
        """Delete the file."""
        self._file.close()
