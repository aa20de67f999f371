"""The titles of the articles that deliveries are about."""

from collections.abc import Iterable

import orjson
from redis.asyncio import Redis

from newswire.keys import Keyspace


class ArticleTitles:
    """Reads titles from the records: a retracted article has none any more, and a notice is about no article."""

    def __init__(self, records: "Redis", keys: Keyspace) -> None:
        self._records = records
        self._keys = keys

    async def of(self, versions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], str]:
        """Return the title of each of these versions (article, number) that is stored."""
        wanted = [(article, number) for article, number in dict.fromkeys(versions) if number]
        async with self._records.pipeline(transaction=False) as pipe:
            for article, number in wanted:
                pipe.hget(self._keys.version(article, number), "about")
            found = await pipe.execute()
        return {each: str(orjson.loads(about)["title"]) for each, about in zip(wanted, found, strict=True) if about}
