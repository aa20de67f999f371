"""Reads JSON from untrusted sources: one value per line in constant memory, or one document of bounded size."""

import io
from collections.abc import Iterator
from typing import Any

import orjson

from newswire_ingest.importing.input_files import InputFile
from newswire_ingest.importing.models import FailedItem, UnreadableSourceError

Value = tuple[str, int | None, dict[str, Any]]
"""File (with the number of the item in an array), line, object."""
MAX_LINE_BYTES = 4 * 1024 * 1024
"""The API accepts articles of up to 1 MiB; a line may contain members that are omitted."""
_BOM = b"\xef\xbb\xbf"


def values(source: InputFile) -> Iterator[Value | FailedItem]:
    """Yield the objects of a file; a value that is not an object becomes a `FailedItem`, and reading continues."""
    if _is_one_document(source.head()):
        yield from _whole(source)
        return
    with source.open() as stream:
        for number, line in _lines(stream):
            if line is None:
                yield FailedItem(source.name, number, f"the line is longer than {MAX_LINE_BYTES:,} bytes")
                continue
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                yield FailedItem(source.name, number, f"is not JSON: {_message(error)}")
                continue
            yield (
                (source.name, number, value)
                if isinstance(value, dict)
                else FailedItem(source.name, number, "is not a JSON object")
            )


def _is_one_document(head: bytes) -> bool:
    first, newline, _ = head.removeprefix(_BOM).lstrip().partition(b"\n")
    if first.startswith(b"["):
        return True
    return first.strip() == b"{" or bool(newline and not _parses(first) and not first.rstrip().endswith(b"}"))


def _parses(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _whole(source: InputFile) -> Iterator[Value | FailedItem]:
    content = source.whole().removeprefix(_BOM)
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        line = content[: error.pos].count(b"\n") + 1 if error.pos else None
        raise UnreadableSourceError(f"is not JSON: {_message(error)}", line) from None
    if isinstance(value, dict):
        yield source.name, 1, value
        return
    for number, item in enumerate(value, start=1):
        file = f"{source.name} item {number}"
        yield (file, None, item) if isinstance(item, dict) else FailedItem(file, None, "is not a JSON object")


def _lines(stream: io.BufferedReader) -> Iterator[tuple[int, bytes | None]]:
    """Yield lines with their numbers, without blank lines; None for a line that is too long."""
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = stream.readline(MAX_LINE_BYTES)
            yield number, None
        elif line := line.removeprefix(_BOM if number == 1 else b"").strip():
            yield number, line


def _message(error: orjson.JSONDecodeError) -> str:
    return f"{error.msg} (character {error.colno})"
