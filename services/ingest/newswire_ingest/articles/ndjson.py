"""Splits newline-delimited JSON while it is received."""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Final

MEDIA_TYPE: Final = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not blank, and its number, counted from 1. ``text`` is None if the line is over the limit."""

    number: int
    text: bytes | None


async def lines(chunks: AsyncIterable[bytes], limit: int) -> AsyncIterator[Line]:
    """Split a stream into lines. At most one line, and at most ``limit`` bytes of it, is held in memory."""
    buffer, over, number = bytearray(), False, 1
    async for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            buffer += part
            if over or len(buffer) > limit:
                yield Line(number, None)
            elif not buffer.isspace() and buffer:
                yield Line(number, bytes(buffer))
            buffer.clear()
            over = False
            number += 1
        buffer += rest
        if over or len(buffer) > limit:
            over = True
            buffer.clear()
    if over:
        yield Line(number, None)
    elif buffer and not buffer.isspace():
        yield Line(number, bytes(buffer))
