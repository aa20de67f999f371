"""The consumer of the outcomes: what became searchable, or is so no longer, may have changed every feed."""

import logging
from collections.abc import Awaitable, Callable, Sequence

from newswire.asyncapi import OutcomeBatch
from newswire.events import ArticleIndexed
from newswire.messaging.broker import BLOCK_MS, EventBroker
from newswire.messaging.messages import Message

log = logging.getLogger(__name__)


def subscribe(broker: EventBroker, on_changed: Callable[[], Awaitable[None]], *, block_ms: int = BLOCK_MS) -> None:
    """Subscribe to the outcomes stream. ``block_ms``: how long a read waits for entries, and with it the end of the consumer."""

    @broker.subscriber(stream=broker.subscription(block_ms=block_ms), title="outcomes_websub")
    async def mark(batch: OutcomeBatch) -> None:
        """The hub fetches the feeds that have subscribers, and pushes those that have changed."""
        await report_changes(batch, on_changed)


async def report_changes(batch: Sequence[Message], on_changed: Callable[[], Awaitable[None]]) -> None:
    """Call ``on_changed`` where the batch has a change of the index. It is idempotent.

    The event does not say in which feeds an article is, or was before a correction: the feeds' ETags do.
    """
    if any(isinstance(item.payload, ArticleIndexed) for item in batch):
        await on_changed()
