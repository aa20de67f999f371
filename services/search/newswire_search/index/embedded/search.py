"""Searches the embedded index page by page.

tantivy has no cursors. By date, the next page is found by a range on the sort key of the last result. By relevance, pages from
the second on are read from a searcher that is kept open as a snapshot, which only provides the order.
"""

import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import tantivy

from newswire.timestamps import from_epoch_ms
from newswire_search.index.embedded.documents import (
    DATE_ORDER,
    date_order_key,
    parse_date_order_key,
    requested_article_at,
)
from newswire_search.index.embedded.facets import facets
from newswire_search.index.embedded.query import among, both, date_range, embedded_query, excluding
from newswire_search.index.mapping import DAY_MS
from newswire_search.index.models import (
    FacetCount,
    Position,
    PublicationDay,
    SearchPage,
    SearchRequest,
    SnapshotExpiredError,
    Sort,
    WordMatch,
)
from newswire_search.index.ranking import recency
from newswire_search.index.snapshots import Snapshots
from newswire_search.query.entitlement import filter_readable

MAX_SNAPSHOTS, MAX_SNAPSHOTS_PER_READER = 64, 16
CANDIDATE_ROUNDS = 5
"""How often further results are read from a snapshot to fill a page, when some of those read no longer match."""
RECENCY_WINDOW_RESULTS = 200
"""How many of the best results are sorted again by age, which tantivy cannot include in a score."""

Found = list[tuple[Any, tantivy.DocAddress]]


@dataclass(frozen=True, slots=True)
class IndexState:
    """The state that searches see at one time."""

    searcher: tantivy.Searcher
    commits: int
    """The minimum number of commits that the searcher sees: snapshots of one such state are one snapshot."""
    languages: Collection[str]
    """The analysis languages of the articles."""


class EmbeddedSearch:
    """Searches of the embedded index, and the snapshots that their cursors need."""

    def __init__(self, schema: tantivy.Schema, clock: Callable[[], float]) -> None:
        self._schema = schema
        self.snapshots: Snapshots[tantivy.Searcher] = Snapshots(MAX_SNAPSHOTS, MAX_SNAPSHOTS_PER_READER, clock)

    def search(self, state: IndexState, request: SearchRequest) -> SearchPage:
        """Return one page of a search.

        Raises:
            SnapshotExpiredError: the snapshot that the page begins in has expired.
        """
        query = embedded_query(self._schema, request, state.languages)
        if request.sort is not Sort.RELEVANCE:
            return self._by_date(state, query, request)
        if request.after is not None:
            return self._next_by_relevance(state, query, request, request.after)
        result, ranked = self._ranked(state.searcher, query, request, 0)
        articles = [requested_article_at(state.searcher, address, request) for _, address in ranked[: request.limit]]
        following = None
        if len(ranked) > request.limit and request.word_match is WordMatch.ALL:
            following = Position((), seen_ids=tuple(article["id"] for article in articles))
        return SearchPage(_count(result), articles, self._facets(state, query, request), following)

    def days(self, state: IndexState, request: SearchRequest) -> list[PublicationDay]:
        """Return the days on which the articles of a search were published, oldest first."""
        per_day = {
            "histogram": {"field": "published_at", "interval": float(DAY_MS), "min_doc_count": 1},
            "aggs": {"updated_at": {"max": {"field": "updated_at"}}},
        }
        query = embedded_query(self._schema, request, state.languages)
        answer = state.searcher.aggregate(query, {"days": per_day})
        return [
            PublicationDay(
                from_epoch_ms(bucket["key"]).date(), bucket["doc_count"], from_epoch_ms(bucket["updated_at"]["value"])
            )
            for bucket in answer["days"]["buckets"]
        ]

    def _next_by_relevance(
        self, state: IndexState, query: tantivy.Query, request: SearchRequest, after: Position
    ) -> SearchPage:
        live = state.searcher
        offset = min(int(after.sort_key[0]), live.num_docs) if after.sort_key else 0
        name, searcher = self._snapshot(state, request.snapshot_owner, after)
        rest = excluding(self._schema, query, after.seen_ids)
        found: list[tuple[Mapping[str, Any], int]] = []
        more = True
        for _ in range(CANDIDATE_ROUNDS):
            _, ranked = self._ranked(searcher, rest, request, offset)
            ids = [str(searcher.doc(address).get_first("id")) for _, address in ranked]
            found += self._still_matching(live, query, request, ids, offset)
            offset += len(ids)
            more = len(ids) > request.limit
            if len(found) > request.limit or not more:
                break
        opened_at = time.time() if after.snapshot_opened_at is None else after.snapshot_opened_at
        following = None
        if len(found) > request.limit:
            next_offset = found[request.limit - 1][1] + 1
            following = Position((next_offset,), name, after.seen_ids, snapshot_opened_at=opened_at)
        elif more:
            following = Position((offset,), name, after.seen_ids, snapshot_opened_at=opened_at)
        articles = [article for article, _ in found[: request.limit]]
        total = _count(live.search(query, limit=1))
        return SearchPage(total, articles, self._facets(state, query, request), following)

    def _snapshot(self, state: IndexState, reader: str, after: Position) -> tuple[str, tantivy.Searcher]:
        """Return the snapshot of a position; for a second page, one of the current index."""
        if after.sort_key:
            searcher = self.snapshots.use(after.snapshot or "", reader)
            if searcher is None:
                raise SnapshotExpiredError(after.snapshot)
            return after.snapshot or "", searcher
        shared = self.snapshots.find_by_state(state.commits, reader)
        if shared is not None:
            return shared
        name = secrets.token_urlsafe(9)
        self.snapshots.add(name, state.searcher, reader, state.commits)
        return name, state.searcher

    def _still_matching(
        self, live: tantivy.Searcher, query: tantivy.Query, request: SearchRequest, ids: Sequence[str], offset: int
    ) -> list[tuple[Mapping[str, Any], int]]:
        """Return those articles that the search currently matches, in their order, each with its rank."""
        if not ids:
            return []
        hits = live.search(among(self._schema, query, ids), limit=len(ids), count=False).hits
        current = {
            article["id"]: article for article in (requested_article_at(live, address, request) for _, address in hits)
        }
        admitted = filter_readable(request.entitlement, [current[id_] for id_ in ids if id_ in current])
        ranks = {id_: rank for rank, id_ in enumerate(ids, offset)}
        return [(article, ranks[article["id"]]) for article in admitted]

    def _ranked(
        self, searcher: tantivy.Searcher, query: tantivy.Query, request: SearchRequest, offset: int
    ) -> tuple[tantivy.SearchResult, Found]:
        """Return one result more than requested from an offset on; the best results are sorted by their age as well."""
        size = request.limit + 1
        window = RECENCY_WINDOW_RESULTS - (len(request.after.seen_ids) if request.after is not None else 0)
        if request.now_ms is None or offset >= window:
            result = searcher.search(query, limit=size, offset=offset)
            return result, result.hits
        result = searcher.search(query, limit=max(window, offset + size))
        best, rest = result.hits[:window], result.hits[window:]
        times = searcher.fast_field_values("published_at", [address for _, address in best])
        weighted = [
            (score * recency(int(at or 0), request.now_ms), address)
            for (score, address), at in zip(best, times, strict=True)
        ]
        weighted.sort(key=itemgetter(0), reverse=True)
        return result, [*weighted, *rest][offset : offset + size]

    def _by_date(self, state: IndexState, query: tantivy.Query, request: SearchRequest) -> SearchPage:
        found = self._date_hits(state.searcher, query, request) if request.limit else []
        page = found[: request.limit]
        articles = [requested_article_at(state.searcher, address, request) for _, address in page]
        following = Position(parse_date_order_key(page[-1][0])) if len(found) > request.limit else None
        total = _count(state.searcher.search(query, limit=1)) if request.with_total else len(articles)
        return SearchPage(total, articles, self._facets(state, query, request), following)

    def _date_hits(self, searcher: tantivy.Searcher, query: tantivy.Query, request: SearchRequest) -> Found:
        """Return one result more than requested, so that the caller knows whether there is a next page."""
        newest = request.sort is Sort.NEWEST
        order = tantivy.Order.Desc if newest else tantivy.Order.Asc
        needed = request.limit + 1
        if request.after is None:
            return searcher.search(query, limit=needed, count=False, order_by_field=DATE_ORDER, order=order).hits
        at, article_id = int(request.after.sort_key[0]), str(request.after.sort_key[1])
        last = date_order_key(at, article_id)
        rest = both(query, date_range(self._schema, None if newest else at, at if newest else None))
        size = needed + 10
        while True:
            hits = searcher.search(rest, limit=size, count=False, order_by_field=DATE_ORDER, order=order).hits
            beyond = [hit for hit in hits if (hit[0] < last if newest else hit[0] > last)]
            if len(beyond) >= needed or len(hits) < size:
                return beyond[:needed]
            # Many articles have the same time as the last one: read more.
            size *= 4

    def _facets(
        self, state: IndexState, query: tantivy.Query, request: SearchRequest
    ) -> Mapping[str, Sequence[FacetCount]]:
        if not request.with_facets:
            return {}
        return facets(state.searcher, self._schema, query, request, state.languages)


def _count(result: tantivy.SearchResult) -> int:
    return int(result.count)  # type: ignore[attr-defined]  # missing in the type stub
