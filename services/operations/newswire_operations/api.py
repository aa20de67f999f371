"""The routes of operations: each queries every replica of every service and answers for all of them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import httpx
from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from newswire.http.standard_routes import check_results, status_results
from newswire_operations.exposition import merge, metrics_pages
from newswire_operations.health import reachability, release_of, reported
from newswire_operations.replicas import ReplicaResponse, query_replicas


def router(
    http: httpx.AsyncClient, services: Mapping[str, Sequence[httpx.URL]], documents: Mapping[str, Response]
) -> APIRouter:
    """Make the routes. They take precedence over the routes of the same paths that every app has."""
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> dict[str, object]:
        responses = await query_replicas(http, services, "/healthz")
        return check_results(reachability(responses), "ok", replicas=_instances(responses))

    @router.get("/readyz")
    async def readyz() -> dict[str, object]:
        responses = await query_replicas(http, services, "/readyz")
        checks = reachability(responses) | reported(responses, "checks")
        return check_results(checks, "ready", replicas=_instances(responses))

    @router.get("/status")
    async def status() -> dict[str, object]:
        responses = await query_replicas(http, services, "/status")
        checks = reachability(responses) | reported(responses, "checks")
        return status_results(
            checks,
            reported(responses, "loops"),
            versions=_versions(responses),
            services=list(services),
            replicas=_instances(responses),
        )

    @router.get("/metrics")
    async def metrics() -> Response:
        responses = await query_replicas(http, services, "/metrics")
        return Response(merge(metrics_pages(responses)), media_type=CONTENT_TYPE_LATEST)

    for path, document in documents.items():
        router.add_api_route(path, _constant(document))
    return router


def _instances(responses: Sequence[ReplicaResponse]) -> dict[str, list[str]]:
    """Return the replicas that were queried, by service."""
    instances: dict[str, list[str]] = {}
    for response in responses:
        instances.setdefault(response.service, []).append(response.instance)
    return instances


def _versions(responses: Sequence[ReplicaResponse]) -> dict[str, list[str]]:
    """Return the releases that the replicas of each service run: several during a rolling upgrade."""
    found: dict[str, set[str]] = {}
    for response in responses:
        if release := release_of(response):
            found.setdefault(response.service, set()).add(release)
    return {service: sorted(releases) for service, releases in found.items()}


def _constant(document: Response) -> Callable[[], Awaitable[Response]]:
    async def endpoint() -> Response:
        return document

    return endpoint
