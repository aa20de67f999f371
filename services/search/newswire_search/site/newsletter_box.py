"""The box under an article that offers a newsletter, with the topics of the article chosen already."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.keys import Keyspace
from newswire.newsletters import PublicNewsletter, read_public_newsletters
from newswire.text.folding import fold

log = logging.getLogger(__name__)

REFRESH_SECONDS = 2.0
"""For how long the list of newsletters is used before it is read again."""
TIMEOUT_SECONDS = 0.5
"""How long a page waits for the list; after that it shows the one before."""


@dataclass(frozen=True, slots=True)
class NewsletterBox:
    """A newsletter, and which of its topics are chosen."""

    newsletter: PublicNewsletter
    chosen: frozenset[str]


class NewsletterBoxes:
    """Chooses the newsletter for an article."""

    def __init__(self, redis: "Redis", keys: Keyspace, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._keys = keys
        self._clock = clock
        self._known: list[PublicNewsletter] = []
        self._revision = 0
        self._read_at = float("-inf")

    @property
    def exist(self) -> bool:
        """Whether there is a newsletter, as the list was last read."""
        return bool(self._known)

    async def revision(self) -> str:
        """Return another value each time the list of newsletters has changed."""
        await self._refresh()
        return str(self._revision)

    async def box(self, category: str | None, topics: Sequence[str]) -> NewsletterBox | None:
        """Return the newsletter with most topics in common with an article, the first by name among equals; None without any."""
        await self._refresh()
        labels = {fold(label) for label in (*topics, *([category] if category else []))}
        boxes = [
            NewsletterBox(each, frozenset(topic for topic in each.topics if fold(topic) in labels))
            for each in self._known
        ]
        return max(boxes, key=lambda box: len(box.chosen), default=None)

    async def _refresh(self) -> None:
        if self._clock() - self._read_at < REFRESH_SECONDS:
            return
        self._read_at = self._clock()  # also after an error: pages must not wait for it one after another
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                found = await read_public_newsletters(self._redis, self._keys)
        except (RedisError, OSError, ValidationError) as error:
            log.warning("could not read the newsletters", extra={"reason": repr(error)})
            return
        if found != self._known:
            self._known, self._revision = found, self._revision + 1
