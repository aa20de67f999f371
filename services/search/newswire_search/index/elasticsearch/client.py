"""The client of an Elasticsearch cluster, as the settings describe it."""

import os
from typing import Any
from urllib.parse import urlsplit

from elasticsearch import AsyncElasticsearch
from elasticsearch.serializer import OrjsonSerializer
from pydantic import HttpUrl

from newswire.observability import tracing
from newswire_search.index.elasticsearch.http_node import ElasticsearchNode
from newswire_search.index.elasticsearch.transport import ElasticsearchTransport
from newswire_search.settings import SearchSettings

REQUEST_SECONDS = 10.0
"""How long a single node may take to answer."""
REQUEST_SECONDS_OF_MANY = 4.0
"""The same if other nodes can be asked: one that hangs must not keep readers waiting. Nothing that Newswire asks takes as long
on a node that is well, except what sets a time of its own."""
MAX_NODES_ASKED = 3


def connect(settings: SearchSettings) -> AsyncElasticsearch:
    """Return a client; it connects when it is used.

    A request that a node does not answer is sent to the next one. All requests of Newswire may be repeated: writes carry the
    version of the article (`version_type=external`).
    """
    several = len(settings.elasticsearch_url) > 1
    # Without an OpenTelemetry SDK, the client would create spans that are not recorded. The operator's own setting wins.
    os.environ.setdefault("OTEL_PYTHON_INSTRUMENTATION_ELASTICSEARCH_ENABLED", str(tracing.is_set_up()).lower())
    return AsyncElasticsearch(
        **_where(settings),
        **_who(settings),
        **_certificates(settings),
        request_timeout=REQUEST_SECONDS_OF_MANY if several else REQUEST_SECONDS,
        max_retries=min(len(settings.elasticsearch_url), MAX_NODES_ASKED) if several else 1,
        retry_on_timeout=several,
        serializer=OrjsonSerializer(),
        connections_per_node=settings.elasticsearch_connections,
        node_class=ElasticsearchNode,
        transport_class=ElasticsearchTransport,
        meta_header=False,
    )


def _where(settings: SearchSettings) -> dict[str, Any]:
    if settings.elasticsearch_cloud_id is not None:
        return {"cloud_id": settings.elasticsearch_cloud_id}
    return {"hosts": [_with_port(url) for url in settings.elasticsearch_url]}


def _with_port(url: HttpUrl) -> str:
    """Return an address with its port, which the client insists on, and pydantic leaves out where it is the usual one."""
    parts = urlsplit(str(url))
    return str(url) if parts.port else parts._replace(netloc=f"{parts.netloc}:{url.port}").geturl()


def _who(settings: SearchSettings) -> dict[str, Any]:
    if settings.elasticsearch_api_key is not None:
        return {"api_key": settings.elasticsearch_api_key.get_secret_value()}
    if settings.elasticsearch_username is not None and settings.elasticsearch_password is not None:
        return {"basic_auth": (settings.elasticsearch_username, settings.elasticsearch_password.get_secret_value())}
    return {}


def _certificates(settings: SearchSettings) -> dict[str, Any]:
    files = {
        "ca_certs": settings.elasticsearch_ca_certs,
        "client_cert": settings.elasticsearch_client_cert,
        "client_key": settings.elasticsearch_client_key,
    }
    return {name: str(path) for name, path in files.items() if path is not None}
