"""Sends the requests that a search makes, with headers and a body that are bytes already.

For each call, the client copies its headers, rewrites two of them, looks for parameters and warnings, and wraps the response. A
search needs nothing of it. Where spans are recorded, a request passes through the client, which describes it.
"""

from collections.abc import Sequence
from typing import Any

import elasticsearch
import orjson
from elastic_transport import HttpHeaders
from elasticsearch import ApiError, AsyncElasticsearch, UnsupportedProductError
from elasticsearch.exceptions import HTTP_EXCEPTIONS

from newswire.observability import tracing

JSON, LINES = "json", "x-ndjson"


class PreparedRequests:
    """The searches of one index, by one client."""

    def __init__(self, client: AsyncElasticsearch, index: str) -> None:
        self._client = client
        self._path_parts = {"index": index}
        self._search = f"/{index}/_search"
        self._headers = {kind: _headers(client, kind) for kind in (JSON, LINES)}

    async def search(self, body: dict[str, Any]) -> Any:
        """Return the response to a search.

        Raises:
            elasticsearch.ApiError: its status is not one of success.
        """
        return await self._post(self._search, JSON, body, "search", self._path_parts)

    async def search_all(self, lines: Sequence[dict[str, Any]]) -> Any:
        """Return the response to several searches; before each body is a line with its index.

        Raises:
            elasticsearch.ApiError: its status is not one of success.
        """
        return await self._post("/_msearch", LINES, lines, "msearch", {})

    async def _post(self, path: str, kind: str, body: Any, endpoint_id: str, path_parts: dict[str, str]) -> Any:
        headers = self._headers[kind]
        if tracing.is_recording():
            sent = await self._client.perform_request(
                "POST", path, params={}, headers=headers, body=body, endpoint_id=endpoint_id, path_parts=path_parts
            )
            return sent.body
        content = orjson.dumps(body) if kind is JSON else b"".join([orjson.dumps(line) + b"\n" for line in body])
        meta, answer = await self._client.transport.perform_request(
            "POST",
            path,
            headers=headers,
            body=content,
            # What the client passes on with each request; it has no public names for them, nor for its headers.
            request_timeout=self._client._request_timeout,
            max_retries=self._client._max_retries,
            retry_on_timeout=self._client._retry_on_timeout,
        )
        if not 200 <= meta.status < 299:
            raise HTTP_EXCEPTIONS.get(meta.status, ApiError)(message=_reason(answer), meta=meta, body=answer)
        if meta.headers.get("x-elastic-product") != "Elasticsearch":
            raise UnsupportedProductError("the response is not from Elasticsearch", meta=meta, body=answer)
        return answer


def _headers(client: AsyncElasticsearch, kind: str) -> HttpHeaders:
    """Return the headers of a client for a kind of body, as it would send them."""
    sent, accepted = (
        f"application/vnd.elasticsearch+{each}; compatible-with={elasticsearch.__version__[0]}" for each in (kind, JSON)
    )
    return HttpHeaders({**client._headers, "accept": accepted, "content-type": sent}).freeze()


def _reason(answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    return str(error["type"] if isinstance(error, dict) and "type" in error else error or answer)
