"""Files, folders and addresses, opened: unpacked, bounded, recognisable by their first bytes."""

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

import zstandard

from newswire_cli.importing.models import Skipped, Unreadable

LARGEST_DOCUMENT = 50_000_000
"""Bytes of a document that has to be read as a whole."""
HEAD = 65_536
"""Bytes from which a format is recognised."""
MOST_UNPACKED = 200
"""How many times its own size a compressed file may hold; news text is at 3 to 10."""
UNPACKED_AT_LEAST = 50_000_000
ZSTD_WINDOW = 2**27
SUFFIXES = frozenset(
    ".xml .wxr .rss .atom .rdf .nitf .newsml .json .ninjs .ndjson .jsonl .html .htm .xhtml .md .markdown .gz .zst".split()
)


@dataclass
class Source:
    """One document: a name to speak of it, and its unpacked bytes, from the start as often as wanted."""

    name: str
    open_packed: Callable[[], AbstractContextManager[IO[bytes]]]
    size: int
    url: str | None = None
    relative: str = ""
    """Where it lies in the folder that was given."""
    charset: str | None = None
    """The encoding that its server named."""
    read: int = field(default=0, init=False)
    """Packed bytes read so far, for a progress bar."""

    @contextmanager
    def open(self) -> "Iterator[io.BufferedReader[Any]]":
        """Open its unpacked bytes."""
        with self.open_packed() as packed:
            counted = io.BufferedReader(_Tally(packed, self), HEAD)
            head = counted.peek(4)
            limit = max(MOST_UNPACKED * self.size, UNPACKED_AT_LEAST)
            if head.startswith(b"\x1f\x8b"):
                unpacked: Any = gzip.GzipFile(fileobj=counted)
            elif head.startswith(b"\x28\xb5\x2f\xfd"):
                decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
                unpacked = decompressor.stream_reader(counted, read_across_frames=True)
            else:
                unpacked, limit = counted, sys.maxsize
            with unpacked, io.BufferedReader(_Bounded(unpacked, limit), HEAD) as stream:
                yield stream

    def head(self) -> bytes:
        """Return its first bytes."""
        with self.open() as stream:
            return stream.peek(HEAD)[:HEAD]

    def whole(self) -> bytes:
        """Return all of it.

        Raises:
            Unreadable: it is larger than `LARGEST_DOCUMENT`.
        """
        with self.open() as stream:
            content = stream.read(LARGEST_DOCUMENT + 1)
        if len(content) > LARGEST_DOCUMENT:
            raise Unreadable(f"is larger than {LARGEST_DOCUMENT // 1_000_000} MB, the most that one document may have")
        return content


def files(path: Path) -> Iterator[Source | Skipped]:
    """Open a file, or every file in a folder and below, in the order of their names; links to folders are not followed."""
    if not path.is_dir():
        yield _file(path, path.name)
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            if name.startswith("."):
                continue
            if file.suffix.lower() not in SUFFIXES:
                yield Skipped(str(file), None, f"'{file.suffix or name}' is no suffix of a file that is imported")
            else:
                try:
                    yield _file(file, str(file.relative_to(path)))
                except OSError as error:
                    yield Skipped(str(file), None, str(error.strerror or error))


def unreadable(error: Exception) -> Unreadable:
    """Say what is wrong with a file that could not be unpacked or read."""
    match error:
        case Unreadable():
            return error
        case gzip.BadGzipFile() | zlib.error() | EOFError() | zstandard.ZstdError():
            return Unreadable(f"the compressed data is broken or cut short ({error})")
        case RecursionError():
            return Unreadable("is nested too deeply")
        case OSError():
            return Unreadable(f"cannot be read: {error.strerror or error}")
        case _:
            return Unreadable(str(error))


UNREADABLE = (Unreadable, OSError, EOFError, zlib.error, zstandard.ZstdError, UnicodeError, RecursionError)
"""What reading a stranger's file may raise; see `unreadable`."""


def _file(path: Path, relative: str) -> Source:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(None, "is no regular file")
    return Source(str(path), lambda: path.open("rb"), status.st_size, relative=relative)


class _Tally(io.RawIOBase):
    """Counts what its source has given."""

    def __init__(self, packed: IO[bytes], source: Source) -> None:
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


class _Bounded(io.RawIOBase):
    """Gives no more than so many bytes."""

    def __init__(self, unpacked: IO[bytes], limit: int) -> None:
        self._unpacked = unpacked
        self._left = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = self._unpacked.read(len(buffer))
        self._left -= len(content)
        if self._left < 0:
            raise Unreadable(f"unpacks to more than {MOST_UNPACKED} times its size; no text does that")
        buffer[: len(content)] = content
        return len(content)
