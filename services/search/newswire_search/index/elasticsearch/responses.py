"""Reads responses of Elasticsearch: errors, incomplete responses, hits and pages."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from elasticsearch import ApiError, TransportError, UnsupportedProductError

from newswire.messaging.messages import DependencyUnavailableError
from newswire_search.index.elasticsearch.facets import facets
from newswire_search.index.elasticsearch.query import Body
from newswire_search.index.elasticsearch.stored_articles import article_in
from newswire_search.index.models import FacetCount, Position, SearchPage, SearchRequest, Sort, WordMatch

_OUTAGES = ("index_closed_exception",)
"""Errors with status 400 that an operator has to fix."""
_OTHER_SERVER = "the server is older than Elasticsearch 9, or is OpenSearch, which is not supported"


@asynccontextmanager
async def translate_errors() -> AsyncIterator[None]:
    """Raise `DependencyUnavailableError` for failures of the server or the connection; errors of the request are not translated."""
    try:
        yield
    except TransportError as error:
        raise DependencyUnavailableError(f"Elasticsearch: {error}") from error
    except ApiError as error:
        if reason := _outage(error):
            raise DependencyUnavailableError(f"Elasticsearch: {reason}"[:300]) from error
        raise


def _outage(error: ApiError) -> str | None:
    """Return why the server cannot be used now; None for an error of the request.

    What a proxy answers in place of the server (a page to sign in, a redirect, a refusal) says nothing about the request either.
    """
    if error.status_code == HTTPStatus.NOT_ACCEPTABLE or error.error == "media_type_header_exception":
        return f"{reason_of(error)}: {_OTHER_SERVER}"
    if isinstance(error, UnsupportedProductError):
        return f"{error.error}: {_OTHER_SERVER}, or it is behind a proxy that answers in its place"
    if not isinstance(error.body, dict):
        return f"{error.status_code} of something else in its place, as of a proxy: {error.error}"
    if error.status_code in (401, 403, 404, 408, 429) or error.status_code >= 500 or error.error in _OUTAGES:
        return reason_of(error)
    return None


def reason_of(error: ApiError) -> str:
    """Return status, type and reason of an error, for operators. The reason may quote the request."""
    details = error.body.get("error") if isinstance(error.body, dict) else None
    reason = details.get("reason") if isinstance(details, dict) else None
    return f"{error.status_code} {error.error}{f': {reason}' if reason else ''}"


def require_complete(answer: Body) -> Body:
    """Return a response that covers every shard of the index.

    Raises:
        DependencyUnavailableError: it timed out or a shard failed.
    """
    if "error" in answer or answer.get("timed_out") or answer["_shards"]["failed"]:
        raise DependencyUnavailableError("Elasticsearch searched only a part of the index")
    return answer


def is_missing(item: Body) -> bool:
    """Return whether one item of a bulk or multi-search response says that the index does not exist."""
    return bool(item["status"] == 404)


def hits_of(answer: Mapping[str, Any]) -> list[Any]:
    """Return the hits of a response. ``filter_path`` removes empty members, so ``hits`` itself may be missing."""
    hits: list[Any] = answer.get("hits", {}).get("hits", [])
    return hits


def page_of(answer: Body, request: SearchRequest) -> SearchPage:
    """Return the page in a search response."""
    articles = [article_in(hit) for hit in hits_of(answer)[: request.limit]]
    total = answer["hits"]["total"]["value"] if request.with_total else len(articles)
    return SearchPage(total, articles, facets_of(answer, request), _next_position(answer, request))


def facets_of(answer: Body, request: SearchRequest) -> Mapping[str, Sequence[FacetCount]]:
    """Return the facets of a search response; none if the request asked for none."""
    return facets(answer["aggregations"], request) if request.with_facets else {}


def _next_position(answer: Body, request: SearchRequest) -> Position | None:
    hits = hits_of(answer)
    if len(hits) <= request.limit or request.word_match is WordMatch.PARTIAL:
        return None
    if request.sort is not Sort.RELEVANCE:
        return Position(tuple(hits[request.limit - 1]["sort"]))
    return Position((), seen_ids=tuple(hit["_id"] for hit in hits[: request.limit]))
