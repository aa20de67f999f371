"""Verifies that a URL consents to receive webhooks: the handshake of CloudEvents' HTTP 1.1 webhooks (version 1.0.2, section 4).

An OPTIONS request names the origin that wants to send, and the response names the origin that is allowed. So webhooks do not reach
URLs that were not meant to receive them; a status alone is not consent.
"""

import asyncio
import logging

from yarl import URL

from newswire.concurrency.fair_slots import FairSlots
from newswire_notify.webhooks.http_client import EndpointResponse, InvalidResponseError, WebhookHttpClient
from newswire_notify.webhooks.sending import HIDDEN_FAILURE, USER_AGENT, failed_stage
from newswire_notify.webhooks.ssrf_guard import AddressRefusedError, NameResolutionError
from newswire_notify.webhooks.webhook_endpoint import Webhook

log = logging.getLogger(__name__)

MAX_CONCURRENT_HANDSHAKES = 16
MAX_WAIT = 30.0
"""Seconds that a request waits for its turn among all handshakes."""


class NotVerifiedError(Exception):
    """The URL did not consent; the message says why. ``origin``: what it was asked to allow."""

    def __init__(self, reason: str, origin: str) -> None:
        super().__init__(reason)
        self.origin = origin


class TooManyHandshakesError(Exception):
    """Too many handshakes are running for this one to start in time."""

    def __init__(self) -> None:
        super().__init__("too many URLs are being verified; send the request again")


class Verification:
    """Asks URLs for their consent. ``timeout``: total seconds for one handshake."""

    def __init__(self, http_client: WebhookHttpClient, site: str, *, timeout: float, required: bool = False) -> None:
        self.origin = URL(site).host_subcomponent or "newswire"
        """The origin that URLs are asked to allow: the host of the public URL."""
        self._http_client = http_client
        self._timeout = timeout
        self._required = required
        self._slots = FairSlots(MAX_CONCURRENT_HANDSHAKES)

    def wanted(self, channel: Webhook, before: Webhook | None = None, verified_origin: str | None = None) -> bool:
        """Return whether a URL must be asked: a new one where that is requested or required, an unchanged one only once.

        ``before``: the former channel, None for a new subscription; ``verified_origin``: the origin to which it consented.
        """
        if before is not None and before.url == channel.url:
            return channel.verify and verified_origin is None
        return channel.verify or self._required

    async def ask(self, account: str, channel: Webhook) -> str:
        """Return the origin to which a URL consents. Accounts take turns.

        Raises:
            NotVerifiedError: it does not consent, or does not respond.
            TooManyHandshakesError: it could not start in time.
        """
        try:
            async with asyncio.timeout(MAX_WAIT):
                await self._slots.acquire(account)
        except TimeoutError:
            raise TooManyHandshakesError from None
        try:
            answer = await self._handshake(channel)
        finally:
            self._slots.release()
        if (refusal := self._refusal(answer)) is not None:
            raise NotVerifiedError(refusal, self.origin)
        return self.origin

    async def _handshake(self, channel: Webhook) -> EndpointResponse:
        headers = {**channel.headers, "User-Agent": USER_AGENT, "WebHook-Request-Origin": self.origin}
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._timeout):
                return await self._http_client.options(channel.url, headers)
        except (OSError, TimeoutError, InvalidResponseError, ValueError) as error:
            if isinstance(error, AddressRefusedError | NameResolutionError) or not self._http_client.hides(channel.url):
                raise NotVerifiedError(failed_stage(error), self.origin) from None
            log.info("no response to a handshake from a private address", extra={"reason": failed_stage(error)})
            # The time must not distinguish a closed port from a filtered one.
            await asyncio.sleep(began + self._timeout - loop.time())
            raise NotVerifiedError(HIDDEN_FAILURE, self.origin) from None

    def _refusal(self, answer: EndpointResponse) -> str | None:
        """Return why a response is not consent, or None where it is."""
        if not 200 <= answer.status < 300:
            return f"it responded to OPTIONS with {answer.status}"
        allowed = answer.allowed_origin.strip().lower()
        if not allowed:
            return f"it responded to OPTIONS with {answer.status}, without WebHook-Allowed-Origin"
        if allowed not in ("*", self.origin.lower()):
            return "its WebHook-Allowed-Origin names another origin"
        return None
