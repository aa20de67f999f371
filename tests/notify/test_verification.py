"""Verification by real requests, including receivers with invalid responses."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from pydantic import HttpUrl, SecretStr
from redis.asyncio import Redis

from newswire.auth.credentials import Scope
from newswire.keys import Keyspace
from newswire_notify.settings import NotifySettings
from newswire_notify.webhooks.http_client import WebhookHttpClient
from newswire_notify.webhooks.sending import HIDDEN_FAILURE
from newswire_notify.webhooks.ssrf_guard import AddressPolicy
from newswire_notify.webhooks.verification import NotVerifiedError, Verification
from newswire_notify.webhooks.webhook_endpoint import Webhook
from tests.notify.conftest import SITE, Desk, until
from tests.notify.notify_server import Api, served, served_api
from tests.polling import DEADLINE_SECONDS

pytestmark = pytest.mark.slow

ORIGIN = "news.example"
ALLOWED = f"WebHook-Allowed-Origin: {ORIGIN}\r\n"
Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answering(status: str = "200 OK", headers: str = "", body: str = "") -> Behaviour:
    """A response in one piece."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode())

    return answer


def sending(raw: bytes, *, close: bool = False, endless: bytes = b"") -> Behaviour:
    """Send raw bytes, then close, continue endlessly, or stay silent."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        while endless:
            writer.write(endless)
            await writer.drain()
        if close:
            writer.close()

    return answer


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: 1\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)  # the pace of the receiver, not a wait of the test


@dataclass
class Requested:
    """A request as it arrived."""

    line: str
    headers: dict[str, str]


@dataclass
class RawReceiver:
    """Receives requests over plain sockets; responds by path."""

    url: str = ""
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    got: list[Requested] = field(default_factory=list)

    def methods(self, path: str) -> list[str]:
        return [got.line.split()[0] for got in self.got if got.line.split()[1] == path]

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                line, *rest = head.strip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
                await reader.readexactly(int(headers.get("content-length", "0")))
                self.got.append(Requested(line, headers))
                await self.behaviours.get(line.split()[1], answering("204 No Content"))(writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has closed the connection
        finally:
            writer.close()


@pytest.fixture
async def raw() -> AsyncIterator[RawReceiver]:
    receiver = RawReceiver()
    server = await asyncio.start_server(receiver.take, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield receiver
    server.close()


@asynccontextmanager
async def asking(policy: AddressPolicy, seconds: float = 60) -> AsyncIterator[Verification]:
    async with WebhookHttpClient(policy, connect=seconds) as http_client:
        yield Verification(http_client, SITE, timeout=seconds)


OPEN = AddressPolicy(allow_private=True, answers_shown=True)


def webhook(url: str, **members: Any) -> Webhook:
    return Webhook.model_validate({"type": "webhook", "url": url} | members)


@pytest.mark.parametrize(
    "behaviour",
    [
        answering(headers=ALLOWED),
        answering("204 No Content", ALLOWED),
        answering(headers="webhook-allowed-origin: NEWS.example \r\nWebHook-Allowed-Rate: 120\r\n"),
        answering(headers="WebHook-Allowed-Origin: *\r\n"),
        answering(headers=ALLOWED, body="x" * 20_000),
        sending(f"HTTP/1.1 200 OK\r\n{ALLOWED}Content-Length: 1000000000\r\n\r\n".encode(), endless=b"x" * 1000),
        sending(f"HTTP/1.1 200 OK\r\n{ALLOWED}Content-Length: 9\r\n\r\n".encode(), close=True),
        sending(f"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n{ALLOWED}Content-Length: 0\r\n\r\n".encode()),
    ],
    ids=["own origin", "204", "other case and a rate", "any origin", "body", "endless body", "body cut off", "interim"],
)
async def test_a_url_consents_by_naming_the_origin(raw: RawReceiver, behaviour: Behaviour) -> None:
    raw.behaviours["/hook?n=1"] = behaviour
    channel = webhook(f"{raw.url}/hook?n=1", headers={"Authorization": "Bearer let-me-in"})
    async with asking(OPEN) as verification:
        assert await verification.ask("reader", channel) == ORIGIN
    [got] = raw.got
    assert got.line == "OPTIONS /hook?n=1 HTTP/1.1"
    assert got.headers["webhook-request-origin"] == ORIGIN
    assert got.headers["authorization"] == "Bearer let-me-in"
    assert got.headers["host"] == raw.url.removeprefix("http://")


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (answering(), "responded to OPTIONS with 200, without WebHook-Allowed-Origin"),
        (answering(headers="Allow: POST\r\nAccess-Control-Allow-Origin: *\r\n"), "without WebHook-Allowed-Origin"),
        (answering(headers="WebHook-Allowed-Origin: \r\n"), "without WebHook-Allowed-Origin"),
        (answering(body=ALLOWED), "without WebHook-Allowed-Origin"),
        (answering(headers="WebHook-Request-Origin: news.example\r\n"), "without WebHook-Allowed-Origin"),
        (answering(headers="WebHook-Allowed-Origin: other.example\r\n"), "names another origin"),
        (answering(headers="WebHook-Allowed-Origin: news.example.attacker.example\r\n"), "names another origin"),
        (answering(headers="WebHook-Allowed-Origin: example\r\n"), "names another origin"),
        (answering(headers="WebHook-Allowed-Origin: *.example\r\n"), "names another origin"),
        (answering(headers="WebHook-Allowed-Origin: other.example, news.example\r\n"), "names another origin"),
        (answering(headers=f"WebHook-Allowed-Origin: other.example\r\n{ALLOWED}"), "names another origin"),
        (answering(headers=ALLOWED + ALLOWED), "names another origin"),
        (answering("302 Found", f"{ALLOWED}Location: /elsewhere\r\n"), "responded to OPTIONS with 302"),
        (answering("405 Method Not Allowed", ALLOWED), "responded to OPTIONS with 405"),
        (answering("500 Internal Server Error", ALLOWED), "responded to OPTIONS with 500"),
        (
            sending(f"HTTP/1.1 103 Early Hints\r\n{ALLOWED}\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".encode()),
            "without WebHook-Allowed-Origin",
        ),
        (
            sending(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n0\r\n{ALLOWED}\r\n".encode()),
            "without WebHook-Allowed-Origin",
        ),
        (sending(b"", close=True), "connect: "),
        (sending(b"SSH-2.0-OpenSSH_9.6\r\n"), "not valid HTTP"),
        (sending(f"HTTP/1.1 200 OK\r\n{ALLOWED}".encode(), close=True), "incomplete"),
        (sending(f"HTTP/1.1 200 OK\r\n{ALLOWED}".encode(), endless=b"X-More: 1\r\n"), "too long"),
    ],
)
async def test_any_other_response_is_not_consent(raw: RawReceiver, behaviour: Behaviour, reason: str) -> None:
    raw.behaviours["/hook"] = behaviour
    async with asking(OPEN) as verification:
        with pytest.raises(NotVerifiedError, match=reason):
            await verification.ask("reader", webhook(f"{raw.url}/hook"))
    assert raw.methods("/elsewhere") == []


@pytest.mark.parametrize("behaviour", [sending(b""), dripping], ids=["silent", "drips headers"])
async def test_a_slow_response_is_not_consent(raw: RawReceiver, behaviour: Behaviour) -> None:
    raw.behaviours["/hook"] = behaviour
    async with asking(OPEN, 0.5) as verification:
        with pytest.raises(NotVerifiedError, match="timeout: no response in time"):
            await verification.ask("reader", webhook(f"{raw.url}/hook"))


async def test_the_handshake_obeys_the_address_policy(raw: RawReceiver) -> None:
    raw.behaviours["/hook"] = answering(headers=ALLOWED)
    async with asking(AddressPolicy(ports={80, 443, int(raw.url.rpartition(":")[2])})) as verification:
        for url in (f"{raw.url}/hook", f"{raw.url}/hook".replace("http:", "https:"), "https://localhost/hook"):
            with pytest.raises(NotVerifiedError, match="refused-address"):
                await verification.ask("reader", webhook(url))
    assert raw.got == []


async def test_accounts_take_turns(raw: RawReceiver) -> None:
    raw.behaviours |= {"/silent": sending(b""), "/hook": answering(headers=ALLOWED)}
    async with asking(OPEN, 2.0) as verification:
        crowd = [asyncio.create_task(verification.ask("crowd", webhook(f"{raw.url}/silent"))) for _ in range(3 * 16)]
        await until(lambda: len(raw.methods("/silent")) == 16)
        assert await verification.ask("reader", webhook(f"{raw.url}/hook")) == ORIGIN
        assert len(raw.methods("/silent")) < 3 * 16
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)


@pytest.fixture
def settings(redis_url: str, namespace: str) -> NotifySettings:
    return NotifySettings(
        redis_url=SecretStr(redis_url),
        namespace=namespace,
        allow_volatile=True,
        public_url=HttpUrl(SITE),
        webhook_allow_private=True,
        webhook_timeout=3,
    )


@pytest.fixture
async def api(redis: Redis, settings: NotifySettings, keys: Keyspace) -> AsyncIterator[Api]:
    async with served_api(redis, settings, keys) as made:
        yield made


def draft(url: str, *, verify: bool | None = None) -> dict[str, Any]:
    return {"channel": {"type": "webhook", "url": url} | ({} if verify is None else {"verify": verify})}


async def test_a_consenting_url_is_accepted_and_deliveries_name_the_origin(
    api: Api, raw: RawReceiver, desk: Desk
) -> None:
    raw.behaviours["/hook"] = answering(headers=ALLOWED)
    key = await api.key("Reading Room", Scope.SUBSCRIBE)
    made = await api.http.post("/v1/subscriptions", json=draft(f"{raw.url}/hook", verify=True), headers=key)
    assert made.status_code == 201, made.text
    assert made.json()["channel"] == {
        "type": "webhook", "url": f"{raw.url}/hook", "verify": True, "verified_origin": ORIGIN,
    }  # fmt: skip
    plain = await api.http.post("/v1/subscriptions", json=draft(f"{raw.url}/plain"), headers=key)
    assert "verified_origin" not in plain.json()["channel"]
    await desk.put("a1")
    await until(lambda: raw.methods("/hook") == ["OPTIONS", "POST"] and raw.methods("/plain") == ["POST"])
    origins = {got.line.split()[1]: got.headers.get("origin") for got in raw.got if got.line.startswith("POST")}
    assert origins == {"/hook": ORIGIN, "/plain": None}
    tested = await api.http.post(f"/v1/subscriptions/{made.json()['id']}/test", headers=key)
    assert (tested.json()["delivered"], raw.got[-1].headers["origin"]) == (True, ORIGIN)


async def test_a_url_without_consent_is_refused(api: Api, raw: RawReceiver) -> None:
    key = await api.key("Reading Room", Scope.SUBSCRIBE)
    answer = await api.http.post("/v1/subscriptions", json=draft(f"{raw.url}/hook", verify=True), headers=key)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["field"] == "channel.url"
    assert "did not consent" in error["problem"]
    assert f"WebHook-Allowed-Origin: {ORIGIN}" in error["fix"]
    assert (await api.http.get("/v1/subscriptions", headers=key)).json()["subscriptions"] == []
    assert raw.methods("/hook") == ["OPTIONS"]


async def test_failed_handshakes_with_private_addresses_are_hidden(api: Api, raw: RawReceiver) -> None:
    key = await api.key("Reading Room", Scope.SUBSCRIBE)
    raw.behaviours["/ssh"] = sending(b"SSH-2.0-OpenSSH_9.6\r\n")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        for url in (f"http://127.0.0.1:{unused.getsockname()[1]}/", f"{raw.url}/ssh"):
            answer = await api.http.post("/v1/subscriptions", json=draft(url, verify=True), headers=key)
            assert answer.status_code == 422
            assert HIDDEN_FAILURE in answer.json()["errors"][0]["problem"]


async def test_a_change_verifies_new_and_unverified_urls(api: Api, raw: RawReceiver) -> None:
    for path in ("/one", "/two"):
        raw.behaviours[path] = answering(headers=ALLOWED)
    key = await api.key("Reading Room", Scope.SUBSCRIBE)
    made = await api.http.post("/v1/subscriptions", json=draft(f"{raw.url}/one"), headers=key)
    path = f"/v1/subscriptions/{made.json()['id']}"

    async def change(method: str, body: dict[str, Any]) -> tuple[int, str | None]:
        answer = await api.http.request(method, path, json=body, headers=key)
        return answer.status_code, answer.json().get("channel", {}).get("verified_origin")

    assert await change("PATCH", {"labels": {"team": "night"}}) == (200, None)
    assert raw.methods("/one") == []
    assert await change("PATCH", {"channel": {"verify": True}}) == (200, ORIGIN)
    assert await change("PATCH", {"labels": {"team": "day"}}) == (200, ORIGIN)
    assert raw.methods("/one") == ["OPTIONS"]
    assert await change("PATCH", {"channel": {"url": f"{raw.url}/silent"}}) == (422, None)
    assert (await api.http.get(path, headers=key)).json()["channel"]["url"] == f"{raw.url}/one"
    assert await change("PATCH", {"channel": {"url": f"{raw.url}/two"}}) == (200, ORIGIN)
    assert await change("PUT", draft(f"{raw.url}/silent", verify=True)) == (422, None)
    assert await change("PUT", draft(f"{raw.url}/one", verify=True)) == (200, ORIGIN)
    assert raw.methods("/one") == ["OPTIONS", "OPTIONS"]
    assert await change("PUT", draft(f"{raw.url}/silent")) == (200, None)
    assert await change("PATCH", {"channel": {"verify": True}}) == (422, None)


async def test_an_operator_can_require_verification(
    redis: Redis, settings: NotifySettings, keys: Keyspace, raw: RawReceiver
) -> None:
    raw.behaviours["/consents"] = answering(headers=ALLOWED)
    async with served(redis, settings) as (url, _), httpx.AsyncClient(base_url=url, timeout=DEADLINE_SECONDS) as http:
        key = await Api(http, redis, keys).key("Reading Room", Scope.SUBSCRIBE)
        made = await http.post("/v1/subscriptions", json=draft(f"{raw.url}/before"), headers=key)
        path = f"/v1/subscriptions/{made.json()['id']}"
    required = settings.model_copy(update={"webhook_verification_required": True})
    async with served(redis, required) as (url, _), httpx.AsyncClient(base_url=url, timeout=DEADLINE_SECONDS) as http:
        for body in (draft(f"{raw.url}/silent"), draft(f"{raw.url}/silent", verify=False)):
            assert (await http.post("/v1/subscriptions", json=body, headers=key)).status_code == 422
            assert (await http.put(path, json=body, headers=key)).status_code == 422
        consenting = await http.post("/v1/subscriptions", json=draft(f"{raw.url}/consents"), headers=key)
        assert (consenting.status_code, consenting.json()["channel"]["verified_origin"]) == (201, ORIGIN)
        assert (await http.patch(path, json={"labels": {"team": "night"}}, headers=key)).status_code == 200
        assert raw.methods("/before") == []
