"""The live page: deliveries arrive on its stream as they change, for the own account alone, until access ends."""

import asyncio
from typing import Any

import httpx
import orjson
import pytest
from pydantic import HttpUrl, SecretStr
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.users.roles import Role
from newswire_notify.settings import NotifySettings
from tests.notify.conftest import Receiver
from tests.notify.notify_server import served
from tests.notify.portal.conftest import Portal


async def test_deliveries_arrive_on_the_stream_until_the_session_ends(
    portal: Portal, receiver: Receiver, redis: Redis, redis_url: str, keys: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("newswire_notify.portal.live_pages.CHECK_SECONDS", 0.1)
    monkeypatch.setattr("newswire_notify.portal.live_pages.POLL_SECONDS", 0.05)
    await portal.subscribe(f"{receiver.url}/a", rate=0.001)
    await portal.subscribe(f"{receiver.url}/b", account="Valley Radio")
    user = await portal.user(Role.SUBSCRIBER)
    started = await portal.users.sessions.start(user, address=None, user_agent="")
    settings = NotifySettings(
        redis_url=SecretStr(redis_url),
        namespace=keys.namespace,
        allow_volatile=True,
        webhook_allow_private=True,
        public_url=HttpUrl("http://news.example"),
    )
    seen: list[dict[str, Any]] = []
    async with (
        served(redis, settings) as (url, _),
        httpx.AsyncClient(base_url=url, cookies={"newswire-session": started.token}, timeout=60) as http,
        http.stream("GET", "/portal/live/stream") as stream,
    ):
        assert (stream.status_code, stream.headers["cache-control"]) == (200, "no-store")
        await portal.desk.put("a1")
        async with asyncio.timeout(60):
            async for line in stream.aiter_lines():
                if line == "event: ended":
                    break
                if line.startswith("data: "):
                    seen.append(orjson.loads(line.removeprefix("data: ")))
                    if seen[-1].get("state") == "delivered":
                        await portal.users.sessions.end(user.id, started.id)
    assert {each["endpoint"].partition("/")[2] for each in seen} == {"a"}
    assert (seen[-1]["state"], seen[-1]["attempts"], seen[-1]["type"]) == ("delivered", 1, "published")
    assert seen[-1]["title"] == "The ferry leaves on time"
    assert seen[-1]["path"].startswith("/portal/subscriptions/sub_")
