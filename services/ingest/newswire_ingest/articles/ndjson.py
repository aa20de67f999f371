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
    begun, over, number = bytearray(), False, 1
    async for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            begun += part
            if over or len(begun) > limit:
                yield Line(number, None)
            elif not begun.isspace() and begun:
                yield Line(number, bytes(begun))
            begun.clear()
            over = False
            number += 1
        begun += rest
        if over or len(begun) > limit:
            over = True
            begun.clear()
    if over:
        yield Line(number, None)
    elif begun and not begun.isspace():
        yield Line(number, bytes(begun))
