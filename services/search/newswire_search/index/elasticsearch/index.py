"""The production index, on Elasticsearch."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from elasticsearch import AsyncElasticsearch, NotFoundError

from newswire.filters import Filter
from newswire.messaging.messages import DependencyUnavailableError
from newswire.timestamps import from_epoch_ms
from newswire_search.index.elasticsearch.autocomplete import completions, searches
from newswire_search.index.elasticsearch.languages import IndexedLanguages
from newswire_search.index.elasticsearch.query import ORDER, Body, days_aggregation, elasticsearch_query
from newswire_search.index.elasticsearch.related import related_query
from newswire_search.index.elasticsearch.responses import is_missing, require_complete, translate_errors
from newswire_search.index.elasticsearch.search import ElasticsearchSearch
from newswire_search.index.elasticsearch.stored_articles import article_in, stored_fields
from newswire_search.index.elasticsearch.target import IndexTarget
from newswire_search.index.elasticsearch.writing import wait_until_visible, write_batch
from newswire_search.index.models import (
    Completion,
    CompletionRequest,
    IndexName,
    Operation,
    PublicationDay,
    RejectedOperation,
    Retracted,
    SearchPage,
    SearchRequest,
    Sort,
    WriteStatus,
    languages_of,
)
from newswire_search.query.offload import offload


class ElasticsearchIndex:
    """`ArticleIndex` on Elasticsearch."""

    name: IndexName = "elasticsearch"

    def __init__(
        self,
        client: AsyncElasticsearch,
        namespace: str,
        settings: Mapping[str, Any],
        *,
        staging_name: str | None = None,
    ) -> None:
        """Open the index in use of a namespace, or the staging index of a name; see `IndexTarget`."""
        self.target = IndexTarget(client, namespace, settings, staging_name)
        self.languages = IndexedLanguages(self.target)
        self._search = ElasticsearchSearch(self.target, self.languages)
        self._client = client

    @property
    def client(self) -> AsyncElasticsearch:
        """The connections to the server."""
        return self._client

    @property
    def alias(self) -> str:
        """The alias that requests use."""
        return self.target.alias

    async def write(self, operations: Sequence[Operation]) -> list[WriteStatus | RejectedOperation]:
        """Write a batch; it becomes visible with the next refresh."""
        results = await write_batch(self.target, operations)
        self.languages.add(languages_of(operations))
        return results

    async def until_visible(self, operations: Sequence[Operation]) -> None:
        """Wait until a search sees each of these operations, or a later one of the same article."""
        await wait_until_visible(self.target, operations)

    async def search(self, request: SearchRequest) -> SearchPage:
        """Find published articles."""
        async with translate_errors():
            return await self.languages.run(lambda: self._search.search(request))

    async def search_with_partial_matches(self, request: SearchRequest) -> tuple[SearchPage, SearchPage | None]:
        """Find published articles and partial matches, usually in one request."""
        async with translate_errors():
            return await self.languages.run(lambda: self._search.search_with_partial_matches(request))

    async def search_all(self, requests: Sequence[SearchRequest]) -> list[SearchPage]:
        """Run several searches for first pages in one request."""
        if len(requests) <= 1:
            return [await self.search(request) for request in requests]
        async with translate_errors():
            return await self.languages.run(lambda: self._search.search_all(requests))

    async def get(self, article_id: str) -> Mapping[str, Any] | Retracted | None:
        """Return the document of an id."""
        async with translate_errors():
            found = await self._stored(article_id)
        if found is None:
            return None
        source = found["_source"]
        return Retracted(article_id, source["version"]) if source["retracted"] else article_in(found)

    async def _stored(self, article_id: str) -> Body | None:
        fields = stored_fields(with_text=True, with_body=True)
        try:
            answer = await self._client.get(index=self.alias, id=article_id, source=True, stored_fields=fields)
        except NotFoundError as error:
            if error.error == "index_not_found_exception":
                await self.target.ensure()
            return None
        found: Body = answer.body
        return found

    async def get_all(
        self, article_ids: Sequence[str], *, with_text: bool = True, with_body: bool = True
    ) -> list[Mapping[str, Any]]:
        """Return those of these articles that are published."""
        if not article_ids:
            return []
        async with translate_errors():
            answer = await self._client.mget(
                index=self.alias,
                ids=list(article_ids),
                source=True,
                stored_fields=stored_fields(with_text=with_text, with_body=with_body),
            )
        found = (item for item in answer["docs"] if item.get("found"))
        return [article_in(item) for item in found if not item["_source"]["retracted"]]

    async def days(self, request: SearchRequest) -> Sequence[PublicationDay]:
        """Return the days on which the articles of a search were published, oldest first."""
        days: list[PublicationDay] = []
        after: Body | None = None
        async with translate_errors():
            await self.languages.refresh()
            while True:
                answer = await self.target.request(partial(self._days, request, after))
                days += [
                    PublicationDay(
                        from_epoch_ms(bucket["key"]["day"]).date(),
                        bucket["doc_count"],
                        from_epoch_ms(bucket["updated_at"]["value"]),
                    )
                    for bucket in answer["buckets"]
                ]
                after = answer.get("after_key")
                if after is None:
                    return days

    async def _days(self, request: SearchRequest, after: Body | None) -> Body:
        answer = await self._client.search(
            index=self.alias,
            query=elasticsearch_query(request, self.languages.known),
            size=0,
            track_total_hits=False,
            aggregations={"days": days_aggregation(after)},
        )
        days: Body = require_complete(answer.body)["aggregations"]["days"]
        return days

    async def complete(self, request: CompletionRequest) -> list[Completion]:
        """Return titles, topics and authors that contain each of the words."""
        async with translate_errors():
            return await self.languages.run(lambda: self._complete(request))

    async def _complete(self, request: CompletionRequest) -> list[Completion]:
        answer = await self._client.msearch(searches=searches(request, self.languages.known, self.alias))
        if any(is_missing(each) for each in answer["responses"]):
            await self.target.ensure()
            return []
        return completions(request, [require_complete(each) for each in answer["responses"]])

    async def related(
        self, article: Mapping[str, Any], entitlement: Filter | None, limit: int
    ) -> list[Mapping[str, Any]]:
        """Return other articles that share the most significant words of this one."""
        async with translate_errors():
            await self.languages.refresh()
            query = await offload.run(lambda _: related_query(article, entitlement, self.languages.known))
            answer = await self.target.request(
                lambda: self._client.search(
                    index=self.alias,
                    query=query,
                    size=limit,
                    sort=ORDER[Sort.RELEVANCE],
                    track_total_hits=False,
                    source=True,
                )
            )
        return [article_in(hit) for hit in require_complete(answer.body)["hits"]["hits"]]

    async def check(self) -> str | None:
        """Return why the index cannot be read, or None if it can."""
        try:
            async with translate_errors():
                await self.target.request(lambda: self._client.count(index=self.alias))
        except DependencyUnavailableError as error:
            return str(error)
        return None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
