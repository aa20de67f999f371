"""Dead letters of both kinds behind one interface: entries of the streams' consumer groups, and webhook deliveries."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from newswire.events import PoisonEntryError
from newswire.messaging import dead_letters as streams
from newswire.messaging.groups import GROUPS
from newswire.observability.audit import COMMAND_LINE
from newswire_notify.deliveries import dead_letters as deliveries
from newswire_notify.deliveries.queue import Queue
from newswire_notify.deliveries.service import NotReplayableError
from newswire_notify.settings import NotifySettings
from newswire_operations.stores import Stores

DELIVERIES = "deliveries"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter, as an operator sees it."""

    id: str
    group: str
    since: datetime
    article: str | None
    error: str


class DeadLetterRefusedError(Exception):
    """The dead letter cannot be retried; the message says why."""


async def list_dead_letters(stores: Stores, group: str | None) -> list[DeadLetter]:
    """Return the dead letters of one group, or of all groups, oldest first within each group."""
    found = [
        DeadLetter(letter.id, name, letter.first_seen, letter.subject, letter.error)
        for name in (known.name for known in GROUPS)
        if group in (None, name)
        async for letter in streams.iterate_dead_letters(stores.redis, stores.keys, name)
    ]
    if group in (None, DELIVERIES):
        found += [
            DeadLetter(dead.id, DELIVERIES, dead.ended, dead.article, f"{dead.error} (attempts: {dead.attempts})")
            async for dead in _dead_deliveries(stores)
        ]
    return found


async def _dead_deliveries(stores: Stores) -> AsyncIterator[deliveries.DeadDelivery]:
    last: tuple[int, str] | None = None
    while page := await deliveries.list_dead(stores.deliveries, stores.keys, after=last):
        for dead in page:
            yield dead
        last = round(page[-1].ended.timestamp() * 1000), page[-1].id


async def retry_dead_letter(stores: Stores, letter: DeadLetter, replacement: bytes | None) -> str:
    """Retry a dead letter, with a replacement for its event if one is given; return a sentence about the result.

    Raises:
        DeadLetterRefusedError: it cannot be retried, or the replacement is not a valid event.
    """
    try:
        if letter.group != DELIVERIES:
            entry = await streams.retry(stores.redis, stores.keys, letter.group, letter.id, replacement)
            return f"{letter.id} is on the stream again as {entry}"
        if replacement is not None:
            raise DeadLetterRefusedError(
                "the data of a delivery cannot be replaced: it is read from the article's record"
            )
        queue = Queue.from_settings(stores.deliveries, stores.keys, NotifySettings())
        await deliveries.retry(queue, stores.redis, letter.id, by=COMMAND_LINE)
    except (streams.DeadLetterRetryError, NotReplayableError, PoisonEntryError) as error:
        raise DeadLetterRefusedError(str(error)) from error
    return f"{letter.id} is due now"


async def drop_dead_letter(stores: Stores, letter: DeadLetter) -> str:
    """Delete a dead letter; return a sentence about the result."""
    if letter.group == DELIVERIES:
        await deliveries.drop(stores.deliveries, stores.redis, stores.keys, letter.id, by=COMMAND_LINE)
    else:
        await streams.drop(stores.redis, stores.keys, letter.group, letter.id)
    return f"{letter.id} is dropped"
