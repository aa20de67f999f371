"""Responses are compressed as the client allows, and nothing else about them changes."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import httpx
import pytest
import zstandard
from fastapi import APIRouter, FastAPI, Response
from redis.asyncio import Redis
from starlette.responses import StreamingResponse

from newswire.http.application import Service, create_app
from newswire.http.compression import INLINE_BYTES, MIN_BYTES, chosen_coding
from newswire.settings import Settings

PAGE = "<p>The ferry sails again. </p>" * 200
LONG = "<p>The ferry sails again. </p>" * 20_000


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("gzip, deflate, br", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd;q=0.5, gzip;q=0.9", "gzip"),
        ("gzip;q=0", None),
        ("zstd;q=0, gzip", "gzip"),
        ("*", "gzip"),
        ("gzip;q=0, *", None),
        ("*;q=0", None),
        ("br", None),
        ("gzip;q=nonsense", None),
        ("gzip ; q=0.3", "gzip"),
        (",,gzip,,", "gzip"),
    ],
)
def test_the_coding_follows_the_weights(accepted: str, coding: str | None) -> None:
    assert chosen_coding(accepted) == coding


def app() -> FastAPI:
    routes = APIRouter()

    def answer(path: str, content: str | bytes, media_type: str, **headers: str) -> None:
        async def respond() -> Response:
            return Response(
                content, media_type=media_type, headers={k.replace("_", "-"): v for k, v in headers.items()}
            )

        routes.add_api_route(path, respond, methods=["GET", "POST"])

    answer("/page", PAGE, "text/html")
    answer("/long", LONG, "text/html")
    answer("/short", "x" * (MIN_BYTES - 1), "text/html")
    answer("/json", PAGE, "application/feed+json")
    answer("/feed", PAGE, "application/rss+xml")
    answer("/image", PAGE, "image/png")
    answer("/weak", PAGE, "text/html", etag='W/"1"')
    answer("/strong", PAGE, "application/json", etag='"1-0"')
    answer("/already", gzip.compress(PAGE.encode() * 9), "text/html", content_encoding="gzip")

    @routes.get("/unchanged")
    async def unchanged(strong: bool = False) -> Response:
        return Response(status_code=304, headers={"etag": '"1-0"' if strong else 'W/"1"'})

    @routes.get("/stream")
    async def stream() -> StreamingResponse:
        async def lines() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b"data: " + b"x" * MIN_BYTES + b"\n\n"
                await asyncio.sleep(0)

        return StreamingResponse(lines(), media_type="text/plain")

    return create_app([Service("routes", [routes])], Settings(), redis=Redis())  # never connected


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app())
    async with httpx.AsyncClient(transport=transport, base_url="https://news.example") as http:
        yield http


async def raw(client: httpx.AsyncClient, path: str, accepted: str, method: str = "GET") -> tuple[httpx.Headers, bytes]:
    """Return headers and the body as it was sent."""
    async with client.stream(method, path, headers={"Accept-Encoding": accepted}) as answer:
        assert answer.status_code == 200
        return answer.headers, b"".join([chunk async for chunk in answer.aiter_raw()])


@pytest.mark.parametrize("path", ["/page", "/long", "/json", "/feed", "/weak"])
async def test_texts_are_compressed(client: httpx.AsyncClient, path: str) -> None:
    plain = (LONG if path == "/long" else PAGE).encode()
    assert (len(plain) > INLINE_BYTES) is (path == "/long")
    for accepted in ("gzip", "zstd"):
        headers, body = await raw(client, path, accepted)
        assert headers["content-encoding"] == accepted
        assert int(headers["content-length"]) == len(body) < len(plain) / 5
        assert "Accept-Encoding" in headers["vary"]
        decoded = gzip.decompress(body) if accepted == "gzip" else zstandard.ZstdDecompressor().decompress(body)
        assert decoded == plain
    headers, body = await raw(client, path, "identity")
    assert "content-encoding" not in headers
    assert "Accept-Encoding" in headers["vary"]
    assert body == plain


@pytest.mark.parametrize("path", ["/short", "/image", "/strong", "/stream"])
async def test_others_are_sent_as_they_are(client: httpx.AsyncClient, path: str) -> None:
    headers, _ = await raw(client, path, "gzip")
    assert "content-encoding" not in headers


@pytest.mark.parametrize(
    ("query", "varies"), [("", {"Authorization", "Accept-Encoding"}), ("?strong=1", {"Authorization"})]
)
async def test_a_304_varies_as_the_response_that_it_confirms(
    client: httpx.AsyncClient, query: str, varies: set[str]
) -> None:
    answer = await client.get(f"/unchanged{query}", headers={"Accept-Encoding": "gzip"})

    assert answer.status_code == 304
    assert set(answer.headers.get_list("vary", split_commas=True)) == varies


async def test_nothing_is_compressed_twice_or_after_a_write(client: httpx.AsyncClient) -> None:
    headers, body = await raw(client, "/already", "gzip, zstd")
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(body) == PAGE.encode() * 9
    headers, _ = await raw(client, "/page", "gzip", "POST")
    assert "content-encoding" not in headers


async def test_head_has_the_headers_of_get(client: httpx.AsyncClient) -> None:
    for path in ("/page", "/short"):
        got, _ = await raw(client, path, "gzip")
        headed, body = await raw(client, path, "gzip", "HEAD")
        assert body == b""
        for name in ("content-encoding", "content-length", "vary"):
            assert headed.get(name) == got.get(name)
