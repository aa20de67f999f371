"""Results of attempts."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from newswire_notify.webhooks.http_client import WebhookHttpClient
from newswire_notify.webhooks.sending import Sender, SendResult, Unsent
from newswire_notify.webhooks.ssrf_guard import AddressPolicy
from tests.notify.conftest import Receiver, claimed_delivery, until
from tests.notify.test_http_client import OK, Endpoint, endpoint


@pytest.mark.parametrize(
    ("status", "said"), [(413, "choose content: summary"), (308, "redirects are not followed"), (500, "status 500")]
)
async def test_an_error_status_comes_with_a_remedy(receiver: Receiver, status: int, said: str) -> None:
    receiver.answer("/a", status)
    async with WebhookHttpClient(AddressPolicy(allow_private=True)) as http_client:
        sent = await Sender(http_client).send(claimed_delivery(f"{receiver.url}/a"), b"{}", None)
    assert not sent.accepted
    assert sent.attempt.status == status
    assert said in (sent.attempt.error or "")


async def test_proxies_of_the_environment_are_ignored(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with WebhookHttpClient(AddressPolicy(allow_private=True)) as http_client:
        sent = await Sender(http_client).send(claimed_delivery(f"{receiver.url}/a"), b"{}", None)
    assert sent.accepted


class Ended(list[SendResult | Unsent]):
    """What attempts that were begun came to."""

    async def first(self) -> SendResult | Unsent:
        await until(lambda: len(self) > 0)
        return self[0]


async def test_an_attempt_over_an_open_connection_has_the_result_of_others(receiver: Receiver) -> None:
    receiver.answer("/a", 204, 503, **{"Retry-After": "7"})
    to, ended = claimed_delivery(f"{receiver.url}/a"), Ended()
    async with WebhookHttpClient(AddressPolicy(allow_private=True, answers_shown=True)) as http_client:
        sender = Sender(http_client, lambda: 1_800_000_000.0)
        assert sender.begin(to, b"{}", None, ended.append) is None, "there is no connection yet"
        assert receiver.got == []
        assert (await sender.send(to, b"{}", None)).accepted
        assert sender.begin(to, b"{}", None, ended.append) is not None
        begun = await ended.first()
        sent = await sender.send(to, b"{}", None)
    assert isinstance(begun, SendResult)
    assert (begun.attempt._replace(latency_ms=0), begun.retry_after) == (sent.attempt._replace(latency_ms=0), 7.0)
    assert begun.attempt.answer == "this is 503"
    _, second, third = (dict(got.headers) | {"body": got.body} for got in receiver.got)
    assert second == third


@pytest.mark.parametrize("how", ["lost", "late", "cancelled", "invalid"])
async def test_an_attempt_over_an_open_connection_may_end_without_a_response(how: str) -> None:
    async def once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(it.requests) == 1:
            writer.write(OK)
        elif how == "lost":
            writer.transport.abort()
        elif how == "invalid":
            writer.write(b"nonsense")

    it: Endpoint
    ended = Ended()
    async with (
        endpoint(once) as it,
        WebhookHttpClient(AddressPolicy(allow_private=True, answers_shown=True)) as http_client,
    ):
        sender = Sender(http_client, timeout=0.05 if how == "late" else 60)
        await Sender(http_client).send(claimed_delivery(it.url), b"{}", None)
        begun: asyncio.Future[Any] | None = sender.begin(claimed_delivery(it.url), b"{}", None, ended.append)
        assert begun is not None
        if how == "cancelled":
            begun.cancel()
        result = await ended.first()
        assert not http_client.is_connected(it.url), "its connection is not used again"
    match how:
        case "lost":
            assert result is Unsent.NOT_CONNECTED
        case "cancelled":
            assert result is Unsent.CANCELLED
        case _:
            assert isinstance(result, SendResult)
            assert (result.attempt.error or "").startswith("timeout: no resp" if how == "late" else "http: ")


async def test_a_connection_that_is_lost_late_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    async def once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(it.requests) == 1:
            writer.write(OK)
        else:
            writer.transport.abort()

    monkeypatch.setattr("newswire_notify.webhooks.sending.REPEAT_SECONDS", 0.0)
    it: Endpoint
    ended = Ended()
    async with (
        endpoint(once) as it,
        WebhookHttpClient(AddressPolicy(allow_private=True, answers_shown=True)) as http_client,
    ):
        sender = Sender(http_client)
        await sender.send(claimed_delivery(it.url), b"{}", None)
        assert sender.begin(claimed_delivery(it.url), b"{}", None, ended.append) is not None
        result = await ended.first()
    assert isinstance(result, SendResult)
    assert (result.attempt.error or "").startswith("connect: ")


async def test_what_cannot_be_requested_is_left_to_a_general_attempt(receiver: Receiver) -> None:
    to, ended = claimed_delivery(f"{receiver.url}/a"), Ended()
    invalid = to._replace(endpoint=replace(to.endpoint, headers={"X-Token": "a\r\nb: c"}))
    async with WebhookHttpClient(AddressPolicy(allow_private=True)) as http_client:
        sender = Sender(http_client)
        await sender.send(to, b"{}", None)
        assert sender.begin(invalid, b"{}", None, ended.append) is None
        assert sender.begin(claimed_delivery("ftp://[nothing"), b"{}", None, ended.append) is None
        assert http_client.is_connected(to.endpoint.url), "the connection was not taken"
    assert len(receiver.got) == 1
