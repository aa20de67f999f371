"""What an attempt is said to have come to."""

import pytest

from newswire_notify.webhooks.connections import Connections
from newswire_notify.webhooks.guard import Policy
from newswire_notify.webhooks.sending import Sender
from tests.notify.conftest import Receiver, job


@pytest.mark.parametrize(
    ("status", "said"), [(413, "choose content: summary"), (308, "redirects are not followed"), (500, "answered 500")]
)
async def test_a_refusal_comes_with_what_to_do_about_it(receiver: Receiver, status: int, said: str) -> None:
    receiver.answer("/a", status)
    async with Connections(Policy(allow_private=True)) as connections:
        sent = await Sender(connections).send(job(f"{receiver.url}/a"), b"{}", None)
    assert not sent.accepted
    assert sent.attempt.status == status
    assert said in (sent.attempt.error or "")


async def test_no_proxy_is_taken_from_the_environment(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with Connections(Policy(allow_private=True)) as connections:
        sent = await Sender(connections).send(job(f"{receiver.url}/a"), b"{}", None)
    assert sent.accepted
