"""Results of attempts."""

import pytest

from newswire_notify.webhooks.http_client import WebhookHttpClient
from newswire_notify.webhooks.sending import Sender
from newswire_notify.webhooks.ssrf_guard import AddressPolicy
from tests.notify.conftest import Receiver, claimed_delivery


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
