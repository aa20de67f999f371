"""The operations that update an index from the records."""

import asyncio
from collections.abc import Sequence

import orjson
from redis.asyncio import Redis

from newswire.article import Status
from newswire.events import ArticlePublished
from newswire.keys import Keyspace
from newswire.storage.article_records import read_article_states, version_documents
from newswire.storage.document_archive import NO_ARCHIVE, DocumentArchive
from newswire_search.index.models import Operation, Publish, Retract


async def operations_from_records(
    redis: "Redis", keys: Keyspace, ids: Sequence[str], archive: DocumentArchive = NO_ARCHIVE
) -> list[Operation]:
    """Return the operations that update an index from the records of these articles; none for unpublished articles.

    A version that is retracted between reading its state and its document is omitted: its retraction is on the stream by then.

    Raises:
        newswire.storage.document_archive.DocumentUnavailableError: a text is archived, and the archive cannot be read.
    """
    states = (await read_article_states(redis, keys, ids)).values()
    operations: list[Operation] = [
        Retract(state.id, state.version) for state in states if state.status is Status.RETRACTED
    ]
    published = [(state.id, state.version) for state in states if state.status is Status.PUBLISHED]
    documents = await version_documents(redis, keys, published, archive)
    # In a thread: hundreds of documents take a while to parse.
    return operations + await asyncio.to_thread(lambda: [_publish(document) for document in documents.values()])


def _publish(document: bytes) -> Publish:
    data = orjson.loads(document)
    return Publish(ArticlePublished.model_validate(data), data)
