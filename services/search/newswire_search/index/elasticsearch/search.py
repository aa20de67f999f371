"""Searches Elasticsearch page by page.

By date, the next page begins after the sort key of the last result. By relevance, pages from the second on are read from a
snapshot (a point in time), which only provides the order.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from elasticsearch import ApiError, BadRequestError, NotFoundError

from newswire_search.index.elasticsearch.facets import aggregations
from newswire_search.index.elasticsearch.languages import IndexedLanguages
from newswire_search.index.elasticsearch.prepared_requests import PreparedRequests
from newswire_search.index.elasticsearch.query import (
    ORDER,
    Body,
    elasticsearch_query,
    has_all_words,
    tiered_query,
    unscored_query,
)
from newswire_search.index.elasticsearch.responses import facets_of, hits_of, is_missing, page_of, require_complete
from newswire_search.index.elasticsearch.stored_articles import article_in, stored_fields
from newswire_search.index.elasticsearch.target import IndexTarget
from newswire_search.index.facets import facets_among
from newswire_search.index.models import FacetCount, Position, SearchPage, SearchRequest, SnapshotExpiredError, Sort
from newswire_search.index.partial_matches import can_show_partial_matches, search_one_after_the_other
from newswire_search.index.ranking import any_includes_all, can_match_partially
from newswire_search.index.snapshots import SNAPSHOT_IDLE_SECONDS, SNAPSHOT_MAX_SECONDS, Snapshots
from newswire_search.query.entitlement import filter_readable

MAX_SNAPSHOTS, MAX_SNAPSHOTS_PER_READER = 200, 50
"""How many snapshots one process keeps open, and how many of them for one reader (`newswire_search.index.snapshots`)."""
CANDIDATE_ROUNDS = 5
"""How often further results are read from a snapshot to fill a page, when some of those read no longer match."""
FOUND = "found"


class ElasticsearchSearch:
    """The searches of one index, and the snapshots that their cursors need."""

    def __init__(self, target: IndexTarget, languages: IndexedLanguages) -> None:
        self._target = target
        self._client = target.client
        self._requests = PreparedRequests(target.client, target.alias)
        self._languages = languages
        self.snapshots: Snapshots[str] = Snapshots(MAX_SNAPSHOTS, MAX_SNAPSHOTS_PER_READER)

    async def search(self, request: SearchRequest) -> SearchPage:
        """Return one page of a search.

        Raises:
            SnapshotExpiredError: the snapshot that the page begins in has expired.
        """
        if request.sort is Sort.RELEVANCE and request.after is not None:
            return await self._next_by_relevance(request, request.after)
        if not _counts_afterwards(request):
            return await self._page(request)
        page = await self._page(replace(request, with_facets=False))
        return replace(page, facets=await self._facets(request, page))

    async def search_with_partial_matches(self, request: SearchRequest) -> tuple[SearchPage, SearchPage | None]:
        """Return one page of a search, and its partial matches if it has room for any.

        Raises:
            SnapshotExpiredError: the snapshot that the page begins in has expired.
        """
        if not can_show_partial_matches(request):
            return await self.search(request), None
        if not self._has_tiers(request):
            return await search_one_after_the_other(self.search, request)
        return await self._tiers(request)

    def _has_tiers(self, request: SearchRequest) -> bool:
        """Return whether one request finds articles with all of the words, and those with some.

        A field with selected values is counted among further articles.
        """
        return (
            request.limit > 0
            and request.with_total
            and not (request.with_facets and any(chosen.include for chosen in request.filters.values()))
            and all(any_includes_all(request.query, language) for language in self._languages.known)
        )

    async def _tiers(self, request: SearchRequest) -> tuple[SearchPage, SearchPage | None]:
        """Return both pages of a search from one request; those with all words are counted if they are more than a page."""
        without_facets = replace(request, with_facets=False)
        body = self._page_body(without_facets, tiered_query)
        answer = require_complete(await self._target.request(lambda: self._requests.search(body)))
        hits = hits_of(answer)
        count = sum(has_all_words(hit["sort"][0]) for hit in hits)
        if count > request.limit:
            counted = await self._counts(request)
            total = max(count, counted["hits"]["total"]["value"])  # one may have been retracted meanwhile
            return replace(page_of(answer, without_facets), total=total, facets=facets_of(counted, request)), None
        articles = [article_in(hit) for hit in hits[: request.limit]]
        facets = facets_among(articles[:count], request.facet_fields) if request.with_facets else {}
        page = SearchPage(count, articles[:count], facets)
        rest = SearchPage(answer["hits"]["total"]["value"] - count, articles[count:], {})
        return page, rest if count < request.limit else None

    async def _page(self, request: SearchRequest) -> SearchPage:
        answer = await self._target.request(lambda: self._requests.search(self._page_body(request)))
        return page_of(require_complete(answer), request)

    async def _facets(self, request: SearchRequest, page: SearchPage) -> Mapping[str, Sequence[FacetCount]]:
        """Return the facets of a search whose first page is known: from the page, if it has all results.

        Otherwise the server counts them.
        """
        if page.total == len(page.articles):
            return facets_among(page.articles, request.facet_fields)
        return facets_of(await self._counts(request), request)

    async def _counts(self, request: SearchRequest) -> Body:
        """Return the response with the total and the facets of a search.

        The server keeps the response to such a request, which has neither articles nor the time, until the index changes.
        """
        body: Body = {"query": unscored_query(request, self._languages.known), "size": 0, "track_total_hits": True}
        if (facets := self._facet_aggregations(request)) is not None:
            body["aggregations"] = facets
        return require_complete(await self._target.request(lambda: self._requests.search(body)))

    async def search_all(self, requests: Sequence[SearchRequest]) -> list[SearchPage]:
        """Return the first pages of several searches."""
        answers = await self._multi_search(requests)
        if any(map(is_missing, answers)):
            await self._target.ensure()
            answers = await self._multi_search(requests)
        return [page_of(require_complete(each), request) for each, request in zip(answers, requests, strict=True)]

    async def _multi_search(self, requests: Sequence[SearchRequest]) -> list[Body]:
        searches = [each for request in requests for each in ({"index": self._target.alias}, self._page_body(request))]
        answers: list[Body] = (await self._requests.search_all(searches))["responses"]
        return answers

    def _page_body(
        self, request: SearchRequest, query: Callable[[SearchRequest, Collection[str]], Body] = elasticsearch_query
    ) -> Body:
        """Return the body of the request for a page with its articles."""
        body: Body = {
            "query": query(request, self._languages.known),
            "sort": ORDER[request.sort],
            "size": request.limit + 1 if request.limit else 0,
            "track_total_hits": request.with_total,
            # Without a filter on the source, and on the response, the server copies sources as they are.
            "_source": True,
        }
        if (fields := stored_fields(with_text=request.with_text, with_body=request.with_body)) is not None:
            body["stored_fields"] = fields
        if request.after is not None:
            body["search_after"] = list(request.after.sort_key)
        if (facets := self._facet_aggregations(request)) is not None:
            body["aggregations"] = facets
        return body

    def _facet_aggregations(self, request: SearchRequest) -> Body | None:
        return aggregations(request, self._languages.known) if request.with_facets else None

    async def _next_by_relevance(self, request: SearchRequest, after: Position) -> SearchPage:
        """Take the order from a snapshot, and articles, total and facets from the current index.

        So nothing that was retracted or changed since the snapshot can be read from it, in whichever process it was opened.
        """
        opened_at = time.time() if after.snapshot_opened_at is None else after.snapshot_opened_at
        pit = await self._snapshot(request, after)
        key, more = after.sort_key, True
        counted: Body = {}
        found: list[tuple[Mapping[str, Any], tuple[Any, ...]]] = []
        for _ in range(CANDIDATE_ROUNDS):
            answer = await self._candidates(request, after.seen_ids, key, pit, opened_at)
            pit, hits = answer["pit_id"], hits_of(answer)
            current, counts = await self._still_matching(request, [hit["_id"] for hit in hits], counting=not counted)
            counted = counted or counts
            found += [(current[hit["_id"]], tuple(hit["sort"])) for hit in hits if hit["_id"] in current]
            more = len(hits) > request.limit
            if len(found) > request.limit or not more:
                break
            key = tuple(hits[-1]["sort"])
        following = None
        if len(found) > request.limit:
            following = Position(found[request.limit - 1][1], pit, after.seen_ids, snapshot_opened_at=opened_at)
        elif more:
            following = Position(key, pit, after.seen_ids, snapshot_opened_at=opened_at)
        articles = [article for article, _ in found[: request.limit]]
        return SearchPage(counted["aggregations"][FOUND]["doc_count"], articles, facets_of(counted, request), following)

    async def _snapshot(self, request: SearchRequest, after: Position) -> str:
        """Return the snapshot of a position; open one for a second page."""
        if not after.sort_key:
            return await self._open_snapshot(request.snapshot_owner)
        if not after.snapshot:
            raise SnapshotExpiredError("the cursor has no snapshot")
        self.snapshots.use(after.snapshot, request.snapshot_owner)
        return after.snapshot

    async def _open_snapshot(self, reader: str) -> str:
        opened = await self._target.request(
            lambda: self._client.open_point_in_time(
                index=self._target.alias, keep_alive=f"{SNAPSHOT_IDLE_SECONDS:.0f}s"
            )
        )
        pit: str = opened["id"]
        for expired in self.snapshots.add(pit, pit, reader):
            with suppress(NotFoundError):
                await self._client.close_point_in_time(id=expired)
        return pit

    async def _candidates(
        self, request: SearchRequest, seen_ids: Sequence[str], key: Sequence[Any], pit: str, opened_at: float
    ) -> Body:
        """Return ids and sort keys of the next results in a snapshot.

        Raises:
            SnapshotExpiredError: it has expired.
        """
        seconds_left = int(min(SNAPSHOT_IDLE_SECONDS, opened_at + SNAPSHOT_MAX_SECONDS - time.time()))
        if seconds_left <= 0:
            raise SnapshotExpiredError(pit)
        try:
            answer = await self._client.search(
                pit={"id": pit, "keep_alive": f"{seconds_left}s"},
                query=elasticsearch_query(replace(request, erased={}), self._languages.known),
                sort=ORDER[request.sort],
                size=request.limit + 1,
                search_after=list(key) or None,
                post_filter={"bool": {"must_not": {"ids": {"values": list(seen_ids)}}}} if seen_ids else None,
                track_total_hits=False,
                source=False,
                filter_path="pit_id,timed_out,_shards.failed,hits.hits._id,hits.hits.sort",
            )
        except (NotFoundError, BadRequestError) as error:
            raise SnapshotExpiredError(pit) from error
        except ApiError as error:
            if error.error == "illegal_state_exception":  # a 500 for some malformed ids when security is enabled
                raise SnapshotExpiredError(pit) from error
            raise
        return require_complete(answer.body)

    async def _still_matching(
        self, request: SearchRequest, ids: Sequence[str], *, counting: bool
    ) -> tuple[dict[str, Mapping[str, Any]], Body]:
        """Return those articles that the search currently matches; with ``counting``, also its total and facets."""
        needs_text = request.entitlement is not None and request.entitlement.query is not None
        counts: Body | None = (
            {FOUND: {"filter": {"match_all": {}}}} | (self._facet_aggregations(request) or {}) if counting else None
        )
        answer = await self._target.request(
            lambda: self._client.search(
                index=self._target.alias,
                query=elasticsearch_query(request, self._languages.known),
                # Unlike a clause of the query, a post filter does not change the counts: they cover all results.
                post_filter={"ids": {"values": list(ids)}},
                sort="_doc",
                size=len(ids),
                track_total_hits=False,
                aggregations=counts,
                source=True,
                stored_fields=stored_fields(
                    with_text=needs_text or request.with_text, with_body=needs_text or request.with_body
                ),
            )
        )
        found = [article_in(hit) for hit in hits_of(require_complete(answer.body))]
        return {article["id"]: article for article in filter_readable(request.entitlement, found)}, answer.body


def _counts_afterwards(request: SearchRequest) -> bool:
    """Return whether facets are counted after the page is known, because it may well have all results: with several words.

    One word, or a list by date, usually has more, and then a second request costs more than facets do. A field with selected
    values is counted among further articles.
    """
    return (
        request.with_facets
        and request.sort is Sort.RELEVANCE
        and request.limit > 0
        and can_match_partially(request.query)
        and not any(chosen.include for chosen in request.filters.values())
    )
