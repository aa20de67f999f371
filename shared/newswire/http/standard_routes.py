"""The routes that every service has: health, metrics and API documents."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import orjson
from fastapi import APIRouter, Depends, FastAPI, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError
from starlette.responses import HTMLResponse, Response

from newswire.http import templating as pages
from newswire.http.conditional_responses import conditional_response
from newswire.http.problem_responses import problems
from newswire.http.problems import problem
from newswire.http.read_limits import Cost, charged_without_key
from newswire.observability.json_logging import redact
from newswire.storage.redis_errors import reason

CHECK_SECONDS = 3.0


EXPENSIVE = Depends(charged_without_key(Cost.LISTING))
"""For documents that take time to generate, and require no key."""


def standard_routes(
    app: FastAPI,
    checks: Mapping[str, Callable[[], Awaitable[str | None]]],
    describe_streams: Callable[[], bytes],
) -> APIRouter:
    """Return the standard routes of an app."""
    router = APIRouter(tags=["operations"])

    run_checks = _shared_run(checks)

    @router.get("/healthz", summary="Is the process alive?")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get(
        "/readyz",
        summary="Can it do its work? 503 says why not.",
        responses=problems("not-ready"),
    )
    async def readyz() -> dict[str, object]:
        failures: dict[str, str | None] = {**await run_checks(), **app.state.failed_loops}
        if app.state.leaving.is_set():
            failures["process"] = "is stopping"
        return check_results(failures, "ready")

    @router.get(
        "/metrics",
        summary="Metrics in the Prometheus text format",
        response_class=Response,
        dependencies=[EXPENSIVE],
        responses={200: {"content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
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


def check_results(checks: Mapping[str, str | None], status: str, **more: object) -> dict[str, object]:
    """Return the results of checks, each None or the reason for its failure, as a response.

    Raises:
        ProblemError: a check failed (503); the detail names the checks and the reasons.
    """
    failed = {name: redact(reason) for name, reason in checks.items() if reason}
    results = {"checks": {name: failed.get(name, "ok") for name in checks}} | more
    if failed:
        detail = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise problem(503, "not-ready", detail, title="Not ready", extra=results)
    return {"status": status} | results


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


def _shared_run(
    checks: Mapping[str, Callable[[], Awaitable[str | None]]],
) -> Callable[[], Awaitable[dict[str, str | None]]]:
    """Return a function that runs all checks concurrently. Concurrent calls share one run: many requests cost as much as one."""
    running: asyncio.Task[dict[str, str | None]] | None = None

    async def run_all() -> dict[str, str | None]:
        return dict(zip(checks, await asyncio.gather(*map(_run_check, checks.values())), strict=True))

    async def shared() -> dict[str, str | None]:
        nonlocal running
        if running is None or running.done():
            running = asyncio.create_task(run_all())
        return await asyncio.shield(running)  # a client that disconnects must not cancel the others' checks

    return shared


async def _run_check(check: Callable[[], Awaitable[str | None]]) -> str | None:
    try:
        return await asyncio.wait_for(check(), CHECK_SECONDS)
    except TimeoutError:
        return f"did not answer within {CHECK_SECONDS:.0f} s"
    except RedisError as error:
        return reason(error)[:300]
    except Exception as error:  # noqa: BLE001 (any error is the result of the check)
        return repr(error)[:300]
