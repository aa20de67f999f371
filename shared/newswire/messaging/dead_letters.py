"""Dead letters of consumer groups: list, retry (also with repaired data) or drop them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

from redis.asyncio import Redis

from newswire.events import FIELD, decode
from newswire.keys import Keyspace
from newswire.messaging.groups import group_functions, group_named
from newswire.messaging.messages import entry_time_ms, subject_of
from newswire.observability.audit import COMMAND_LINE, Act, Actor, record

PAGE = 200


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An entry that a group could not handle. ``data`` is the data field of the stream entry, byte for byte."""

    id: str
    group: str
    entry: str
    error: str
    first_seen: datetime
    """When a consumer of the group first read it; if that consumer was killed: when it was added to the stream."""
    died: datetime
    """When the group moved it to the dead letters."""
    subject: str | None
    data: bytes


class DeadLetterRetryError(Exception):
    """The dead letter could not be retried; the message says why."""


async def iterate_dead_letters(redis: "Redis", keys: Keyspace, group: str) -> AsyncIterator[DeadLetter]:
    """Yield all of a group's dead letters, oldest first."""
    after = "-"
    while page := await redis.xrange(keys.dead_letters(group), min=after, count=PAGE):
        for letter_id, fields in page:
            yield _dead_letter(group, letter_id.decode(), fields)
        after = f"({page[-1][0].decode()}"


async def list_dead_letters(redis: "Redis", keys: Keyspace, group: str) -> list[DeadLetter]:
    """Return all of a group's dead letters, oldest first."""
    return [letter async for letter in iterate_dead_letters(redis, keys, group)]


def _dead_letter(group: str, letter_id: str, fields: dict[bytes, bytes]) -> DeadLetter:
    return DeadLetter(
        id=letter_id,
        group=group,
        entry=fields[b"entry"].decode(),
        error=fields[b"error"].decode(),
        first_seen=datetime.fromtimestamp(int(fields[b"first_seen"]) / 1000, UTC),
        died=datetime.fromtimestamp(entry_time_ms(letter_id) / 1000, UTC),
        subject=fields[b"subject"].decode() or None,
        data=fields[FIELD.encode()],
    )


async def retry(
    redis: "Redis",
    keys: Keyspace,
    group: str,
    letter_id: str,
    replacement: bytes | None = None,
    *,
    by: Actor = COMMAND_LINE,
) -> str:
    """Append a dead letter to its stream again, unchanged or with repaired data; return the id of the new entry.

    The audit log records it.

    Every group of the stream receives the new entry. Consumers are idempotent: those that handled the event before change nothing.

    Raises:
        DeadLetterRetryError: the dead letter does not exist, its entry cannot be appended unchanged, or its article has
        been retracted.
        newswire.events.PoisonEntryError: the replacement data is not a valid event.
    """
    if replacement is not None:
        decode({FIELD.encode(): replacement})
        subject = subject_of(replacement)
    else:
        found = await redis.xrange(keys.dead_letters(group), letter_id, letter_id)
        subject = found[0][1][b"subject"].decode() if found else ""
    functions = group_functions(redis, keys)
    status, *rest = await functions.call(
        "retry",
        [
            group_named(group).stream_key(keys),
            keys.dead_letters(group),
            keys.article(subject) if subject else "",
            keys.dead_letters_of(subject) if subject else "",
        ],
        {"id": letter_id},
        [replacement or b""],
    )
    match status:
        case b"OK":
            entry = str(rest[0].decode())
            details = {"group": group, "article": subject, "entry": entry, "repaired": replacement is not None}
            await record(redis, keys, by, Act.DEAD_LETTER_RETRIED, "dead_letter", letter_id, **details)
            return entry
        case b"MISSING":
            raise DeadLetterRetryError(f"no dead letter {letter_id} in group {group}")
        case b"RETRACTED":
            raise DeadLetterRetryError("its article has been retracted; the dead letter was deleted")
        case _:
            raise DeadLetterRetryError("the entry had no data field; send a corrected event")


async def drop(redis: "Redis", keys: Keyspace, group: str, letter_id: str, *, by: Actor = COMMAND_LINE) -> bool:
    """Delete a dead letter for good; return whether there was one. The audit log records it."""
    dropped = bool(await redis.xdel(keys.dead_letters(group), letter_id))
    if dropped:
        await record(redis, keys, by, Act.DEAD_LETTER_DROPPED, "dead_letter", letter_id, group=group)
    return dropped
