"""Routes that are called without the layers of the framework respond exactly as the framework does."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Path, Request, Response
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from redis.asyncio import Redis
from starlette.responses import StreamingResponse

from newswire.http import direct_routes
from newswire.http.application import Service, create_app
from newswire.http.direct_routes import directly_called
from newswire.http.page_routes import page_route
from newswire.http.problems import ProblemError, not_found
from newswire.settings import Settings
from newswire_ingest.app import assemble
from newswire_ingest.settings import IngestSettings

Part = Annotated[str, Path(description="A part of the path.")]


async def note(request: Request) -> list[str]:
    """The request's list of calls, which the response shows."""
    request.state.calls = [*getattr(request.state, "calls", []), "note"]
    return request.state.calls


async def first(request: Request, calls: Annotated[list[str], Depends(note)]) -> str:
    calls.append("first")
    if request.headers.get("refuse"):
        raise not_found("thing")
    return "1"


async def of_path(thing: Part, calls: Annotated[list[str], Depends(note)]) -> str:
    calls.append(f"of_path {thing}")
    return thing.upper()


async def guard(calls: Annotated[list[str], Depends(note)]) -> None:
    calls.append("guard")


async def error_page(_: Request, problem: ProblemError) -> Response:
    return Response(f"<p>{problem.detail}", problem.status, media_type="text/html")


def shown(request: Request, *values: object) -> Response:
    return Response(
        "|".join(map(str, (*request.state.calls, *values, request.scope["route"].path, request.scope["path_params"])))
    )


def routes() -> APIRouter:
    router = APIRouter(prefix="/v1/things", dependencies=[Depends(guard)])

    @router.get("/{thing}")
    async def one(
        request: Request, a: Annotated[str, Depends(first)], thing: Part, b: Annotated[str, Depends(of_path)]
    ) -> Response:
        return shown(request, a, thing, b)

    @router.get("/special")
    async def hidden(request: Request) -> Response:  # the route before it has this address too
        return shown(request, "hidden")

    @router.post("/special")
    async def special(request: Request, a: Annotated[str, Depends(first)]) -> Response:
        return shown(request, a, (await request.body()).decode())

    @router.get("/{thing:path}/parts")
    async def parts(request: Request, thing: Part) -> Response:
        return shown(request, thing)

    @router.get("/numbered/{number}")
    async def numbered(request: Request, number: int) -> Response:
        return shown(request, number)

    @router.put("/{thing}", status_code=202)
    async def put(thing: str) -> dict[str, str]:
        return {"thing": thing}

    @router.delete("/{thing}")
    def delete(thing: str) -> Response:
        return Response(status_code=204)

    return router


def failing() -> APIRouter:
    router = APIRouter(prefix="/fail")

    @router.get("/unexpectedly")
    async def unexpectedly() -> Response:
        raise RuntimeError("secret detail")

    @router.get("/by-domain")
    async def by_domain() -> Response:
        raise LookupError("known")

    @router.get("/late")
    async def late() -> Response:
        async def begun() -> AsyncIterator[bytes]:
            yield b"begun"
            raise LookupError("known")

        return StreamingResponse(begun())

    return router


def pages() -> APIRouter:
    router = APIRouter(route_class=page_route(error_page), dependencies=[Depends(note)])

    @router.get("/{page}")
    async def page(request: Request, page: Part) -> Response:
        if page == "broken":
            raise RuntimeError("secret detail")
        return shown(request, page)

    return router


def app_of(redis: Redis) -> FastAPI:
    known: Any = {LookupError: lambda error: not_found(str(error))}
    service = Service("things", [routes(), failing(), pages()], problems=known)
    return create_app([service], Settings(), redis=redis)


REQUESTS = [
    ("GET", "/v1/things/a%2Fb"),
    ("GET", "/v1/things/special"),
    ("POST", "/v1/things/special"),
    ("HEAD", "/v1/things/special"),
    ("GET", "/v1/things/a/b/c/parts"),
    ("GET", "/v1/things/%C3%A9%FF"),
    ("GET", "/v1/things/numbered/12"),
    ("GET", "/v1/things/numbered/twelve"),
    ("PUT", "/v1/things/special"),
    ("DELETE", "/v1/things/special"),
    ("PATCH", "/v1/things/special"),
    ("POST", "/v1/things/other"),
    ("GET", "/v1/things/a/b"),
    ("GET", "/v1/things/"),
    ("GET", "/v1/things"),
    ("GET", "/fail/unexpectedly"),
    ("GET", "/fail/by-domain"),
    ("POST", "/fail/by-domain"),
    ("GET", "/a-page"),
    ("GET", "/broken"),
    ("GET", "/a/page"),
    ("GET", "//v1/things/special"),
    ("GET", "/"),
]


async def test_every_response_is_that_of_the_framework(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    async def answers(app: FastAPI) -> dict[str, tuple[int, list[tuple[str, str]], str]]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="https://news.example") as http:
            made = {
                f"{method} {path} {headers}": await http.request(method, path, content=b"sent", headers=headers)
                for method, path in REQUESTS
                for headers in (
                    {"x-request-id": "1"},
                    {"refuse": "1", "x-request-id": "2"},
                    {"accept": "text/html", "x-request-id": "3"},
                )
            }
            return {each: (got.status_code, sorted(got.headers.items()), got.text) for each, got in made.items()}

    direct = await answers(app_of(redis))
    with monkeypatch.context() as patched:
        patched.setattr(direct_routes, "_handler", lambda _: None)
        by_framework = await answers(app_of(redis))
    assert {each: (got, by_framework[each]) for each, got in direct.items() if got != by_framework[each]} == {}
    shown_texts = [text for _, _, text in direct.values()]
    assert "note|guard|first|of_path special|1|special|SPECIAL|/v1/things/{thing}|{'thing': 'special'}" in shown_texts
    assert not any("hidden" in text or "secret" in text for text in shown_texts)


async def test_spans_have_the_names_that_the_framework_gives_them(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, recorded_spans: InMemorySpanExporter
) -> None:
    async def spans(app: FastAPI) -> list[tuple[str, dict[str, Any]]]:
        recorded_spans.clear()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="https://news.example") as http:
            for method, path in REQUESTS:
                await http.request(method, path, content=b"sent")
        made = [each for each in recorded_spans.get_finished_spans() if each.kind is SpanKind.SERVER]
        return [(each.name, dict(each.attributes or {})) for each in made]

    direct = await spans(app_of(redis))
    monkeypatch.setattr(direct_routes, "_handler", lambda _: None)
    assert direct == await spans(app_of(redis))
    names = {name for name, _ in direct}
    assert {"HEAD /v1/things/{thing}", "POST /v1/things/special", "GET /v1/things/{thing}/parts"} <= names


async def test_a_route_is_called_directly_unless_it_needs_the_framework(redis: Redis) -> None:
    found = {
        (method, each.path): direct for each, direct in directly_called(app_of(redis)) for method in each.methods or ()
    }
    left = {key for key, direct in found.items() if not direct}
    assert left == {
        ("GET", "/v1/things/numbered/{number}"),
        ("PUT", "/v1/things/{thing}"),
        ("DELETE", "/v1/things/{thing}"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/status"),
    }


async def test_an_error_after_the_response_has_begun_ends_it(redis: Redis) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/fail/late", "headers": [], "query_string": b""}
    with pytest.raises(RuntimeError, match="response had begun"):
        await app_of(redis)(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


async def test_routes_of_ingest_that_are_called_often_need_no_framework(redis: Redis) -> None:
    settings = IngestSettings()
    found = {
        (method, each.path): direct
        for each, direct in directly_called(create_app([assemble(redis, settings)], settings, redis=redis))
        for method in each.methods or ()
    }
    left = sorted(f"{method} {path}" for (method, path), direct in found.items() if not direct)
    assert left == [
        "GET /desk/articles/{article_id}/versions/{number}",
        "GET /healthz",
        "GET /readyz",
        "GET /status",
        "GET /v1/articles/{article_id}/versions/{number}",
        "GET /v1/drafts/{draft_id}/revisions/{number}",
        "POST /v1/drafts/{draft_id}/revisions/{number}/restore",
    ]
