"""Opens and decompresses input files, with limits on their size."""

import gzip
import io
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import zstandard

from newswire_ingest.importing.models import SkippedItem, UnreadableSourceError

MAX_DOCUMENT_BYTES = 50_000_000
"""For a document that must be read as a whole."""
HEAD_BYTES = 65_536
"""The beginning of a file, from which its format is detected."""
MAX_COMPRESSION_RATIO = 200
"""For compressed files; news text has a ratio of 3 to 10."""
MIN_UNPACKED_LIMIT_BYTES = 50_000_000
MAX_ZSTD_WINDOW_BYTES = 2**27
SUFFIXES = frozenset(
    ".xml .wxr .rss .atom .rdf .nitf .newsml .json .ninjs .ndjson .jsonl .html .htm .xhtml .md .markdown .gz .zst".split()
)


def is_url(path: str) -> bool:
    """Return whether a path is an http or https address, not the name of a file."""
    return urlsplit(path).scheme.lower() in ("http", "https")


@dataclass
class InputFile:
    """One document: its name, and its decompressed bytes, which can be read repeatedly."""

    name: str
    open_packed: Callable[[], AbstractContextManager[IO[bytes]]]
    size: int
    url: str | None = None
    relative: str = ""
    """The path relative to the folder that was given."""
    charset: str | None = None
    """The character encoding that the server declared."""
    read: int = field(default=0, init=False)
    """Compressed bytes read so far, for a progress bar."""

    @contextmanager
    def open(self) -> "Iterator[io.BufferedReader[Any]]":
        """Open the decompressed bytes."""
        with self.open_packed() as packed:
            counted = io.BufferedReader(_CountingReader(packed, self), HEAD_BYTES)
            head = counted.peek(4)
            limit = max(MAX_COMPRESSION_RATIO * self.size, MIN_UNPACKED_LIMIT_BYTES)
            if head.startswith(b"\x1f\x8b"):
                unpacked: Any = gzip.GzipFile(fileobj=counted)
            elif head.startswith(b"\x28\xb5\x2f\xfd"):
                decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW_BYTES)
                unpacked = decompressor.stream_reader(counted, read_across_frames=True)
            else:
                unpacked, limit = counted, sys.maxsize
            with unpacked, io.BufferedReader(_BoundedReader(unpacked, limit), HEAD_BYTES) as stream:
                yield stream

    def head(self) -> bytes:
        """Return the first bytes."""
        with self.open() as stream:
            return stream.peek(HEAD_BYTES)[:HEAD_BYTES]

    def whole(self) -> bytes:
        """Return all bytes.

        Raises:
            UnreadableSourceError: it is larger than `MAX_DOCUMENT_BYTES`.
        """
        with self.open() as stream:
            content = stream.read(MAX_DOCUMENT_BYTES + 1)
        if len(content) > MAX_DOCUMENT_BYTES:
            raise UnreadableSourceError(
                f"is larger than {MAX_DOCUMENT_BYTES // 1_000_000} MB, the maximum for one document"
            )
        return content


def find_input_files(path: Path) -> Iterator[InputFile | SkippedItem]:
    """Yield a file, or all files in a folder and its subfolders, sorted by name; links to folders are not followed."""
    if not path.is_dir():
        yield _open_file(path, path.name)
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            if name.startswith("."):
                continue
            if file.suffix.lower() not in SUFFIXES:
                yield SkippedItem(str(file), None, f"'{file.suffix or name}' is not the suffix of an import format")
            else:
                try:
                    yield _open_file(file, str(file.relative_to(path)))
                except OSError as error:
                    yield SkippedItem(str(file), None, str(error.strerror or error))


def as_unreadable(error: Exception) -> UnreadableSourceError:
    """Return the error that describes why a file could not be decompressed or read."""
    match error:
        case UnreadableSourceError():
            return error
        case gzip.BadGzipFile() | zlib.error() | EOFError() | zstandard.ZstdError():
            return UnreadableSourceError(f"the compressed data is broken or truncated ({error})")
        case RecursionError():
            return UnreadableSourceError("is nested too deeply")
        case OSError():
            return UnreadableSourceError(f"cannot be read: {error.strerror or error}")
        case _:
            return UnreadableSourceError(str(error))


READ_ERRORS = (UnreadableSourceError, OSError, EOFError, zlib.error, zstandard.ZstdError, UnicodeError, RecursionError)
"""The exceptions that reading a file may raise; see `as_unreadable`."""


def _open_file(path: Path, relative: str) -> InputFile:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(None, "is not a regular file")
    return InputFile(str(path), lambda: path.open("rb"), status.st_size, relative=relative)


class _CountingReader(io.RawIOBase):
    """Counts the bytes that are read."""

    def __init__(self, packed: IO[bytes], source: InputFile) -> None:
        self._packed = packed
        self._source = source
        source.read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = self._packed.read(len(buffer))
        buffer[: len(content)] = content
        self._source.read += len(content)
        return len(content)


class _BoundedReader(io.RawIOBase):
    """Raises an error beyond a number of bytes."""

    def __init__(self, unpacked: IO[bytes], limit: int) -> None:
        self._unpacked = unpacked
        self._left = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = self._unpacked.read(len(buffer))
        self._left -= len(content)
        if self._left < 0:
            raise UnreadableSourceError(
                f"unpacks to more than {MAX_COMPRESSION_RATIO} times its size, more than any text does"
            )
        buffer[: len(content)] = content
        return len(content)
