"""The routes that every service has: health, metrics and API documents."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from typing import Literal

import orjson
from fastapi import APIRouter, Depends, FastAPI, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.responses import HTMLResponse, Response

from newswire.http import templating as pages
from newswire.http.conditional_responses import conditional_response
from newswire.http.health import Health, Results
from newswire.http.problem_responses import problems
from newswire.http.problems import problem
from newswire.http.read_limits import Cost, charged_without_key
from newswire.observability.json_logging import redact

RELEASE = version("newswire")
EXPENSIVE = Depends(charged_without_key(Cost.LISTING))
"""For documents that take time to generate, and require no key."""


class StatusReport(BaseModel):
    """The state of a process that is wholly well."""

    status: Literal["ok"]
    version: str
    """The release that the process runs."""
    services: list[str]
    checks: dict[str, str]
    """Each dependency and each part of the process that is checked: `ok`, or what is wrong."""
    loops: dict[str, str]
    """Each background loop: `ok`, or what is wrong."""


def standard_routes(
    app: FastAPI, health: Health, services: Sequence[str], describe_streams: Callable[[], bytes]
) -> APIRouter:
    """Return the standard routes of an app with these services."""
    router = APIRouter(tags=["operations"])

    @router.get("/healthz", summary="Is the process alive?")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get(
        "/readyz",
        summary="Can it answer requests? Not before its start is complete, and not once it stops.",
        responses=problems("not-ready"),
    )
    async def readyz() -> dict[str, object]:
        return check_results(await health.readiness(), "ready")

    @router.get(
        "/status",
        summary="Is it wholly well? 503 says which dependency or background loop is not.",
        response_model=StatusReport,
        responses=problems("degraded"),
    )
    async def status() -> dict[str, object]:
        checks = await health.status()
        return status_results(checks, health.loops, version=RELEASE, services=list(services))

    @router.get(
        "/metrics",
        summary="Metrics in the Prometheus text format",
        response_class=Response,
        dependencies=[EXPENSIVE],
        responses={200: {"content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        await health.record()
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    description = _computed_once(lambda: orjson.dumps(app.openapi()))

    @router.get("/openapi.json", include_in_schema=False, dependencies=[EXPENSIVE])
    async def openapi(request: Request) -> Response:
        return conditional_response(request, await description(), "application/json", private=False)

    streams = _computed_once(describe_streams)

    @router.get("/asyncapi", include_in_schema=False, dependencies=[EXPENSIVE])
    async def streams_document(request: Request) -> Response:
        return conditional_response(request, await streams(), "application/json", private=False)

    described_page = _computed_once(lambda: bytes(pages.render("docs.html", document=app.openapi()).body))

    @router.get("/docs", include_in_schema=False, dependencies=[EXPENSIVE])
    async def docs() -> Response:
        return HTMLResponse(await described_page())

    return router


def check_results(checks: Results, status: str, **more: object) -> dict[str, object]:
    """Return the results of checks as a response.

    Raises:
        ProblemError: a check failed (503); the detail names the checks and the reasons.
    """
    results = {"checks": _redacted(checks)} | more
    if any(checks.values()):
        raise problem(503, "not-ready", _failures(*checks.items()), title="Not ready", extra=results)
    return {"status": status} | results


def status_results(checks: Results, loops: Results, **more: object) -> dict[str, object]:
    """Return the results of checks and the states of loops as a response.

    Raises:
        ProblemError: one of them failed (503); the detail names all that did, and the reasons.
    """
    results = more | {"checks": _redacted(checks), "loops": _redacted(loops)}
    if failures := _failures(*checks.items(), *loops.items()):  # a check and a loop may have one name
        raise problem(503, "degraded", failures, title="Degraded", extra=results)
    return {"status": "ok"} | results


def _redacted(results: Results) -> dict[str, str]:
    return {name: redact(failure) if failure else "ok" for name, failure in results.items()}


def _failures(*results: tuple[str, str | None]) -> str:
    return "; ".join(f"{name}: {redact(failure)}" for name, failure in results if failure)


def _computed_once(compute: Callable[[], bytes]) -> Callable[[], Awaitable[bytes]]:
    """Return a function that calls another one once, off the event loop, and returns its result from then on."""
    lock = asyncio.Lock()
    result: list[bytes] = []

    async def compute_once() -> bytes:
        async with lock:
            if not result:
                result.append(await asyncio.to_thread(compute))
        return result[0]

    return compute_once
