"""The index on Elasticsearch, for production.

Documents are written with external versions, so that redelivered and late events change nothing; a retraction is a
tombstone under the same version, never a delete, whose version Elasticsearch would forget after a minute.
"""

import asyncio
import logging
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import orjson
from elasticsearch import ApiError, AsyncElasticsearch, BadRequestError, NotFoundError, TransportError

from newswire.filters import Filter
from newswire.messaging.messages import DependencyUnavailableError
from newswire.text.analysis import DEFAULT
from newswire.timestamps import from_epoch_ms
from newswire_search.index.admin import next_index_name
from newswire_search.index.elasticsearch.autocomplete import completions, searches
from newswire_search.index.elasticsearch.facets import aggregations, facets
from newswire_search.index.elasticsearch.query import ORDER, Body, days_aggregation, elasticsearch_query
from newswire_search.index.elasticsearch.related import related_query
from newswire_search.index.mapping import MAPPING, MAPPING_NUMBER, alias_in_use, fields_of
from newswire_search.index.port import (
    Completion,
    CompletionRequest,
    FacetCount,
    IndexName,
    Operation,
    Position,
    PublicationDay,
    Publish,
    RejectedOperation,
    Retracted,
    SearchPage,
    SearchRequest,
    SnapshotExpiredError,
    Sort,
    WordMatch,
    WriteStatus,
    languages_of,
)
from newswire_search.index.snapshots import SNAPSHOT_IDLE_SECONDS, SNAPSHOT_MAX_SECONDS, Snapshots
from newswire_search.query.entitlement import filter_readable
from newswire_search.query.offload import offload

log = logging.getLogger(__name__)

BULK_OPERATIONS, BULK_BYTES = 200, 8_000_000
MAX_CONCURRENT_BULKS = 2
"""Parts of a batch that the server has at a time."""
MAX_SNAPSHOTS, MAX_SNAPSHOTS_PER_READER = 200, 50
"""How many snapshots one process keeps open, and how many of them for one reader (`newswire_search.index.snapshots`)."""
CANDIDATE_ROUNDS = 5
"""How often more is read from a snapshot to fill a page, where what is read is no longer found."""
VISIBLE_POLL_SECONDS, VISIBLE_TIMEOUT_SECONDS = 0.05, 10.0
LANGUAGES_TTL_SECONDS = 1.0
"""For how many seconds it is taken for granted in which languages there are articles."""
LARGE_MEMBERS = ["article.body", "article.text"]
FOUND = "found"
_QUOTED_TEXT = re.compile(
    r"\s*(?:Preview of field's value:|original message:|prefix of the first immense term).*", re.DOTALL
)
"""What Elasticsearch quotes of an article where it refuses it: logs and dead letters outlive a retraction."""

T = TypeVar("T")


class ElasticsearchIndex:
    """`ArticleIndex` on Elasticsearch."""

    name: IndexName = "elasticsearch"

    def __init__(
        self, client: AsyncElasticsearch, namespace: str, settings: Mapping[str, Any], *, staging: str | None = None
    ) -> None:
        """Use the client's server; ``settings`` are those of an index that has to be made (`mapping.index_settings`).

        ``staging`` names an index that is to come into use: it has an alias of its own, and no other process sees it.
        """
        self.stem = f"{namespace}-articles"
        self.alias = alias_in_use(namespace) if staging is None else f"{self.stem}-staging"
        self.namespace = namespace
        self._client = client
        self.settings = settings
        self._staging = staging
        self._making = asyncio.Lock()
        self._snapshots: Snapshots[str] = Snapshots(MAX_SNAPSHOTS, MAX_SNAPSHOTS_PER_READER)
        self._languages = {DEFAULT}
        self._languages_read_at = float("-inf")

    @property
    def client(self) -> AsyncElasticsearch:
        """The connections to the server."""
        return self._client

    async def ensure(self) -> None:
        """Make the index where its alias is missing.

        Raises:
            DependencyUnavailableError: another release has made one that this one cannot use.
        """
        # Whoever comes meanwhile waits: the index is there a moment before it can be searched.
        async with self._making, translate_errors():
            if await self._client.indices.exists_alias(name=self.alias):
                return
            names = list(await self.names())
            if self._staging is None and (trouble := mapping_mismatch(names)):
                raise DependencyUnavailableError(trouble)
            name = self._staging or next_index_name(self.stem, names, MAPPING_NUMBER)
            try:
                await self._client.indices.create(
                    index=name, settings=self.settings, mappings=MAPPING, aliases={self.alias: {"is_write_index": True}}
                )
            except ApiError as error:
                # Of two that ask for it at once, one makes the index, and the other sees it: no alias has two for writing.
                if await self._client.indices.exists_alias(name=self.alias):
                    return
                if error.error == "resource_already_exists_exception":  # `newswire reindex` was a moment faster
                    raise DependencyUnavailableError(
                        f"Elasticsearch: {name} is made by another process at this moment"
                    ) from error
                raise
            log.info("index made", extra={"index": name})

    async def names(self) -> dict[str, list[str]]:
        """Return the names of all indexes of this namespace, of whatever mapping, each with its aliases."""
        found = await self._client.indices.get_alias(index=f"{self.stem}-*")
        ours = re.compile(rf"{re.escape(self.stem)}-\d+-\d{{6}}")
        return {name: list(about["aliases"]) for name, about in found.items() if ours.fullmatch(name)}

    async def write(self, operations: Sequence[Operation]) -> list[WriteStatus | RejectedOperation]:
        """Write a batch; what is written can be found after the next refresh.

        While the server takes one part of it, the next is analysed, on a thread: the event loop has other work meanwhile.
        """
        results: list[WriteStatus | RejectedOperation] = []
        under_way: deque[asyncio.Task[list[WriteStatus | RejectedOperation]]] = deque()
        try:
            for at in range(0, len(operations), BULK_OPERATIONS):
                part = operations[at : at + BULK_OPERATIONS]
                for lines in await asyncio.to_thread(list, _chunks(part)):
                    under_way.append(asyncio.create_task(self._write(lines)))
                    if len(under_way) == MAX_CONCURRENT_BULKS:
                        results += await under_way[0]
                        under_way.popleft()
            while under_way:
                results += await under_way[0]
                under_way.popleft()
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
        self._languages = self._languages | languages_of(operations)
        return results

    async def _write(self, lines: list[bytes]) -> list[WriteStatus | RejectedOperation]:
        async with translate_errors():
            answer = await self._bulk(lines)
            if any(_missing(item) for item in answer):
                await self.ensure()
                answer = await self._bulk(lines)
            return [_result(item) for item in answer]

    async def _bulk(self, lines: list[bytes]) -> list[Body]:
        answer = await self._client.options(request_timeout=30).bulk(
            index=self.alias,
            operations=lines,  # type: ignore[arg-type]  # finished lines are sent as they are
            # Without it the server would make an index of that name by itself, with a guessed mapping.
            require_alias=True,
            filter_path="items.*.status,items.*.error.type,items.*.error.reason",
        )
        return [item["index"] for item in answer["items"]]

    async def until_visible(self, operations: Sequence[Operation]) -> None:
        """Wait until a search sees each of these operations, or a later one of the same article.

        The last one is asked for first: most often the others have come with it. But shards, and the parts of a batch that
        the server had at the same time, can be refreshed one before the other.

        Asks what a search would see rather than writing with ``refresh=wait_for``, which would hold up each batch for a
        refresh interval, or with ``refresh=true``, which would make a segment per batch.
        """
        newest = {operation.id: operation for operation in sorted(operations, key=lambda operation: operation.version)}
        deadline = time.monotonic() + VISIBLE_TIMEOUT_SECONDS
        async with translate_errors():
            for awaited in ([newest[operations[-1].id]], list(newest.values())):
                while awaited and time.monotonic() < deadline:
                    seen = await self._seen([operation.id for operation in awaited[:BULK_OPERATIONS]])
                    missing = [each for each in awaited[:BULK_OPERATIONS] if not _has_come(each, seen.get(each.id))]
                    awaited = missing + awaited[BULK_OPERATIONS:]
                    if missing:
                        await asyncio.sleep(VISIBLE_POLL_SECONDS)

    async def _seen(self, ids: Sequence[str]) -> dict[str, Body]:
        """Return version and state of those of some articles that a search sees now."""
        answer = await self._with_index(
            lambda: self._client.search(
                index=self.alias,
                query={"ids": {"values": list(ids)}},
                size=len(ids),
                sort="_doc",
                track_total_hits=False,
                source=False,
                docvalue_fields=[{"field": "version"}, {"field": "retracted"}],
                filter_path="timed_out,_shards.failed,hits.hits._id,hits.hits.fields",
            )
        )
        return {
            hit["_id"]: {name: values[0] for name, values in hit["fields"].items()}
            for hit in _hits(require_complete(answer.body))
        }

    async def search(self, request: SearchRequest) -> SearchPage:
        """Find published articles."""
        async with translate_errors():
            return await self._with_current_languages(lambda: self._search(request))

    async def _search(self, request: SearchRequest) -> SearchPage:
        if request.sort is Sort.RELEVANCE and request.after is not None:
            return await self._next_by_relevance(request, request.after)
        answer = await self._with_index(lambda: self._page(request))
        page = _page_of(answer, request)
        return page if request.word_match is WordMatch.ALL else replace(page, next=None)

    async def _with_current_languages(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask, and look meanwhile whether languages have come; ask again where one has, which is seldom."""
        if not self._languages_due():
            return await ask()
        known = self._languages
        answer, _ = await asyncio.gather(ask(), self._refresh_languages())
        return answer if self._languages == known else await ask()

    def _languages_due(self) -> bool:
        return time.monotonic() >= self._languages_read_at + LANGUAGES_TTL_SECONDS

    async def _refresh_languages(self) -> None:
        """See, once in a while, in which languages articles have come that other processes wrote."""
        if not self._languages_due():
            return
        self._languages_read_at = time.monotonic()
        asked: Body = {"analysis": {"terms": {"field": "analysis", "size": 100}}}
        answer = await self._with_index(lambda: self._client.search(index=self.alias, size=0, aggregations=asked))
        self._languages = self._languages | {bucket["key"] for bucket in answer["aggregations"]["analysis"]["buckets"]}

    async def _page(self, request: SearchRequest) -> Body:
        """Ask for a page with its articles."""
        after = request.after
        answer = await self._client.search(
            index=self.alias,
            query=elasticsearch_query(request, self._languages),
            sort=ORDER[request.sort],
            size=request.limit + 1,
            search_after=list(after.key) if after is not None else None,
            track_total_hits=True,
            aggregations=self._counting(request),
            source={"includes": ["article"], "excludes": _unneeded(request)},
            filter_path="timed_out,_shards.failed,hits.total.value,hits.hits._id,hits.hits._source,hits.hits.sort,aggregations",
        )
        return require_complete(answer.body)

    def _counting(self, request: SearchRequest) -> Body | None:
        return aggregations(request, self._languages) if request.with_facets else None

    async def _next_by_relevance(self, request: SearchRequest, after: Position) -> SearchPage:
        """Take the order from a snapshot, and articles, total and facets from what is found now.

        So nothing that was retracted or changed since the snapshot can be read out of it, whichever process opened it.
        """
        opened = time.time() if after.opened is None else after.opened
        if after.key:
            if not after.snapshot:
                raise SnapshotExpiredError("no snapshot is named")
            self._snapshots.use(after.snapshot, request.reader)
            pit = after.snapshot
        else:
            pit = await self._open_snapshot(request.reader)
        key, more = after.key, True
        counted: Body = {}
        found: list[tuple[Mapping[str, Any], tuple[Any, ...]]] = []
        for _ in range(CANDIDATE_ROUNDS):
            answer = await self._candidates(request, after.shown, key, pit, opened)
            pit, hits = answer["pit_id"], _hits(answer)
            current, counts = await self._still_found(request, [hit["_id"] for hit in hits], counting=not counted)
            counted = counted or counts
            found += [(current[hit["_id"]], tuple(hit["sort"])) for hit in hits if hit["_id"] in current]
            more = len(hits) > request.limit
            if len(found) > request.limit or not more:
                break
            key = tuple(hits[-1]["sort"])
        following = None
        if len(found) > request.limit:
            following = Position(found[request.limit - 1][1], pit, after.shown, opened=opened)
        elif more:
            following = Position(key, pit, after.shown, opened=opened)
        articles = [article for article, _ in found[: request.limit]]
        return SearchPage(counted["aggregations"][FOUND]["doc_count"], articles, _counts(counted, request), following)

    async def _candidates(
        self, request: SearchRequest, shown: Sequence[str], key: Sequence[Any], pit: str, opened: float
    ) -> Body:
        """Return ids and sort keys of what comes next in a snapshot.

        Raises:
            SnapshotExpiredError: it has ended.
        """
        left = int(min(SNAPSHOT_IDLE_SECONDS, opened + SNAPSHOT_MAX_SECONDS - time.time()))
        if left <= 0:
            raise SnapshotExpiredError(pit)
        try:
            answer = await self._client.search(
                pit={"id": pit, "keep_alive": f"{left}s"},
                query=elasticsearch_query(replace(request, erased={}), self._languages),
                sort=ORDER[request.sort],
                size=request.limit + 1,
                search_after=list(key) or None,
                post_filter={"bool": {"must_not": {"ids": {"values": list(shown)}}}} if shown else None,
                track_total_hits=False,
                source=False,
                filter_path="pit_id,timed_out,_shards.failed,hits.hits._id,hits.hits.sort",
            )
        except (NotFoundError, BadRequestError) as error:
            raise SnapshotExpiredError(pit) from error
        except ApiError as error:
            if error.error == "illegal_state_exception":  # said (500) of some ids it cannot read, where security is on
                raise SnapshotExpiredError(pit) from error
            raise
        return require_complete(answer.body)

    async def _still_found(
        self, request: SearchRequest, ids: Sequence[str], *, counting: bool
    ) -> tuple[dict[str, Mapping[str, Any]], Body]:
        """Return those of some articles that the search finds as they are now; ``counting``: with what it finds in all."""
        judged_by_text = request.entitlement is not None and request.entitlement.query is not None
        among = {"ids": {"values": list(ids)}}
        asked: Body | None = (
            {FOUND: {"filter": {"match_all": {}}}} | (self._counting(request) or {}) if counting else None
        )
        answer = await self._with_index(
            lambda: self._client.search(
                index=self.alias,
                query=elasticsearch_query(request, self._languages),
                # Unlike a clause of the query, it leaves counts alone: they are of all that is found.
                post_filter=among,
                sort="_doc",
                size=len(ids),
                track_total_hits=False,
                aggregations=asked,
                source={"includes": ["article"], "excludes": [] if judged_by_text else _unneeded(request)},
                filter_path="timed_out,_shards.failed,hits.hits._id,hits.hits._source,aggregations",
            )
        )
        found = [hit["_source"]["article"] for hit in require_complete(answer.body).get("hits", {}).get("hits", [])]
        return {article["id"]: article for article in filter_readable(request.entitlement, found)}, answer.body

    async def _published(self, ids: Sequence[str], excludes: list[str] | None) -> list[Mapping[str, Any]]:
        if not ids:
            return []
        answer = await self._client.mget(
            index=self.alias, ids=list(ids), source_includes=["retracted", "article"], source_excludes=excludes
        )
        found = (item["_source"] for item in answer["docs"] if item.get("found"))
        return [source["article"] for source in found if not source["retracted"]]

    async def _open_snapshot(self, reader: str) -> str:
        opened = await self._with_index(
            lambda: self._client.open_point_in_time(index=self.alias, keep_alive=f"{SNAPSHOT_IDLE_SECONDS:.0f}s")
        )
        pit: str = opened["id"]
        for ended in self._snapshots.add(pit, pit, reader):
            with suppress(NotFoundError):
                await self._client.close_point_in_time(id=ended)
        return pit

    async def get(self, article_id: str) -> Mapping[str, Any] | Retracted | None:
        """Return what the index holds under an id."""
        async with translate_errors():
            source = await self._source(article_id)
        if source is None:
            return None
        if source["retracted"]:
            return Retracted(article_id, source["version"])
        article: Body = source["article"]
        return article

    async def days(self, request: SearchRequest) -> Sequence[PublicationDay]:
        """Return the days on which the articles of a search were published, oldest first."""
        days: list[PublicationDay] = []
        after: Body | None = None
        async with translate_errors():
            await self._refresh_languages()
            while True:
                answer = await self._with_index(partial(self._days, request, after))
                days += [
                    PublicationDay(
                        from_epoch_ms(found["key"]["day"]).date(),
                        found["doc_count"],
                        from_epoch_ms(found["updated_at"]["value"]),
                    )
                    for found in answer["buckets"]
                ]
                after = answer.get("after_key")
                if after is None:
                    return days

    async def _days(self, request: SearchRequest, after: Body | None) -> Body:
        answer = await self._client.search(
            index=self.alias,
            query=elasticsearch_query(request, self._languages),
            size=0,
            track_total_hits=False,
            aggregations={"days": days_aggregation(after)},
        )
        days: Body = require_complete(answer.body)["aggregations"]["days"]
        return days

    async def get_all(
        self, article_ids: Sequence[str], *, with_text: bool = True, with_body: bool = True
    ) -> list[Mapping[str, Any]]:
        """Return those of these articles that are published."""
        unneeded = _left_out(with_text=with_text, with_body=with_body)
        async with translate_errors():
            return await self._published(article_ids, unneeded or None)

    async def complete(self, request: CompletionRequest) -> list[Completion]:
        """Return titles, topics and authors that hold each of the words."""
        async with translate_errors():
            return await self._with_current_languages(lambda: self._complete(request))

    async def _complete(self, request: CompletionRequest) -> list[Completion]:
        asked = searches(request, self._languages, self.alias)
        answers = (await self._client.msearch(searches=asked))["responses"]
        if any(_missing(answer) for answer in answers):
            await self.ensure()
            return []
        return completions(request, [require_complete(answer) for answer in answers])

    async def related(
        self, article: Mapping[str, Any], entitlement: Filter | None, limit: int
    ) -> list[Mapping[str, Any]]:
        """Return other articles that share the words most telling of this one."""
        async with translate_errors():
            await self._refresh_languages()
            query = await offload.run(lambda _: related_query(article, entitlement, self._languages))
            answer = await self._with_index(
                lambda: self._client.search(
                    index=self.alias,
                    query=query,
                    size=limit,
                    sort=ORDER[Sort.RELEVANCE],
                    track_total_hits=False,
                    source={"includes": ["article"], "excludes": LARGE_MEMBERS},
                )
            )
        return [hit["_source"]["article"] for hit in require_complete(answer.body)["hits"]["hits"]]

    async def _source(self, article_id: str) -> Body | None:
        try:
            answer = await self._client.get(index=self.alias, id=article_id)
        except NotFoundError as error:
            if error.error == "index_not_found_exception":
                await self.ensure()
            return None
        source: Body = answer["_source"]
        return source

    async def check(self) -> str | None:
        """Tell why the index cannot be read, or None where it can."""
        try:
            async with translate_errors():
                await self._with_index(lambda: self._client.count(index=self.alias))
        except DependencyUnavailableError as error:
            return str(error)
        return None

    async def _with_index(self, ask: Callable[[], Any]) -> Any:
        """Ask, and ask again after making the index where somebody deleted it."""
        try:
            return await ask()
        except NotFoundError as error:
            if error.error != "index_not_found_exception":
                raise
        await self.ensure()
        return await ask()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


@asynccontextmanager
async def translate_errors() -> AsyncIterator[None]:
    """Say `DependencyUnavailableError` for every failure that is the server's or the connection's, not the request's."""
    try:
        yield
    except TransportError as error:
        raise DependencyUnavailableError(f"Elasticsearch: {error}") from error
    except ApiError as error:
        if error.status_code in (401, 403, 404, 408, 429) or error.status_code >= 500:
            raise DependencyUnavailableError(f"Elasticsearch: {error.status_code} {error.error}") from error
        raise


def require_complete(answer: Body) -> Body:
    """Return an answer that comes from all of the index.

    Raises:
        DependencyUnavailableError: it comes from a part only.
    """
    if "error" in answer or answer.get("timed_out") or answer["_shards"]["failed"]:
        raise DependencyUnavailableError("Elasticsearch answered from a part of the index only")
    return answer


def mapping_mismatch(names: Collection[str]) -> str | None:
    """Tell, where no index of this release's mapping is in use, what that of another release asks for."""
    numbers = {int(name.rsplit("-", 2)[1]) for name in names} - {MAPPING_NUMBER}
    if not numbers:
        return None
    return (
        f"the index has mapping {max(numbers)}, made by another release, and this one needs {MAPPING_NUMBER}: "
        "run `newswire reindex`"
    )


def _chunks(operations: Sequence[Operation]) -> Iterator[list[bytes]]:
    lines: list[bytes] = []
    size = 0
    for operation in operations:
        pair = [orjson.dumps(part) for part in _index_action(operation)]
        weight = sum(map(len, pair))
        if lines and size + weight > BULK_BYTES:
            yield lines
            lines, size = [], 0
        lines += pair
        size += weight
    if lines:
        yield lines


def _index_action(operation: Operation) -> tuple[Body, Body]:
    document: Body = {"id": operation.id, "version": operation.version, "retracted": True}
    version_type = "external_gte"
    if isinstance(operation, Publish):
        version_type = "external"
        document |= {"retracted": False, "article": operation.document, **fields_of(operation.article)}
    return {"index": {"_id": operation.id, "version": operation.version, "version_type": version_type}}, document


def _has_come(operation: Operation, seen: Body | None) -> bool:
    if seen is None:
        return False
    if seen["version"] == operation.version:
        return isinstance(operation, Publish) or bool(seen["retracted"])
    return bool(seen["version"] > operation.version)


def _missing(item: Body) -> bool:
    return item["status"] == 404


def _result(item: Body) -> WriteStatus | RejectedOperation:
    status, error = item["status"], item.get("error", {})
    if status < 300:
        return WriteStatus.APPLIED
    if status == 409:
        return WriteStatus.SUPERSEDED
    reason = f"{error.get('type')}: {_QUOTED_TEXT.sub('', str(error.get('reason')))}"
    if status == 400 and error.get("type") != "index_closed_exception":
        return RejectedOperation(reason[:500])
    raise DependencyUnavailableError(f"Elasticsearch: {status} {reason}")


def _unneeded(request: SearchRequest) -> list[str]:
    return _left_out(with_text=request.with_text, with_body=request.with_body)


def _left_out(*, with_text: bool, with_body: bool) -> list[str]:
    needed = {"article.body": with_body, "article.text": with_text}
    return [name for name in LARGE_MEMBERS if not needed[name]]


def _ids(answer: Body) -> list[str]:
    return [hit["_id"] for hit in _hits(answer)]


def _following(answer: Body, request: SearchRequest) -> Position | None:
    hits = _hits(answer)
    if len(hits) <= request.limit:
        return None
    if request.sort is not Sort.RELEVANCE:
        return Position(tuple(hits[request.limit - 1]["sort"]))
    return Position((), shown=tuple(_ids(answer)[: request.limit]))


def _counts(answer: Body, request: SearchRequest) -> Mapping[str, Sequence[FacetCount]]:
    return facets(answer["aggregations"], request) if request.with_facets else {}


def _page_of(answer: Body, request: SearchRequest) -> SearchPage:
    articles = [hit["_source"]["article"] for hit in answer["hits"].get("hits", [])[: request.limit]]
    return SearchPage(answer["hits"]["total"]["value"], articles, _counts(answer, request), _following(answer, request))


def _hits(answer: Mapping[str, Any]) -> list[Any]:
    """Return the hits of an answer. One that was narrowed by ``filter_path`` leaves out what is empty, `hits` itself too."""
    found: list[Any] = answer.get("hits", {}).get("hits", [])
    return found
