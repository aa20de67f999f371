"""The titles of the articles that deliveries are about."""

from collections.abc import Iterable
from itertools import accumulate

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.article_records import stored_documents, stored_title
from newswire.storage.document_archive import NO_ARCHIVE, DocumentArchive

MAX_TOTAL_BYTES = 8 * 1024 * 1024
"""Of the stored documents that are read for a list; the articles after them are shown without a title."""


class ArticleTitles:
    """Reads titles from the records: a retracted article has none any more, and a notice is about no article."""

    def __init__(self, records: "Redis", keys: Keyspace, archive: DocumentArchive = NO_ARCHIVE) -> None:
        self._archive = archive
        self._records = records
        self._keys = keys

    async def of(self, versions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], str]:
        """Return the title of each of these versions (article, number) that is stored."""
        wanted = [(article, number) for article, number in dict.fromkeys(versions) if number]
        async with self._records.pipeline(transaction=False) as pipe:
            for article, number in wanted:
                pipe.hstrlen(self._keys.version(article, number), "document")
            sizes = await pipe.execute()
        read = [each for each, total in zip(wanted, accumulate(sizes), strict=True) if total <= MAX_TOTAL_BYTES]
        found = await stored_documents(self._records, self._keys, read, self._archive, without_unavailable=True)
        return {each: stored_title(document) for each, document in zip(read, found, strict=True) if document}
