"""Every read route of every service is limited."""

import re
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import SecretStr
from redis.asyncio import Redis

from newswire.http.application import create_app
from newswire.settings import Settings
from newswire_ingest.app import service as ingest
from newswire_notify.app import service as notify
from newswire_search.app import service as search

WITHOUT_LIMIT = {"/healthz", "/readyz", "/status", "/metrics", "/robots.txt", "/assets/{name}"}
PARTS = {"form": "xml", "field": "topic", "name": "2026-03", "path": "a"}
PAGES = {
    "/",
    "/search",
    "/live",
    "/about",
    "/sections",
    "/favicon.ico",
    "/sign-in",
    "/sign-in/{token}",
    "/invitation/{token}",
    "/reset-password/{token}",
    "/forgot-password",
    "/preview/{token}",
    "/account",
    "/account/prove",
    "/account/prove/passkey/options",
    "/account/passkeys/options",
    "/sign-in/passkey/options",
    "/sign-in/openid/{provider}/callback",
    "/users",
    "/users/{user_id}",
    "/sections/{value}",
    "/topics/{value}",
    "/authors/{value}",
    "/articles/{article_id}",
    "/articles/{article_id}/{slug}",
}


async def test_every_route_that_is_read_without_a_key_is_limited(
    redis: Redis, redis_url: str, namespace: str, tmp_path: Path
) -> None:
    settings = Settings(
        redis_url=SecretStr(redis_url), namespace=namespace, data_dir=tmp_path, allow_volatile=True, read_rate=0.1
    )
    async with AsyncExitStack() as stack:
        services = [await stack.enter_async_context(each(settings)) for each in (ingest, search, notify)]
        app = create_app(services, settings, redis=redis)
        transport = httpx.ASGITransport(app, client=("198.51.100.7", 4711))
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url=settings.site))
        assert (await http.get("/v1/search/suggest?q=a")).status_code == 200
        limited = set()
        for context in iter_route_contexts(app.routes):
            path = context.path_format or ""
            if not isinstance(context.original_route, APIRoute) or "GET" not in (context.methods or ()):
                continue
            address = re.sub(r"{(\w+)(:\w+)?}", lambda part: PARTS.get(part[1], "a"), path)
            answer = await http.get(address)
            if answer.status_code == 401 or path in WITHOUT_LIMIT:
                continue
            if path.startswith("/mail"):  # the mails of `newswire run`, for clients on this machine only
                assert answer.status_code == 404, path
                continue
            assert answer.status_code == 429, path
            assert int(answer.headers["retry-after"]) >= 1, path
            is_page = path in PAGES or path.startswith(("/newsletters", "/desk", "/portal"))
            kind = "text/html; charset=utf-8" if is_page else "application/problem+json"
            assert answer.headers["content-type"] == kind, path
            limited.add(path)
    assert limited >= PAGES | {"/v1/search", "/v1/stream", "/v1/events", "/sitemap.xml", "/v1/topics", "/openapi.json"}
