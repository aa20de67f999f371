"""Handles article events by writing them to the index."""

from collections.abc import Sequence

from newswire.article import Article, Tombstone
from newswire.asyncapi import ArticleBatch
from newswire.messaging.broker import EventBroker
from newswire.messaging.messages import Message, RejectedMessagesError
from newswire_search.index.models import (
    Operation,
    RejectedOperation,
    Retract,
    WriteStatus,
    operation_for,
)
from newswire_search.index.port import ArticleIndex
from newswire_search.indexing.indexed_events import IndexedEventPublisher, IndexedOperation


def subscribe(broker: EventBroker, index: ArticleIndex, publisher: IndexedEventPublisher) -> None:
    """Subscribe the index to the article events of a broker."""

    @broker.subscriber(stream=broker.subscription(), title="articles_search")
    async def handle_articles(batch: ArticleBatch) -> None:
        """Search indexes every version, and the tombstone of every retracted article."""
        await index_articles(batch, index, publisher)


async def index_articles(batch: Sequence[Message], index: ArticleIndex, publisher: IndexedEventPublisher) -> None:
    """Index a batch of events; only those that the index can never accept are rejected.

    Raises:
        RejectedMessagesError: the index can never accept some of the events.
        DependencyUnavailableError: the index is down.
    """
    messages: list[Message] = []
    operations: list[Operation] = []
    for item in batch:
        if isinstance(item.payload, Article | Tombstone):
            messages.append(item)
            operations.append(operation_for(item.payload, item.event.data))
    if not operations:
        return
    results = await index.write(operations)
    rejected: dict[str, str] = {}
    for item, operation, result in zip(messages, operations, results, strict=True):
        if isinstance(result, RejectedOperation):
            rejected[item.entry_id] = f"index: {result.reason}"
        elif result is WriteStatus.APPLIED or item.redelivered:
            # A redelivered event may have been written by a process that died before it could publish the outcome.
            publisher.put(IndexedOperation(operation, item.event.time, measured=result is WriteStatus.APPLIED))
        elif isinstance(operation, Retract):
            publisher.put(IndexedOperation(operation, item.event.time, measured=False, published=False))
    if rejected:
        raise RejectedMessagesError(rejected)
