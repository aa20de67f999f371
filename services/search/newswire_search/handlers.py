"""What search does about article events: put them into the index."""

from collections.abc import Sequence

from newswire.article import Article, Tombstone
from newswire.consume import Received, Rejected
from newswire_search.index import ArticleIndex, Operation, Refused, Retract, Written, operation
from newswire_search.outcomes import Announcer, Indexed


async def index_articles(batch: Sequence[Received], index: ArticleIndex, announcer: Announcer) -> None:
    """Bring the index up to a batch of events; what it refuses for good is rejected, and only that.

    Raises:
        Rejected: the index can never take some of the entries.
        Unavailable: the index is down.
    """
    entries: list[Received] = []
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
        if isinstance(result, Refused):
            refused[item.entry_id] = f"index: {result.reason}"
        elif result is Written.APPLIED or item.redelivered:
            # A redelivered event may have been written by a process that died before it could say so.
            announcer.put(Indexed(done, item.event.time, measured=result is Written.APPLIED))
        elif isinstance(done, Retract):
            announcer.put(Indexed(done, item.event.time, measured=False, announced=False))
    if refused:
        raise Rejected(refused)
