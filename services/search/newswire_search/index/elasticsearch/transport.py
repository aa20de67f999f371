"""Sends requests to the nodes of a cluster, without the work that Elasticsearch's client repeats for each request.

The client's own pool of nodes still decides which node is next, which are left out, and for how long. Here, a request whose node
fails is sent to the next one, as the client would; one that every node refuses waits a moment before it is sent again.
"""

import asyncio
import logging
import random
import time
from collections.abc import Collection, Mapping
from typing import Any

import elastic_transport
from elastic_transport import (
    AsyncTransport,
    BaseAsyncNode,
    ConnectionTimeout,
    HttpHeaders,
    OpenTelemetrySpan,
    TransportApiResponse,
)
from elastic_transport.client_utils import DEFAULT, DefaultType, resolve_default

log = logging.getLogger("elastic_transport.transport")

FIRST_PAUSE_SECONDS = 0.1
"""About how long a request waits that every node has refused. Each further pause is twice as long."""
MAX_PAUSES = 4
"""How often such a request is sent again: for about 1.5 s in all, in which a cluster elects another master."""
_NODE_IS_WELL = frozenset((*range(200, 299), 400, 401, 402, 403, 404, 409))
"""The statuses after which a node is not left out, as the client decides it."""


class ElasticsearchTransport(AsyncTransport):
    """The transport of `newswire_search.index.elasticsearch.client`. It discovers no nodes: the settings name them."""

    async def perform_request(  # type: ignore[override]  # the base class of all transports is synchronous
        self,
        method: str,
        target: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | DefaultType = DEFAULT,
        max_retries: int | DefaultType = DEFAULT,
        retry_on_status: Collection[int] | DefaultType = DEFAULT,
        retry_on_timeout: bool | DefaultType = DEFAULT,
        request_timeout: float | DefaultType | None = DEFAULT,
        otel_span: OpenTelemetrySpan | DefaultType = DEFAULT,
        **_: object,
    ) -> TransportApiResponse:
        """Send a request and return the decoded response.

        Raises:
            TransportError: no node has answered.
        """
        sent = headers if isinstance(headers, HttpHeaders) else HttpHeaders(resolve_default(headers, {}))
        span = resolve_default(otel_span, OpenTelemetrySpan(None))
        content = None if body is None else self.serializers.dumps(body, sent["content-type"])
        if content is not None:
            span.set_db_statement(content)
        repeats = _Repeats(resolve_default(max_retries, self.max_retries), len(self.node_pool))
        while True:
            node: BaseAsyncNode = self.node_pool.get()  # type: ignore[assignment]  # it declares synchronous ones
            span.set_node_metadata(node.host, node.port, node.base_url, target, method)
            try:
                meta, raw = await node.perform_request(method, target, content, sent, request_timeout)
            except (elastic_transport.ConnectionError, ConnectionTimeout) as error:
                self.node_pool.mark_dead(node)
                timed_out = isinstance(error, ConnectionTimeout)
                if (timed_out and not resolve_default(retry_on_timeout, self.retry_on_timeout)) or repeats.end_at(
                    error
                ):
                    error.errors = (*repeats.errors, *error.errors)
                    raise
                continue
            if meta.status in _NODE_IS_WELL:
                self.node_pool.mark_live(node)
            else:
                self.node_pool.mark_dead(node)
                if meta.status in resolve_default(retry_on_status, self.retry_on_status):
                    seconds = resolve_default(request_timeout, node.config.request_timeout)
                    if await repeats.follow_refusal(meta.status, seconds):
                        continue
            span.set_db_response(meta.status)
            return TransportApiResponse(meta, None if method == "HEAD" else self.serializers.loads(raw, meta.mimetype))


class _Repeats:
    """How often, and when, a request is sent again."""

    def __init__(self, max_repeats: int, nodes: int) -> None:
        self.errors: list[Exception] = []
        """Why it was sent again, oldest first."""
        self._max_repeats = max_repeats
        self._nodes = nodes
        self._refusals = 0
        self._began = time.monotonic()

    def end_at(self, error: Exception) -> bool:
        """Return whether a request whose node has failed is given up."""
        if len(self.errors) >= self._max_repeats:
            return True
        log.warning("a request is sent again", extra={"reason": repr(error)})
        self.errors.append(error)
        return False

    async def follow_refusal(self, status: int, seconds: float | None) -> bool:
        """Return whether a request that a node has refused is sent again: at once to the other nodes, after a pause to all.

        ``seconds``: how long it may take. No pause is longer than that.
        """
        self._refusals += 1
        pauses = self._refusals - self._nodes
        if not self._max_repeats or pauses >= MAX_PAUSES:
            return False
        if pauses >= 0:
            pause = FIRST_PAUSE_SECONDS * 2**pauses * random.uniform(0.75, 1.25)
            if seconds is not None and time.monotonic() - self._began + pause >= seconds:
                return False
            await asyncio.sleep(pause)
        log.warning("a request is sent again", extra={"status": status})
        return True
