"""Answers to searches of readers without a key, kept while the index stays the same, as pages are.

The state of the index is read after a request has arrived, so a retraction that was acknowledged before has changed its name.
Unlike a page, an answer is kept only if it lacks no event that the index has processed: who was notified that an article is
searchable must find it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from fastapi import Request, Response

from newswire.http.compression import KeptResponse
from newswire_search.feeds.index_changes import IndexState, ReadIndexState
from newswire_search.query.state_cache import StateCache

MAX_KEPT_BYTES = 32 * 1024 * 1024
"""Of all answers; their compressed copies take about a third in addition."""


@dataclass(frozen=True, slots=True)
class _Answer:
    body: bytes
    headers: Mapping[str, str]
    coded: dict[str, bytes] = field(default_factory=dict)
    """The body in each coding that a client accepted."""

    def response(self) -> Response:
        return KeptResponse(self.body, self.coded, "application/json", self.headers)


class KeptAnswers:
    """The answers of one process, by their query string."""

    def __init__(self, read_state: ReadIndexState, refresh: timedelta) -> None:
        """Keep nothing yet. Searches of the index see a write after ``refresh``."""
        self._read_state = read_state
        self._answers: StateCache[_Answer] = StateCache(MAX_KEPT_BYTES, refresh, brief_seconds=0)

    async def state(self) -> IndexState:
        """Return the state of the index, to be read before a search."""
        return await self._read_state()

    def get(self, http: Request, state: IndexState) -> Response | None:
        """Return the answer to the same request in this state of the index, if it is kept."""
        kept = self._answers.get(http.scope["query_string"], state)
        return kept.response() if kept is not None else None

    def put(self, http: Request, state: IndexState, body: bytes, headers: Mapping[str, str]) -> Response:
        """Keep the answer to a request that `get` has not found, and return its response."""
        answer = _Answer(body, headers)
        query = http.scope["query_string"]
        self._answers.put(query, state, answer, len(query) + len(body))
        return answer.response()
