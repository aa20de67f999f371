"""Both kinds of dead letters as one: those of the streams' consumer groups, and deliveries that never arrived."""

from dataclasses import dataclass
from datetime import datetime

from redis.asyncio import Redis

from newswire import dead_letters as streams
from newswire.events import PoisonEntry
from newswire.keyspace import Keyspace

DELIVERIES = "deliveries"


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter, as an operator sees it."""

    id: str
    group: str
    since: datetime
    subject: str | None
    error: str


class Refused(Exception):
    """It cannot be done to this letter; the message says why."""


async def dead_letters(redis: "Redis", keys: Keyspace, group: str | None) -> list[Letter]:
    """Return the dead letters of one group, or of all."""
    return [
        Letter(letter.id, name, letter.first_seen, letter.subject, letter.error)
        for name in streams.GROUPS
        if group in (None, name)
        for letter in await streams.list_dead_letters(redis, keys, name)
    ]


async def retry(redis: "Redis", keys: Keyspace, letter: Letter, mended: bytes | None) -> str:
    """Try a letter again, mended if need be; return what became of it."""
    try:
        entry = await streams.retry(redis, keys, letter.group, letter.id, mended)
    except (streams.NotRetried, PoisonEntry) as error:
        raise Refused(str(error)) from error
    return f"{letter.id} is on the stream again as {entry}"


async def drop(redis: "Redis", keys: Keyspace, letter: Letter) -> str:
    """Delete a letter; return what became of it."""
    await streams.drop(redis, keys, letter.group, letter.id)
    return f"{letter.id} is dropped"
