"""Both kinds of dead letters as one: those of the streams' consumer groups, and deliveries that never arrived."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from newswire.events import PoisonEntryError
from newswire.messaging import dead_letters as streams
from newswire.messaging.groups import GROUPS
from newswire_cli.store import Store
from newswire_notify.deliveries import dead_letters as deliveries
from newswire_notify.deliveries.queue import Queue
from newswire_notify.deliveries.service import NotReplayableError
from newswire_notify.settings import NotifySettings

DELIVERIES = "deliveries"


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter, as an operator sees it."""

    id: str
    group: str
    since: datetime
    article: str | None
    error: str


class Refused(Exception):
    """It cannot be done to this letter; the message says why."""


async def dead_letters(store: Store, group: str | None) -> list[Letter]:
    """Return the dead letters of one group, or of all."""
    found = [
        Letter(letter.id, name, letter.first_seen, letter.subject, letter.error)
        for name in (known.name for known in GROUPS)
        if group in (None, name)
        async for letter in streams.iterate_dead_letters(store.redis, store.keys, name)
    ]
    if group in (None, DELIVERIES):
        found += [
            Letter(dead.id, DELIVERIES, dead.ended, dead.article, f"{dead.error} (attempts: {dead.attempts})")
            async for dead in _dead_deliveries(store)
        ]
    return found


async def _dead_deliveries(store: Store) -> AsyncIterator[deliveries.DeadDelivery]:
    last: tuple[int, str] | None = None
    while page := await deliveries.list_dead(store.deliveries, store.keys, after=last):
        for dead in page:
            yield dead
        last = round(page[-1].ended.timestamp() * 1000), page[-1].id


async def retry(store: Store, letter: Letter, mended: bytes | None) -> str:
    """Try a letter again, mended if need be; return what became of it."""
    try:
        if letter.group != DELIVERIES:
            entry = await streams.retry(store.redis, store.keys, letter.group, letter.id, mended)
            return f"{letter.id} is on the stream again as {entry}"
        if mended is not None:
            raise Refused("a delivery has no data to mend; its version is read from the record")
        await deliveries.retry(Queue.from_settings(store.deliveries, store.keys, NotifySettings()), letter.id)
    except (streams.DeadLetterRetryError, NotReplayableError, PoisonEntryError) as error:
        raise Refused(str(error)) from error
    return f"{letter.id} is due again now"


async def drop(store: Store, letter: Letter) -> str:
    """Delete a letter; return what became of it."""
    if letter.group == DELIVERIES:
        await deliveries.drop(store.deliveries, store.keys, letter.id)
    else:
        await streams.drop(store.redis, store.keys, letter.group, letter.id)
    return f"{letter.id} is dropped"
