"""JSON in UTF-16 or UTF-32. JSON has to be UTF-8 (RFC 8259, section 8.1), but `>` in Windows PowerShell writes UTF-16."""

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO

from newswire_ingest.importing.decoding import byte_order_mark
from newswire_ingest.importing.input_files import InputFile


def json_in_utf8(source: InputFile) -> InputFile:
    """Return the file with its bytes in UTF-8 if it is JSON in a wide encoding; any other file as it is."""
    head = source.head()
    encoding, mark = byte_order_mark(head) or ("utf-8", 0)
    if encoding == "utf-8" or not head[mark:].decode(encoding, "ignore").lstrip().startswith(("{", "[")):
        return source

    @contextmanager
    def opened() -> Iterator[io.BufferedReader]:
        with source.open() as stream:
            stream.read(mark)
            yield io.BufferedReader(_Utf8Reader(stream, encoding))

    return replace(source, open_packed=opened)


class _Utf8Reader(io.RawIOBase):
    """Decodes a stream and encodes it again; what cannot be decoded becomes U+FFFD."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._left:
            chunk = self._stream.read(len(buffer))
            self._left = self._decoder.decode(chunk, final=not chunk).encode("utf-8", "replace")
            if not chunk:
                break
        given, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(given)] = given
        return len(given)
