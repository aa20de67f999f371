"""Positions in a Redis stream."""

import re
from typing import TypeAlias

from redis.asyncio import Redis

Position: TypeAlias = tuple[int, int]
"""A stream id as two numbers, which sort in stream order."""

BEGINNING: Position = (0, 0)
_NEWEST_ENTRY = """
local about = redis.pcall('XINFO', 'STREAM', KEYS[1])
if about.err then
  return string.find(about.err, 'no such key', 1, true) and '0-0' or about
end
for at = 1, #about, 2 do
  if about[at] == 'last-generated-id' then return about[at + 1] end
end
"""
"""Only the id leaves the server: `XINFO STREAM` also returns the first and the last entry, of up to 2 MiB each."""
_ENTRY_ID = re.compile(r"[0-9]{1,20}(-[0-9]{1,20})?")


def parse_position(entry_id: str) -> Position:
    """Parse a stream id.

    Raises:
        ValueError: it is not a stream id.
    """
    if not _ENTRY_ID.fullmatch(entry_id):
        raise ValueError("not a stream id")
    time, _, sequence = entry_id.partition("-")
    both = int(time), int(sequence or 0)
    if max(both) >= 2**64:
        raise ValueError("not a stream id")
    return both


def format_position(at: Position) -> str:
    """Return a position as a stream id."""
    return f"{at[0]}-{at[1]}"


async def newest_entry(redis: "Redis", stream: str) -> str:
    """Return the id of the newest entry that a stream ever had, also if deleted; ``0-0`` if there is no stream."""
    newest: bytes = await redis.eval_ro(_NEWEST_ENTRY, 1, stream)
    return newest.decode()
