"""Where a stream stands."""

import re
from typing import TypeAlias

from redis.asyncio import Redis
from redis.exceptions import ResponseError

Position: TypeAlias = tuple[int, int]
"""A stream id as two numbers, which sort as the stream does."""

BEGINNING: Position = (0, 0)
_ENTRY_ID = re.compile(r"[0-9]{1,20}(-[0-9]{1,20})?")


def position(entry_id: str) -> Position:
    """Read a stream id.

    Raises:
        ValueError: it is none.
    """
    if not _ENTRY_ID.fullmatch(entry_id):
        raise ValueError("not a stream id")
    time, _, sequence = entry_id.partition("-")
    both = int(time), int(sequence or 0)
    if max(both) >= 2**64:
        raise ValueError("not a stream id")
    return both


def written(at: Position) -> str:
    """Return a position as the stream's id."""
    return f"{at[0]}-{at[1]}"


async def newest_entry(redis: "Redis", stream: str) -> str:
    """Return the id of the newest entry that a stream ever had, deleted ones too; ``0-0`` where there is no stream."""
    try:
        about = await redis.xinfo_stream(stream)
    except ResponseError as error:
        if "no such key" not in str(error):
            raise
        return "0-0"
    newest: bytes = about["last-generated-id"]
    return newest.decode()
