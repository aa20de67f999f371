"""The consumer of the outcomes: what became searchable, or is so no longer, may have changed every feed."""

import logging
from collections.abc import Callable, Sequence

from newswire.asyncapi import OutcomeBatch
from newswire.events import ArticleIndexed
from newswire.messaging.broker import EventBroker
from newswire.messaging.messages import Message
from newswire_notify.websub.changed_topics import ChangedTopics
from newswire_notify.websub.repository import HubSubscriptions

log = logging.getLogger(__name__)


def subscribe(
    broker: EventBroker, subscriptions: HubSubscriptions, changed: ChangedTopics, on_marked: Callable[[], None]
) -> None:
    """Subscribe to the outcomes stream."""

    @broker.subscriber(stream=broker.subscription(), title="outcomes_websub")
    async def mark(batch: OutcomeBatch) -> None:
        """The hub fetches the feeds that have subscribers, and pushes those that have changed."""
        await mark_topics(batch, subscriptions, changed, on_marked)


async def mark_topics(
    batch: Sequence[Message],
    subscriptions: HubSubscriptions,
    changed: ChangedTopics,
    on_marked: Callable[[], None],
) -> None:
    """Mark all topics as changed where the batch has a change of the index. It is idempotent.

    The event does not say in which feeds an article is, or was before a correction: the feeds' ETags do.
    """
    if any(isinstance(item.payload, ArticleIndexed) for item in batch):
        await changed.mark(await subscriptions.topics())
        on_marked()
