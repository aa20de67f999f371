"""What the records say that an index must hold."""

import asyncio
from collections.abc import Sequence

import orjson
from redis.asyncio import Redis

from newswire.article import Status
from newswire.events import ArticlePublished
from newswire.keys import Keyspace
from newswire.storage.article_records import read_article_states, version_documents
from newswire_search.index.port import Operation, Publish, Retract


async def operations_from_records(redis: "Redis", keys: Keyspace, ids: Sequence[str]) -> list[Operation]:
    """Return what brings an index to what is on record of these articles; nothing for one that was never published.

    A version that is retracted between the reading of its state and of its document is left out: its retraction is on
    the stream by then.
    """
    states = (await read_article_states(redis, keys, ids)).values()
    operations: list[Operation] = [
        Retract(state.id, state.version) for state in states if state.status is Status.RETRACTED
    ]
    published = [(state.id, state.version) for state in states if state.status is Status.PUBLISHED]
    documents = await version_documents(redis, keys, published)
    # Hundreds of documents take a while to read, and the event loop has other work meanwhile.
    return operations + await asyncio.to_thread(lambda: [_publish(document) for document in documents.values()])


def _publish(document: bytes) -> Publish:
    data = orjson.loads(document)
    return Publish(ArticlePublished.model_validate(data), data)
