"""Which of the versions on a page are erased in the records. Pages that wait for the answer at the same time share one command."""

import asyncio
import logging
from collections.abc import Sequence, Set

from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.concurrency.shared_reading import SharedReading
from newswire.keys import Keyspace

log = logging.getLogger(__name__)

RECORD_TIMEOUT_SECONDS = 0.5
"""How long to wait for the records. After that the index answers alone: while Redis is down, nothing is retracted either."""

Version = tuple[str, int]
"""The id of an article, and the number of a version."""


class ErasedVersions:
    """Looks versions up in the records; each look-up begins after it was asked for."""

    def __init__(self, records: "Redis", keys: Keyspace) -> None:
        self._records = records
        self._keys = keys
        self._asked: set[Version] = set()
        self._reading = SharedReading(self._read)

    async def among(self, versions: Sequence[Version]) -> Set[Version]:
        """Return those versions whose record exists and whose version document is gone; none if the records cannot be read."""
        if not versions:
            return set()
        self._asked.update(versions)  # the reading that begins next takes them
        erased = await self._reading()
        return erased & set(versions) if erased else erased

    async def _read(self) -> Set[Version]:
        versions, self._asked = list(self._asked), set()
        documents = [self._keys.version(article_id, version) for article_id, version in versions]
        try:
            async with asyncio.timeout(RECORD_TIMEOUT_SECONDS):
                if await self._records.exists(*documents) == len(documents):  # the usual case
                    return set()
                async with self._records.pipeline(transaction=False) as pipe:
                    for (article_id, _), document in zip(versions, documents, strict=True):
                        pipe.exists(document)
                        pipe.exists(self._keys.article(article_id))
                    found = await pipe.execute()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("could not read the records; results come from the index alone", extra={"reason": repr(error)})
            return set()
        pairs = zip(versions, found[::2], found[1::2], strict=True)
        return {each for each, has_document, has_state in pairs if has_state and not has_document}
