"""Operations of an owner on an endpoint: rotate its secret, send a test."""

import asyncio
import time
from datetime import UTC, datetime
from typing import NamedTuple

import orjson
from ulid import ULID

from newswire.events import ENDPOINT_TEST, SCHEMA_URN
from newswire_notify.deliveries.models import Attempt, ClaimedDelivery, Endpoint
from newswire_notify.deliveries.queue import Queue
from newswire_notify.subscriptions.models import Subscription
from newswire_notify.webhooks.sending import Sender
from newswire_notify.webhooks.signing import new_secret

MAX_FORMER_SECRETS = 3
MAX_CONCURRENT_TESTS = 16


class TooManySecretsError(Exception):
    """The limit of former secrets that still sign is reached."""


class EndpointTest(NamedTuple):
    """A test event that was sent, and what came of it."""

    attempt: Attempt
    message_id: str
    body: bytes


class Endpoints:
    """Changes and tests the endpoints of subscriptions."""

    def __init__(self, queue: Queue, sender: Sender, site: str) -> None:
        self._queue = queue
        self._sender = sender
        self._site = site
        self._testing = asyncio.Semaphore(MAX_CONCURRENT_TESTS)

    async def rotate_secret(self, account: str, subscription_id: str, overlap: float) -> str | None:
        """Give a subscription a new secret; the former one also signs for ``overlap`` seconds.

        Returns None where the account does not own the subscription.

        Raises:
            TooManySecretsError: it was rotated so often that too many secrets would sign.
        """
        secret = new_secret()
        answer = await self._queue.call(
            "rotate_secret",
            id=subscription_id,
            account=account,
            secret=secret,
            now=int(time.time() * 1000),
            overlap=int(overlap * 1000),
            former_secrets=MAX_FORMER_SECRETS,
        )
        if answer == b"TOO_MANY":
            raise TooManySecretsError
        return secret if answer == b"OK" else None

    async def test(self, subscription: Subscription) -> EndpointTest:
        """Send a test event at once; success closes the circuit."""
        async with self._testing:
            return await self._test(subscription)

    async def _test(self, subscription: Subscription) -> EndpointTest:
        now = datetime.now(UTC)
        identity = f"test_{str(ULID()).lower()}"
        body = orjson.dumps(
            {
                "specversion": "1.0",
                "id": identity,
                "source": f"{self._site}/notify",
                "type": ENDPOINT_TEST,
                "subject": subscription.id,
                "time": now.isoformat(timespec="milliseconds"),
                "datacontenttype": "application/json",
                "dataschema": SCHEMA_URN + ENDPOINT_TEST,
                "data": {"subscription": subscription.id},
            }
        )
        endpoint = Endpoint(
            subscription.id,
            subscription.channel.url,
            subscription.secret,
            subscription.former_secrets,
            headers=subscription.channel.headers,
            verified_origin=subscription.verified_origin,
        )
        delivery = ClaimedDelivery(f"msg_{identity}", 1, 0, identity, ENDPOINT_TEST, "", 0, "test", endpoint, b"")
        began = asyncio.get_running_loop().time()
        sent = await self._sender.send(delivery, body, None)
        if sent.attempt.status is None and self._sender.hides(endpoint.url):
            # The time of the test must not distinguish a closed port from a filtered one.
            await asyncio.sleep(began + self._sender.timeout - asyncio.get_running_loop().time())
        if sent.accepted:
            await self._queue.call("close_circuit", id=subscription.id, account=subscription.account)
        return EndpointTest(sent.attempt, delivery.id, body)
