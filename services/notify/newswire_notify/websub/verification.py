"""Asks a callback whether its owner sent a request, and tells it that a subscription was denied (section 5.2 and 5.3)."""

import asyncio
import hmac
import logging
import secrets
from urllib.parse import urlencode

from newswire_notify.webhooks.http_client import InvalidResponseError, WebhookHttpClient
from newswire_notify.webhooks.sending import failed_stage
from newswire_notify.websub.models import HubRequest, Mode

log = logging.getLogger(__name__)

USER_AGENT = "Newswire-WebSub/1"
CHALLENGE_BYTES = 32
_HEADERS = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}
"""Without ``Accept-Encoding`` a server may choose any coding (RFC 9110, section 12.5.3), and the challenge is compared as sent."""
SEND_ERRORS = (OSError, TimeoutError, InvalidResponseError, ValueError)
"""What a request to a callback may raise."""


class CallbackVerification:
    """GET requests to callbacks. ``timeout``: total seconds for one."""

    def __init__(self, http_client: WebhookHttpClient, *, timeout: float) -> None:
        self._http_client = http_client
        self._timeout = timeout

    async def confirms(self, request: HubRequest) -> bool:
        """Return whether the callback confirms a request: with a 2xx and exactly the challenge as the body."""
        challenge = secrets.token_urlsafe(CHALLENGE_BYTES)
        parameters = {"hub.mode": request.mode.value, "hub.topic": request.sent_topic, "hub.challenge": challenge}
        if request.mode is Mode.SUBSCRIBE:
            parameters["hub.lease_seconds"] = str(request.lease_seconds)
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._http_client.get(
                    _with_query(request.callback, parameters), _HEADERS, body_seconds=self._timeout
                )
        except SEND_ERRORS as error:
            log.info("a callback could not be asked", extra={"host": request.host, "reason": failed_stage(error)})
            return False
        return 200 <= response.status < 300 and hmac.compare_digest(response.body, challenge.encode())

    async def deny(self, callback: str, topic: str, reason: str) -> None:
        """Tell a callback that its subscription is denied, once; its response does not matter."""
        parameters = {"hub.mode": "denied", "hub.topic": topic, "hub.reason": reason}
        try:
            async with asyncio.timeout(self._timeout):
                await self._http_client.get(_with_query(callback, parameters), _HEADERS, body_seconds=self._timeout)
        except SEND_ERRORS as error:
            log.info("a callback could not be notified of its denial", extra={"reason": failed_stage(error)})


def _with_query(callback: str, parameters: dict[str, str]) -> str:
    """Append parameters to a URL, whose own query stays as it is."""
    separator = "&" if "?" in callback else "?"
    return f"{callback}{separator}{urlencode(parameters)}"
