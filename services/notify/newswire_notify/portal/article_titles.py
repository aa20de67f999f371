"""The titles of the articles that deliveries are about."""

from collections.abc import Iterable

import orjson
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.article_records import unpack, unpacked_size

MAX_BYTES = 64 * 1024
"""Documents of more bytes are not read for their title: a list has up to a hundred."""


class ArticleTitles:
    """Reads titles from the records: a retracted article has none any more, and a notice is about no article."""

    def __init__(self, records: "Redis", keys: Keyspace) -> None:
        self._records = records
        self._keys = keys

    async def of(self, versions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], str]:
        """Return the title of each of these versions (article, number) that is stored, unless its text is very long."""
        wanted = [(article, number) for article, number in dict.fromkeys(versions) if number]
        async with self._records.pipeline(transaction=False) as pipe:
            for article, number in wanted:
                pipe.hstrlen(self._keys.version(article, number), "document")
            sizes = await pipe.execute()
        short = [each for each, size in zip(wanted, sizes, strict=True) if 0 < size <= MAX_BYTES]
        async with self._records.pipeline(transaction=False) as pipe:
            for article, number in short:
                pipe.hget(self._keys.version(article, number), "document")
            found = await pipe.execute()
        stored = {each: document for each, document in zip(short, found, strict=True) if document}
        return {
            each: str(orjson.loads(unpack(document)).get("title") or "")
            for each, document in stored.items()
            if unpacked_size(document) <= MAX_BYTES
        }
