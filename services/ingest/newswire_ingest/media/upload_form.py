"""Reads an uploaded file from a request: the body itself, or a form whose field ``file`` it is."""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header

from newswire.http.problems import malformed, too_large
from newswire.http.request_parsing import validate_body
from newswire_ingest.media.models import MediaText
from newswire_ingest.media.schemas import MediaTexts

FORM = "multipart/form-data"
MAX_FIELD_BYTES = 8 * 1024
MAX_PARTS = 8
MAX_HEADER_BYTES = 4 * 1024
FORM_OVERHEAD_BYTES = 64 * 1024


def is_form(request: Request) -> bool:
    """Return whether a request has a multipart body."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


class FormUpload:
    """A multipart body that is read once: the file as a stream, and the texts when the stream has ended."""

    def __init__(self, request: Request, limit: int) -> None:
        self._request = request
        self._limit = limit + FORM_OVERHEAD_BYTES
        self._fields: dict[str, bytearray] = {}
        self._chunks: list[bytes] = []
        self._field = ""
        self._header, self._value, self._header_bytes, self._parts = bytearray(), bytearray(), 0, 0
        self._complete = False
        self.file_name = ""
        """The name that the browser gave for the file."""

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the field ``file``.

        Raises:
            newswire.http.problems.ProblemError: the body is no form with one file.
        """
        parser = self._parser()
        size = 0
        async for chunk in self._request.stream():
            size += len(chunk)
            if size > self._limit:
                raise too_large(self._limit)
            try:
                parser.write(chunk)
            except MultipartParseError:
                raise _no_form("is not a multipart form") from None
            chunks, self._chunks = self._chunks, []
            for each in chunks:
                yield each
        if not self._complete:
            raise _no_form("ends before the form does")
        if "file" not in self._fields:
            raise malformed("file", "is missing", "send the file as the field 'file'")

    def field(self, name: str) -> str:
        """Return another field of the form, when the stream has ended; empty where it was not sent."""
        return bytes(self._fields.get(name, b"")).decode("utf-8", "replace")

    def text(self) -> MediaText:
        """Return the texts of the form; invalid ones are 422."""
        try:
            sent: Any = {name: bytes(value).decode() for name, value in self._fields.items() if name != "file"}
        except UnicodeDecodeError:
            raise _no_form("has a field that is not UTF-8") from None
        return validate_body(sent, MediaTexts).model.media_text()

    def _parser(self) -> MultipartParser:
        _, options = parse_options_header(self._request.headers.get("content-type", ""))
        boundary = options.get(b"boundary")
        if not boundary:
            raise _no_form("has no boundary")
        callbacks: Any = {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_header,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_content,
            "on_part_data": self._add_content,
            "on_end": self._end,
        }
        try:
            return MultipartParser(boundary, callbacks)
        except MultipartParseError:
            raise _no_form("has an invalid boundary") from None

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _no_form(f"has more than {MAX_PARTS} fields")
        self._field, self._header_bytes = "", 0

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._value += data[start:end]

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise _no_form("has a field with headers that are too long")

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._field = options.get(b"name", b"").decode("utf-8", "replace")
            if self._field == "file":
                self.file_name = options.get(b"filename", b"").decode("utf-8", "replace")
        self._header, self._value = bytearray(), bytearray()

    def _begin_content(self) -> None:
        if not self._field:
            raise _no_form("has a field without a name")
        if self._field in self._fields:
            raise malformed(self._field[:100], "was sent more than once", "send it once; one file per request")
        self._fields[self._field] = bytearray()

    def _add_content(self, data: bytes, start: int, end: int) -> None:
        if self._field == "file":
            self._chunks.append(data[start:end])
            return
        field = self._fields[self._field]
        field += data[start:end]
        if len(field) > MAX_FIELD_BYTES:
            raise malformed(self._field[:100], f"is longer than {MAX_FIELD_BYTES:,} bytes", "shorten it")

    def _end(self) -> None:
        self._complete = True


def _no_form(what: str) -> Exception:
    return malformed("body", what, "send multipart/form-data with the field 'file', or the file itself as the body")
