"""Stores files in a folder."""

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO

from newswire.object_storage.storage import StorageError, StoredFile

_CHUNK_BYTES = 256 * 1024
_READERS = 4
"""Threads that read small files. A mount that hangs must not occupy the threads of all other work."""


class FolderStorage:
    """A folder of this machine, or one that all replicas mount. Blocking work is done in threads."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._readers: ThreadPoolExecutor | None = None

    async def write(self, path: str, content: bytes) -> None:
        """Write a temporary file, flush it to the disk, and rename it."""
        try:
            await asyncio.to_thread(_write, self._root, path, content)
        except OSError as error:
            raise StorageError(f"cannot write to {self._root}: {error.strerror or error}") from error

    async def open(self, path: str) -> StoredFile | None:
        """Open a file for reading."""
        try:
            file, size = await asyncio.to_thread(_open, self._root / path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"cannot read {self._root}: {error.strerror or error}") from error
        return StoredFile(size, _chunks(file))

    @property
    def keeps_versions(self) -> bool:
        """Return False: a deleted file is gone."""
        return False

    async def read_small(self, files: Sequence[tuple[str, int]]) -> list[bytes | StorageError | None]:
        """Read the files one after another in one thread: a change of threads takes longer than reading a file."""
        if self._readers is None:
            self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="folder-reader")
        return await asyncio.get_running_loop().run_in_executor(self._readers, _read_small, self._root, files)

    async def delete_folder(self, path: str) -> None:
        """Delete a folder, and the one above it if it is empty then."""
        try:
            await asyncio.to_thread(_delete, self._root / path)
        except OSError as error:
            raise StorageError(f"{self._root} cannot be cleared: {error.strerror or error}") from error

    async def check(self) -> str | None:
        """Return why the folder cannot be written to."""
        existing = next(folder for folder in (self._root, *self._root.absolute().parents) if folder.exists())
        if not existing.is_dir():
            return f"{existing} is no folder"
        return None if os.access(existing, os.W_OK | os.X_OK) else f"{existing} is not writable"


def _write(root: Path, path: str, content: bytes) -> None:
    target = root / path
    target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with unfinished.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise
    folder = target.parent
    _flush(folder)
    while folder != root:
        folder = folder.parent
        _flush(folder)


def _flush(folder: Path) -> None:
    """Write the entries of a folder to the disk: without it, a renamed file can be lost with the power."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _open(path: Path) -> tuple[IO[bytes], int]:
    file = path.open("rb")
    return file, os.fstat(file.fileno()).st_size


def _read_small(root: Path, files: Sequence[tuple[str, int]]) -> list[bytes | StorageError | None]:
    return [_read_beginning(root, path, size) for path, size in files]


def _read_beginning(root: Path, path: str, size: int) -> bytes | StorageError | None:
    try:
        with (root / path).open("rb") as file:
            return file.read(size)
    except FileNotFoundError:
        return None
    except OSError as error:
        return StorageError(f"cannot read {root}: {error.strerror or error}")


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    with file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
            yield chunk


def _delete(path: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(path)
    with suppress(OSError):  # it holds other files
        path.parent.rmdir()
