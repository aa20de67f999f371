"""Who may read the live stream, and how much of it: keys, tokens, entitlements, and how many at a time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from newswire.auth.accounts import disable_account, entitle_account
from newswire.auth.api_keys import create_key, revoke_key
from newswire.auth.credentials import Caller, Scope, key_record
from newswire.auth.tombstone_readers import digest_of, readers_field
from newswire.filters import Filter
from newswire.http.client_address import client_network
from newswire.keys import Keyspace
from newswire.observability import metrics
from newswire_notify.settings import NotifySettings
from newswire_notify.streaming.connection_limiter import (
    ConnectionLimiter,
    ConnectionsExhaustedError,
    TooManyConnectionsError,
)
from newswire_notify.streaming.event_names import ENDED
from tests.notify.conftest import Desk, until
from tests.notify.notify_server import served
from tests.notify.sse_reader import following

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(redis_url: str, namespace: str) -> NotifySettings:
    return NotifySettings(
        redis_url=SecretStr(redis_url),
        namespace=namespace,
        allow_volatile=True,
        public_read=False,
        live_per_key=3,
        live_per_address=5,
    )


@pytest.fixture
async def url(redis: Redis, settings: NotifySettings) -> AsyncIterator[str]:
    async with served(redis, settings) as (address, _):
        yield address


async def token_for(url: str, key: str, **sent: Any) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        return await http.post(f"{url}/v1/stream/tokens", json=sent, headers={"Authorization": f"Bearer {key}"})


async def status(url: str, **params: str) -> int:
    async with httpx.AsyncClient() as http, http.stream("GET", f"{url}/v1/stream", params=params) as answer:
        return answer.status_code


async def test_a_token_is_limited_by_its_filter_and_account(url: str, redis: Redis, keys: Keyspace, desk: Desk) -> None:
    await entitle_account(redis, keys, "Reading Room", None)
    key = await create_key(redis, keys, "Reading Room", {Scope.READ})
    await entitle_account(redis, keys, "Reading Room", Filter(publishers=["harbour-post"]))
    made = await token_for(url, key.token, filter={"topics": ["Ferries"]}, expires_in=60)
    assert made.status_code == 201, made.text
    assert made.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in made.headers
    token = made.json()["token"]
    async with (
        following(url, token=token) as whole,
        following(url, token=token, q="night") as narrower,
        following(url, key=key.token) as by_key,
    ):
        await desk.put("a1", topics=["Ferries"])
        await desk.put("a2", topics=["Ferries"], title="The night boat")
        await desk.put("a3", topics=["Bridges"])
        await desk.put("a4", topics=["Ferries"], publisher="valley-times")
        await desk.put("a5", topics=["Ferries"], title="Night again")
        await until(lambda: whole.ids == ["a1.1", "a2.1", "a5.1"])
        await until(lambda: narrower.ids == ["a2.1", "a5.1"])
        await until(lambda: by_key.ids == ["a1.1", "a2.1", "a3.1", "a5.1"])


async def test_invalid_tokens_are_refused(url: str, redis: Redis, keys: Keyspace) -> None:
    reader = await create_key(redis, keys, "Reading Room", {Scope.READ})
    subscriber = await create_key(redis, keys, "Reading Room", {Scope.SUBSCRIBE})
    assert (await token_for(url, subscriber.token)).status_code == 403
    assert (await token_for(url, "nw_x")).status_code == 401
    for wrong in (
        {"expires_in": 601},
        {"expires_in": 0},
        {"filter": {"limiter": ["here"]}},
        {"filter": {"topics": [f"a topic of quite some length, number {number}" for number in range(100)]}},
    ):
        answer = await token_for(url, reader.token, **wrong)
        assert answer.status_code == 422, wrong
    token = (await token_for(url, reader.token)).json()["token"]
    assert await status(url, token=token) == 200
    middle = len(token) // 2
    for wrong_token in (
        "",
        "nwt_",
        token[:-2],
        token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :],
        token + "AAAA",
        token.removeprefix("nwt_"),
        reader.token,
        "nwt_" + "é" * 9,
    ):
        assert await status(url, token=wrong_token) == 401, wrong_token
    async with httpx.AsyncClient() as http:
        both = {"Authorization": f"Bearer {reader.token}"}
        answer = await http.get(f"{url}/v1/stream", params={"token": token}, headers=both)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "token")
    await revoke_key(redis, keys, reader.id)
    assert await status(url, token=token) == 401


async def test_clients_that_lose_access_are_disconnected_with_a_resume_position(
    url: str, redis: Redis, keys: Keyspace, desk: Desk
) -> None:
    key = await create_key(redis, keys, "Reading Room", {Scope.READ})
    other = await create_key(redis, keys, "Other Room", {Scope.READ})
    token = (await token_for(url, key.token, expires_in=2)).json()["token"]
    async with following(url, key=other.token) as unconcerned:
        async with following(url, token=token) as short:
            entry = await desk.put("a1")
            await until(short.ended.is_set)
            assert short.stream_events(ENDED) == [{"reason": "expired", "resume_from": entry.entry_id}]
            assert short.events[-1].id == entry.entry_id
        assert await status(url, token=token) == 401
        async with following(url, key=key.token) as wide:
            await entitle_account(redis, keys, "Reading Room", Filter(publishers=["valley-times"]))
            await until(wide.ended.is_set)
            assert wide.stream_events(ENDED) == [{"reason": "access_changed", "resume_from": entry.entry_id}]
        async with following(url, key=key.token, after=entry.entry_id) as narrow:
            await desk.put("a2")
            await desk.put("a3", publisher="valley-times")
            await until(lambda: narrow.ids == ["a3.1"])
            await disable_account(redis, keys, "Reading Room")
            await until(narrow.ended.is_set)
        await until(lambda: unconcerned.ids == ["a1.1", "a2.1", "a3.1"])
        assert not unconcerned.ended.is_set()
        await redis.hset(key_record(keys, other.id), "expires", 1)
    assert await status(url) == 401


async def test_streams_per_key_and_address_are_limited(url: str, redis: Redis, keys: Keyspace, desk: Desk) -> None:
    rooms = [await create_key(redis, keys, name, {Scope.READ}) for name in ("Reading Room", "Other Room")]
    async with AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(following(url, key=rooms[0].token)) for _ in range(3)]
        async with httpx.AsyncClient() as http:

            async def ask(room: int, **more: str) -> httpx.Response:
                headers = {"Authorization": f"Bearer {rooms[room].token}", **more}
                async with http.stream("GET", f"{url}/v1/stream", headers=headers) as answer:
                    if answer.status_code != 200:
                        await answer.aread()
                    return answer

            refused = await ask(0)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) > 0
            assert refused.json()["type"].endswith("too-many-streams")
            assert "key" in refused.json()["detail"]
            for _ in range(2):
                await stack.enter_async_context(following(url, key=rooms[1].token))
            assert "address" in (await ask(1)).json()["detail"]
            # The client behind a trusted proxy (here any local one) is the one that the proxy names.
            assert (await ask(1, **{"X-Forwarded-For": "198.51.100.7"})).status_code == 200
    await until(lambda: all(reader.ended.is_set() or reader.opened.is_set() for reader in readers))

    async def free_again() -> bool:
        return await status_with(url, rooms[0].token) == 200

    await until(free_again)


async def status_with(url: str, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient() as http, http.stream("GET", f"{url}/v1/stream", headers=headers) as answer:
        return answer.status_code


def test_connections_are_counted_by_key_and_network() -> None:
    limiter = ConnectionLimiter(max_connections=6, per_key=2, per_address=2)
    a, b = (Caller("a", key, frozenset()) for key in "ab")

    def admitted(caller: Caller | None, address: str | None) -> contextlib.AbstractContextManager[None]:
        return limiter.admit(caller, client_network(address) if address else None)

    def why(caller: Caller | None, address: str | None) -> int | None:
        try:
            with admitted(caller, address):
                return None
        except TooManyConnectionsError:
            return 429
        except ConnectionsExhaustedError:
            return 503

    with contextlib.ExitStack() as stack:
        for address in ("192.0.2.1", "::ffff:192.0.2.1"):
            stack.enter_context(admitted(None, address))
        assert why(None, "192.0.2.1") == 429
        for address in ("2001:db8::1", "2001:db8::ffff:2"):
            stack.enter_context(admitted(a, address))
        assert why(b, "2001:db8:0:0:9::") == 429
        assert why(b, "2001:db8:0:1::") is None
        assert why(a, "192.0.2.2") == 429
        stack.enter_context(admitted(b, None))
        stack.enter_context(admitted(b, "/run/socket"))
        assert why(None, "192.0.2.9") == 503
    assert limiter == ConnectionLimiter(6, 2, 2)


async def test_disabling_an_account_or_revoking_a_key_ends_open_streams_and_waiting_pulls(
    url: str, redis: Redis, keys: Keyspace, desk: Desk
) -> None:
    key = await create_key(redis, keys, "Reading Room", {Scope.READ})
    other = await create_key(redis, keys, "Other Room", {Scope.READ})
    token = (await token_for(url, key.token)).json()["token"]
    readers = metrics.live_clients._value.get()
    async with (
        httpx.AsyncClient(base_url=url, timeout=90) as http,
        following(url, token=token) as by_token,
        following(url, key=key.token) as by_key,
        following(url, key=other.token) as by_other,
    ):

        def pull(token: str) -> asyncio.Task[httpx.Response]:
            headers = {"Authorization": f"Bearer {token}"}
            return asyncio.create_task(http.get("/v1/events", params={"wait": "60"}, headers=headers))

        waiting, others = pull(key.token), pull(other.token)
        await until(lambda: metrics.live_clients._value.get() >= readers + 5)
        await disable_account(redis, keys, "Reading Room")
        refused = await asyncio.wait_for(waiting, 60)
        assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
        await until(lambda: by_token.ended.is_set() and by_key.ended.is_set())
        await desk.put("a1")
        await until(lambda: by_other.ids == ["a1.1"])
        assert (await asyncio.wait_for(others, 60)).json()["events"]
        assert by_token.ids == by_key.ids == []
        assert await status(url, token=token) == 401
        waiting = pull(other.token)
        await until(lambda: metrics.live_clients._value.get() >= readers + 2)
        await revoke_key(redis, keys, other.id)
        assert (await asyncio.wait_for(waiting, 60)).status_code == 401


async def test_a_key_revoked_during_its_request_opens_no_stream(
    url: str, redis: Redis, keys: Keyspace, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client misses account changes that were read before it was registered."""
    key = await create_key(redis, keys, "Reading Room", {Scope.READ})

    async def revoked(*_: object) -> None:
        return None

    for module in ("live_api", "events_api"):
        monkeypatch.setattr(f"newswire_notify.streaming.{module}.find_caller", revoked)
    async with following(url, key=key.token) as stream, httpx.AsyncClient(base_url=url) as http:
        await until(lambda: stream.ended.is_set())
        headers = {"Authorization": f"Bearer {key.token}"}
        assert (await http.get("/v1/events", params={"wait": "60"}, headers=headers)).status_code == 401
    assert stream.ids == []


async def retracted_for(desk: Desk, article: str, *readers: Filter) -> None:
    """Retract an article as ingest does, which stores the entitlements that could read it."""
    noted = " ".join(map(digest_of, readers))
    await desk.redis.hset(desk.keys.article(article), mapping={"version": 1, readers_field(1): noted})
    await desk.put_retraction(article, 1)


async def test_a_retraction_is_shown_only_to_accounts_that_could_read_the_article(
    url: str, redis: Redis, keys: Keyspace, desk: Desk
) -> None:
    entitlements = {"ferries": Filter(query="ferry"), "nights": Filter(metadata={"desk": "night"})}
    tokens = {}
    for name, entitlement in entitlements.items():
        tokens[name] = (await create_key(redis, keys, name, {Scope.READ})).token
        await entitle_account(redis, keys, name, entitlement)
    tokens["everything"] = (await create_key(redis, keys, "everything", {Scope.READ})).token
    expected = {
        "ferries": ["a1.1.retracted", "end.1"],
        "nights": ["a2.1.retracted", "end.1"],
        "everything": ["a1.1.retracted", "a2.1.retracted", "end.1"],
    }
    async with AsyncExitStack() as stack:
        live = {name: await stack.enter_async_context(following(url, key=token)) for name, token in tokens.items()}
        await retracted_for(desk, "a1", entitlements["ferries"])
        await retracted_for(desk, "a2", entitlements["nights"])
        await desk.put("end", metadata={"desk": "night"})
        for name, ids in expected.items():
            await until(lambda name=name, ids=ids: live[name].ids == ids)  # type: ignore[misc]
    async with httpx.AsyncClient(base_url=url) as http:
        for name, token in tokens.items():
            headers = {"Authorization": f"Bearer {token}"}
            page = (await http.get("/v1/events", params={"after": "0-1"}, headers=headers)).json()
            assert [event["id"] for event in page["events"]] == expected[name], name
    for name, token in tokens.items():
        async with following(url, after="0-0", key=token) as resumed:
            await until(lambda name=name, resumed=resumed: resumed.ids == expected[name])  # type: ignore[misc]
