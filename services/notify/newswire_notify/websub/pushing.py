"""One push: a feed, POSTed to a callback with its links and signature (sections 7 and 8)."""

import asyncio
import hashlib
import hmac
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from newswire_notify.webhooks.http_client import WebhookHttpClient
from newswire_notify.webhooks.sending import failed_stage
from newswire_notify.websub.models import Feed, HubSubscription, PushResult
from newswire_notify.websub.verification import SEND_ERRORS, USER_AGENT

log = logging.getLogger(__name__)

SLOW_SECONDS = 1.0
"""A callback that took longer, or did not respond, counts as slow until it responds faster."""
MAX_SLOW_CALLBACKS = 50_000
INLINE_BYTES = 64 * 1024
"""Signing so much, for all subscriptions together, takes less than 0.1 ms; more is signed in a thread."""


class Pusher:
    """Pushes feeds. ``timeout``: total seconds for one push."""

    def __init__(self, http_client: WebhookHttpClient, hub_url: str, *, timeout: float) -> None:
        self._http_client = http_client
        self._hub_url = hub_url
        self._timeout = timeout
        self._slow: OrderedDict[str, None] = OrderedDict()

    def is_slow(self, callback: str) -> bool:
        """Return whether the last push to a callback was slow."""
        return callback in self._slow

    async def headers(self, subscriptions: Sequence[HubSubscription], feed: Feed) -> list[dict[str, str]]:
        """Return the headers of a push to each subscription, signed where it has a secret."""
        shared = {
            "Content-Type": feed.content_type,
            "User-Agent": USER_AGENT,
            "Link": f'<{self._hub_url}>; rel="hub", <{feed.address}>; rel="self"',
        }
        secrets = [subscription.secret for subscription in subscriptions]
        if (len(secrets) - secrets.count(None)) * len(feed.body) <= INLINE_BYTES:
            signatures = _signatures(secrets, feed.body)
        else:  # hashing releases the interpreter's lock
            signatures = await asyncio.to_thread(_signatures, secrets, feed.body)
        return [shared | {"X-Hub-Signature": each} if each is not None else shared for each in signatures]

    async def push(self, subscription: HubSubscription, feed: Feed, headers: Mapping[str, str]) -> PushResult:
        """Push a feed once, with its headers. Does not raise for anything that the callback does."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._http_client.post(subscription.callback, headers, feed.body)
        except SEND_ERRORS as error:
            self._note(subscription.callback, slow=True)
            log.info("a push failed", extra={"host": subscription.host, "reason": failed_stage(error)})
            return PushResult.FAILED
        self._note(subscription.callback, slow=loop.time() - began > SLOW_SECONDS)
        if 200 <= response.status < 300:
            return PushResult.DELIVERED
        log.info("a push was refused", extra={"host": subscription.host, "status": response.status})
        return PushResult.GONE if response.status == 410 else PushResult.FAILED

    def _note(self, callback: str, *, slow: bool) -> None:
        if not slow:
            self._slow.pop(callback, None)
            return
        self._slow[callback] = None
        self._slow.move_to_end(callback)
        if len(self._slow) > MAX_SLOW_CALLBACKS:
            self._slow.popitem(last=False)


def _signatures(secrets: Sequence[str | None], body: bytes) -> list[str | None]:
    return [None if secret is None else signature(secret, body) for secret in secrets]


def signature(secret: str, body: bytes) -> str:
    """Return the value of ``X-Hub-Signature`` for a body."""
    return f"sha256={hmac.digest(secret.encode(), body, hashlib.sha256).hex()}"
