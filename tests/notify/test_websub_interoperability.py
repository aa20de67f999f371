"""Subscribers, proxies and feeds as they are found on the web, which other hubs have had trouble with."""

import asyncio
import gzip
import hashlib
import hmac
import re
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest
from aiohttp import web
from redis.asyncio import Redis

from newswire_notify.webhooks import http_client
from tests.notify.conftest import SITE, until
from tests.notify.websub_parts import LATEST, FeedServer, RunningHub, Subscribers, http_server, running_hub

pytestmark = pytest.mark.slow


@pytest.fixture
async def subscribers() -> AsyncIterator[Subscribers]:
    found = Subscribers()
    async with http_server(found.handle) as found.url:
        yield found


@pytest.fixture
async def feeds() -> AsyncIterator[FeedServer]:
    found = FeedServer()
    async with http_server(found.handle) as found.url:
        yield found


@pytest.fixture
async def hub(redis: Redis, namespace: str, feeds: FeedServer, subscribers: Subscribers) -> AsyncIterator[RunningHub]:
    async with running_hub(redis, namespace, feeds, subscribers) as running:
        yield running


class TestCallback:
    @pytest.mark.parametrize(
        ("written", "sent"),
        [
            ("/a?k=1", "/a?k=1"),
            ("/a?x=a%2Fb&y=%20+%3D&z", "/a?x=a%2Fb&y=%20+%3D&z"),
            ("/a?x=%c3%a9&x=%C3%A9&x=", "/a?x=%c3%a9&x=%C3%A9&x="),
            ("/a?token=~!$'()*,;:@", "/a?token=~!$'()*,;:@"),
            ("/a?hub.topic=mine&hub.mode=x&hub.challenge=y", "/a?hub.topic=mine&hub.mode=x&hub.challenge=y"),
            ("/%7Eme/a%2Fb;v=1//c", "/%7Eme/a%2Fb;v=1//c"),
            ("/a/%2e%2E/b", "/a/%2e%2E/b"),
            ("", "/"),
            ("?k=1", "/?k=1"),
            ("/a?x=é|y", "/a?x=%C3%A9%7Cy"),
        ],
    )
    async def test_path_and_query_are_requested_as_they_were_given(
        self, redis: Redis, namespace: str, feeds: FeedServer, written: str, sent: str
    ) -> None:
        requested: list[tuple[str, str]] = []

        async def handle(request: web.Request) -> web.StreamResponse:
            await request.read()
            requested.append((request.method, request.raw_path))
            challenge = request.query.getall("hub.challenge", [""])[-1]
            return web.Response(text=challenge)

        subscribers = Subscribers()
        async with (
            http_server(handle) as subscribers.url,
            running_hub(redis, namespace, feeds, subscribers) as hub,
        ):
            assert (await hub.request("subscribe", written)).status_code == 202
            await hub.holds(sent)
            await hub.published("<feed>1</feed>")
            await until(lambda: len(requested) == 2)
            await hub.request("unsubscribe", written)
            await hub.holds(sent, present=False)
        (_, verified), pushed, _ = requested
        assert pushed == ("POST", sent)
        separator = "&" if "?" in sent else "?"
        assert verified.startswith(f"{sent}{separator}hub.mode=subscribe&hub.topic=https%3A%2F%2F")

    async def test_an_international_name_and_an_ipv6_address_are_accepted_in_normal_form(self, hub: RunningHub) -> None:
        for callback in ("http://BÜCHER.example/a?x=%2F", "http://[::1]:9/a?x=%2F"):
            form = {"hub.mode": "subscribe", "hub.callback": callback, "hub.topic": LATEST}
            assert (await hub.http.post("/hub", data=form)).status_code == 202


class TestForm:
    @pytest.mark.parametrize(
        "media_type", ["application/x-www-form-urlencoded", "Application/X-WWW-Form-URLencoded ; Charset=utf-8"]
    )
    async def test_a_media_type_is_read_whatever_its_case(self, hub: RunningHub, media_type: str) -> None:
        form = httpx.QueryParams(
            {"hub.mode": "subscribe", "hub.callback": f"{hub.subscribers.url}/a", "hub.topic": LATEST}
        )
        response = await hub.http.post("/hub", content=str(form), headers={"Content-Type": media_type})
        assert response.status_code == 202
        await hub.holds("/a")

    async def test_a_multipart_form_is_refused_with_the_media_type_to_send(self, hub: RunningHub) -> None:
        parts = {"hub.mode": (None, "subscribe"), "hub.topic": (None, LATEST)}
        response = await hub.http.post("/hub", files=parts)
        assert response.status_code == 415
        assert "application/x-www-form-urlencoded" in response.text

    async def test_parameters_in_the_address_are_refused(self, hub: RunningHub) -> None:
        parameters = {"hub.mode": "subscribe", "hub.callback": f"{hub.subscribers.url}/a", "hub.topic": LATEST}
        response = await hub.http.post("/hub", params=parameters, data={"x": "y"})
        assert response.status_code == 422
        assert hub.subscribers.asked == []

    async def test_parameters_of_earlier_versions_of_the_protocol_are_ignored(self, hub: RunningHub) -> None:
        await hub.subscribe("/a", verify="sync", verify_token="subscribe9")
        assert set(hub.subscribers.asked[0][1]) == {"hub.mode", "hub.topic", "hub.challenge", "hub.lease_seconds"}


class TestVerification:
    async def test_no_coding_of_the_challenge_is_accepted(self, hub: RunningHub) -> None:
        headers: list[httpx.Headers] = []

        async def compressing(request: web.Request) -> web.StreamResponse:
            headers.append(httpx.Headers(dict(request.headers)))
            response = web.Response(text=request.query["hub.challenge"])
            if request.headers.get("Accept-Encoding") != "identity":
                response.enable_compression(web.ContentCoding.gzip)
            return response

        hub.subscribers.on_ask["/a"] = compressing
        await hub.subscribe("/a")
        assert headers[0]["Accept-Encoding"] == "identity"

    async def test_a_body_may_take_longer_than_its_headers(
        self, hub: RunningHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(http_client, "BODY_TIMEOUT_SECONDS", 0.01)

        async def byte_by_byte(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            for byte in request.query["hub.challenge"].encode():
                await asyncio.sleep(0.005)  # as a slow callback does
                await response.write(bytes([byte]))
            return response

        hub.subscribers.on_ask["/a"] = byte_by_byte
        await hub.subscribe("/a")

    @pytest.mark.parametrize("charset", ["utf-16", "utf-8-sig", "utf-7"])
    async def test_only_the_bytes_of_the_challenge_confirm(self, hub: RunningHub, charset: str) -> None:
        async def elsewhere(request: web.Request) -> web.StreamResponse:
            body = f"{request.query['hub.challenge']}-".encode(charset)
            return web.Response(body=body, headers={"Content-Type": f"text/plain; charset={charset}"})

        hub.subscribers.on_ask["/a"] = elsewhere
        await hub.request("subscribe", "/a")
        await hub.verified("/a", 1)
        await hub.stop()
        assert await hub.subscriptions.get(LATEST, f"{hub.subscribers.url}/a") is None

    async def test_an_old_challenge_confirms_nothing(self, hub: RunningHub) -> None:
        await hub.subscribe("/a", secret="old")
        first = hub.subscribers.asked[0][1]["hub.challenge"]

        async def replayed(_: web.Request) -> web.StreamResponse:
            return web.Response(text=first)

        hub.subscribers.on_ask["/a"] = replayed
        await hub.request("unsubscribe", "/a")
        await hub.request("subscribe", "/a", secret="new")
        await hub.verified("/a", 3)
        await hub.stop()
        found = await hub.subscriptions.get(LATEST, f"{hub.subscribers.url}/a")
        assert found is not None
        assert found.secret == "old"

    async def test_a_renewal_that_is_not_confirmed_leaves_pushes_as_they_were(self, hub: RunningHub) -> None:
        await hub.subscribe("/a", secret="old")

        async def gone(_: web.Request) -> web.StreamResponse:
            return web.Response(status=410)

        hub.subscribers.on_ask["/a"] = gone
        await hub.request("subscribe", "/a", secret="new")
        await hub.verified("/a", 2)
        await hub.published("<feed>1</feed>")
        await until(lambda: bool(hub.subscribers.pushes))
        assert signed_with("old", hub)

    async def test_a_denial_repeats_the_topic_as_it_was_sent(self, hub: RunningHub) -> None:
        topic = "HTTPS://News.Example:443/feeds/latest.atom"
        assert (await hub.request("subscribe", "/a", topic)).status_code == 202
        await hub.holds("/a")
        await hub.subscribe("/b")
        hub.feeds.refuse("/feeds/latest.atom", 401, "unauthorised")
        await hub.indexed()
        for path, sent in (("/a", topic), ("/b", LATEST)):
            await hub.verified(path, 2)
            denied = next(asked for at, asked in hub.subscribers.asked if at == path and asked["hub.mode"] == "denied")
            assert denied["hub.topic"] == sent


def signed_with(secret: str, hub: RunningHub) -> bool:
    push = hub.subscribers.pushes[-1]
    expected = hmac.new(secret.encode(), push.body, hashlib.sha256).hexdigest()
    return push.headers["X-Hub-Signature"] == f"sha256={expected}"


class TestPush:
    async def test_another_url_of_a_feed_is_pushed_with_the_feeds_own_url(self, hub: RunningHub) -> None:
        path, own = "/feeds/search.atom?topic=Sea", f"{SITE}/feeds/topic/Sea.atom"
        hub.feeds.links[path] = f'<{SITE}/hub>; rel="hub", <{own}>; rel="self"'
        await hub.subscribe("/a", SITE + path)
        await hub.published("<feed>1</feed>", path)
        await until(lambda: bool(hub.subscribers.pushes))
        [push] = hub.subscribers.pushes
        assert push.headers["Link"] == f'<{SITE}/hub>; rel="hub", <{own}>; rel="self"'
        assert hub.subscribers.asked[0][1]["hub.topic"] == SITE + path

    @pytest.mark.parametrize(
        "link", ['<https://other.example/a.atom>; rel="self"', '</feeds/a.atom>; rel="self"', "<<>>; rel=self", "self"]
    )
    async def test_a_foreign_or_invalid_self_link_does_not_count(self, hub: RunningHub, link: str) -> None:
        hub.feeds.links["/feeds/latest.atom"] = link
        await hub.subscribe("/a")
        await hub.published("<feed>1</feed>")
        await until(lambda: bool(hub.subscribers.pushes))
        assert hub.subscribers.pushes[0].headers["Link"].endswith(f', <{LATEST}>; rel="self"')

    @pytest.mark.parametrize("coding", ["gzip", "deflate"])
    async def test_a_feed_that_a_proxy_compresses_is_pushed_decoded(self, hub: RunningHub, coding: str) -> None:
        await hub.subscribe("/a", secret="s")
        await hub.quiet()
        body = b"<feed>1</feed>"
        packed = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
        hub.feeds.failing["/feeds/latest.atom"] = web.Response(body=packed, headers={"Content-Encoding": coding})
        await hub.indexed()
        await until(lambda: hub.subscribers.bodies("/a") == [body])
        assert "Content-Encoding" not in hub.subscribers.pushes[0].headers
        assert signed_with("s", hub)

    async def test_a_coding_that_cannot_be_decoded_is_not_pushed(self, hub: RunningHub) -> None:
        await hub.subscribe("/a")
        await hub.quiet()
        hub.feeds.failing["/feeds/latest.atom"] = web.Response(body=b"??", headers={"Content-Encoding": "x-own"})
        fetched = len(hub.feeds.requested)
        await hub.indexed()
        await until(lambda: len(hub.feeds.requested) > fetched)
        del hub.feeds.failing["/feeds/latest.atom"]
        hub.feeds.put("/feeds/latest.atom", "<feed>2</feed>")
        hub.clock.now += 301
        await until(lambda: hub.subscribers.bodies("/a") == [b"<feed>2</feed>"])

    async def test_a_push_has_a_length_and_no_coding(self, hub: RunningHub) -> None:
        await hub.subscribe("/a")
        body = "é" * 100_000
        await hub.published(body)
        await until(lambda: bool(hub.subscribers.pushes))
        headers = hub.subscribers.pushes[0].headers
        assert headers["Content-Length"] == str(len(body.encode()))
        assert not {"Transfer-Encoding", "Content-Encoding", "Expect", "Cookie"} & set(headers)

    async def test_an_update_that_is_repeated_is_signed_with_the_new_secret(self, hub: RunningHub) -> None:
        await hub.subscribe("/a", secret="old")
        renewed = asyncio.Event()

        async def failing_until_renewed(_: web.Request) -> web.StreamResponse:
            if renewed.is_set():
                return web.Response()
            await renewed.wait()
            return web.Response(status=500)

        hub.subscribers.on_push["/a"] = failing_until_renewed
        await hub.published("<feed>1</feed>")
        await until(lambda: bool(hub.subscribers.pushes))
        assert signed_with("old", hub)
        await hub.request("subscribe", "/a", secret="new")

        async def has_new_secret() -> bool:
            found = await hub.subscriptions.get(LATEST, f"{hub.subscribers.url}/a")
            return found is not None and found.secret == "new"

        await until(has_new_secret)
        renewed.set()
        await until(lambda: len(hub.subscribers.pushes) == 2)
        assert signed_with("new", hub)
        await hub.quiet()
        assert len(hub.subscribers.pushes) == 2

    async def test_an_update_is_not_repeated_to_one_who_has_unsubscribed(self, hub: RunningHub) -> None:
        await hub.subscribe("/a")
        left = asyncio.Event()

        async def failing(_: web.Request) -> web.StreamResponse:
            await left.wait()
            return web.Response(status=500)

        hub.subscribers.on_push["/a"] = failing
        await hub.published("<feed>1</feed>")
        await until(lambda: bool(hub.subscribers.pushes))
        await hub.request("unsubscribe", "/a")
        await hub.holds("/a", present=False)
        left.set()
        await hub.quiet()
        assert len(hub.subscribers.pushes) == 1


class FeedReader:
    """A feed reader as FreshRSS is one: it polls, subscribes where a feed names a hub, and polls again where pushes stop."""

    CALLBACK = "/api/pshb.php"

    def __init__(self, feeds: FeedServer, subscribers: Subscribers) -> None:
        self.feeds = feeds
        self.subscribers = subscribers
        self.key = "?k=5f2a"
        self.confirmed: list[str] = []
        self.pushed: list[str] = []
        self.polled: list[str] = []
        """Articles that polling found first."""
        self.lease_ends = 0.0
        subscribers.on_ask[self.CALLBACK] = self._confirm
        subscribers.on_push[self.CALLBACK] = self._take

    async def poll(self, hub: RunningHub) -> None:
        """Fetch the feed; subscribe where there is no lease."""
        async with httpx.AsyncClient() as client:
            body = (await client.get(f"{self.feeds.url}/feeds/latest.atom")).text
        links = dict(re.findall(r'<link rel="(hub|self)" href="([^"]+)"/>', body))
        self.polled += [each for each in entries(body) if each not in [*self.pushed, *self.polled]]
        if hub.clock.now < self.lease_ends:
            return
        assert links["hub"] == f"{SITE}/hub"
        form = {
            "hub.verify": "sync",
            "hub.mode": "subscribe",
            "hub.topic": links["self"],
            "hub.callback": f"{self.subscribers.url}{self.CALLBACK}{self.key}",
        }
        confirmed = len(self.confirmed)
        assert (await hub.http.post("/hub", data=form)).status_code == 202
        await until(lambda: len(self.confirmed) > confirmed)
        await hub.holds(f"{self.CALLBACK}{self.key}")
        self.lease_ends = hub.clock.now + int(self.confirmed[-1])

    async def _confirm(self, request: web.Request) -> web.StreamResponse:
        if f"?{request.query_string}".partition("&")[0] != self.key:
            return web.Response(status=404)
        if request.query["hub.mode"] == "subscribe":
            self.confirmed.append(request.query["hub.lease_seconds"])
        return web.Response(text=request.query["hub.challenge"], headers={"Connection": "close"})

    async def _take(self, request: web.Request) -> web.StreamResponse:
        if f"?{request.query_string}" != self.key:
            return web.Response(status=410)
        assert f'<{LATEST}>; rel="self"' in request.headers["Link"]
        self.pushed += [each for each in entries((await request.read()).decode()) if each not in self.pushed]
        return web.Response()


def entries(body: str) -> list[str]:
    return re.findall(r"<title>(\w+)</title>", body)


def atom(*titles: str) -> str:
    listed = "".join(f"<entry><title>{title}</title></entry>" for title in titles)
    return f'<feed><link rel="hub" href="{SITE}/hub"/><link rel="self" href="{LATEST}"/>{listed}</feed>'


async def test_a_feed_reader_follows_through_a_restart_and_the_end_of_its_lease(
    redis: Redis, namespace: str, feeds: FeedServer, subscribers: Subscribers
) -> None:
    reader = FeedReader(feeds, subscribers)
    feeds.put("/feeds/latest.atom", atom())
    async with running_hub(redis, namespace, feeds, subscribers) as hub:
        await reader.poll(hub)
        await hub.published(atom("one"))
        await until(lambda: reader.pushed == ["one"])
        await hub.quiet()
    await hub.published(atom("two", "one"))  # while no process runs
    async with running_hub(redis, namespace, feeds, subscribers, clock=hub.clock) as hub:
        await until(lambda: reader.pushed == ["one", "two"])
        await hub.subscribe("/other", lease_seconds="2592000")
        await hub.quiet()
        hub.clock.now = reader.lease_ends + 1
        await hub.published(atom("three", "two", "one"))
        await until(lambda: b"three" in (hub.subscribers.bodies("/other") or [b""])[-1])
        await hub.quiet()
        assert (reader.pushed, reader.polled) == (["one", "two"], [])
        await reader.poll(hub)
        assert reader.polled == ["three"]
        await hub.published(atom("four", "three", "two", "one"))
        await until(lambda: "four" in reader.pushed)
        reader.key = "?k=other"  # its owner has removed the feed
        await hub.published(atom("five", "four", "three"))
        await hub.holds(f"{FeedReader.CALLBACK}?k=5f2a", present=False)
    assert reader.confirmed == ["864000", "864000"]
    assert reader.polled == ["three"]
