"""What search does about article events: put them into the index."""

from collections.abc import Sequence

from newswire.article import Article, Tombstone
from newswire.asyncapi import ArticleBatch
from newswire.messaging.broker import EventBroker
from newswire.messaging.messages import Message, RejectedMessagesError
from newswire_search.index.port import ArticleIndex, Operation, RejectedOperation, Retract, WriteStatus, operation
from newswire_search.indexing.indexed_events import IndexedEventPublisher, IndexedOperation


def subscribe(broker: EventBroker, index: ArticleIndex, publisher: IndexedEventPublisher) -> None:
    """Have a broker hand the article events to the index."""

    @broker.subscriber(stream=broker.subscription(), title="articles_search")
    async def take(batch: ArticleBatch) -> None:
        """Search indexes every version, and the tombstone of every retracted article."""
        await index_articles(batch, index, publisher)


async def index_articles(batch: Sequence[Message], index: ArticleIndex, publisher: IndexedEventPublisher) -> None:
    """Bring the index up to a batch of events; what it refuses for good is rejected, and only that.

    Raises:
        RejectedMessagesError: the index can never take some of the entries.
        DependencyUnavailableError: the index is down.
    """
    entries: list[Message] = []
    operations: list[Operation] = []
    for item in batch:
        if isinstance(item.payload, Article | Tombstone):
            entries.append(item)
            operations.append(operation(item.payload, item.event.data))
    if not operations:
        return
    results = await index.write(operations)
    refused: dict[str, str] = {}
    for item, done, result in zip(entries, operations, results, strict=True):
        if isinstance(result, RejectedOperation):
            refused[item.entry_id] = f"index: {result.reason}"
        elif result is WriteStatus.APPLIED or item.redelivered:
            # A redelivered event may have been written by a process that died before it could say so.
            publisher.put(IndexedOperation(done, item.event.time, measured=result is WriteStatus.APPLIED))
        elif isinstance(done, Retract):
            publisher.put(IndexedOperation(done, item.event.time, measured=False, announced=False))
    if refused:
        raise RejectedMessagesError(refused)
