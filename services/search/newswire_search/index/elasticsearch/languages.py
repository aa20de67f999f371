"""The analysis languages of the articles in the index, as far as this process knows.

A query is analysed once per language, so a search needs all of them.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from elasticsearch import ApiError, TransportError

from newswire.messaging.messages import DependencyUnavailableError
from newswire.text.analysis import DEFAULT
from newswire_search.index.elasticsearch.query import Body
from newswire_search.index.elasticsearch.target import IndexTarget

log = logging.getLogger(__name__)

LANGUAGES_TTL_SECONDS = 1.0
"""How long the known languages are used before the index is queried again."""

T = TypeVar("T")
_NEVER = float("-inf")


class IndexedLanguages:
    """The languages of the articles in an index; other processes may add new ones at any time."""

    def __init__(self, target: IndexTarget) -> None:
        self._target = target
        self.known = {DEFAULT}
        self.read_at = _NEVER
        """When the index was last queried, on the monotonic clock."""

    def add(self, languages: set[str]) -> None:
        """Add the languages of articles that this process has written."""
        self.known = self.known | languages

    async def run(self, search: Callable[[], Awaitable[T]]) -> T:
        """Run a search and check for new languages at the same time; run it again if there is one, which is rare.

        If only the check fails, the answer is that for the languages that were read before.
        """
        if not self._expired():
            return await search()
        before = self.known
        refreshing = asyncio.create_task(self.refresh())
        try:
            answer = await search()
        except BaseException:
            refreshing.cancel()
            await asyncio.wait([refreshing])
            raise
        try:
            await refreshing
        except (ApiError, TransportError, DependencyUnavailableError) as error:
            if self.read_at == _NEVER:
                raise
            log.warning(
                "could not read the languages of the index; the known ones are used", extra={"reason": repr(error)}
            )
        return answer if self.known == before else await search()

    async def refresh(self) -> None:
        """Query the index for languages that other processes have added, if `LANGUAGES_TTL_SECONDS` have passed."""
        if not self._expired():
            return
        now = time.monotonic()
        if self.read_at != _NEVER:  # otherwise nothing is known yet: each search has to ask
            self.read_at = now
        by_language: Body = {"analysis": {"terms": {"field": "analysis", "size": 100}}}
        target = self._target
        answer = await target.request(
            lambda: target.client.search(index=target.alias, size=0, aggregations=by_language)
        )
        self.add({bucket["key"] for bucket in answer["aggregations"]["analysis"]["buckets"]})
        self.read_at = now

    def _expired(self) -> bool:
        return time.monotonic() >= self.read_at + LANGUAGES_TTL_SECONDS
