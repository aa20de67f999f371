"""Requests from one service to another, and their replies: FastStream's request and reply over Pub/Sub.

Every process that listens replies, and the first reply counts. Nothing is kept, neither where nobody listens nor after a deadline.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Any

from faststream.redis import RedisBroker
from faststream.redis.configs import RedisConnectionState
from faststream.redis.subscriber.usecases import ChannelSubscriber
from redis.asyncio import Redis
from redis.exceptions import RedisError

from newswire.concurrency.backoff import delay_after, pause
from newswire.messaging.broker import OpenConnection
from newswire.storage.redis_errors import reason

log = logging.getLogger(__name__)


class NoReplyError(Exception):
    """Nobody replied in time; the message says why."""


def _is_no_lost_connection(record: logging.LogRecord) -> bool:
    """Return whether FastStream logs anything but a lost connection, which the consumers and the checks of `/status` report.

    It would log a traceback for each attempt to connect again.
    """
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, (RedisError, OSError))


_faststream_log = logging.getLogger("faststream.newswire.requests")
_faststream_log.addFilter(_is_no_lost_connection)


class RequestBroker(RedisBroker):
    """Sends requests, or replies to them."""

    def __init__(self, client: "Redis") -> None:
        self._open = OpenConnection(client)
        super().__init__(logger=_faststream_log, log_level=logging.DEBUG, graceful_timeout=0)

    def _make_connection_state(self, connection_options: Any, kwargs: Any) -> RedisConnectionState:
        """Return the client that the service opened (a hook that FastStream's own subclasses use)."""
        return self._open

    async def ask(self, body: bytes, channel: str, seconds: float) -> bytes:
        """Return the first reply to a request.

        Raises:
            NoReplyError: there is none.
        """
        try:
            async with asyncio.timeout(seconds):
                if not (await self._open.client.pubsub_numsub(channel))[0][1]:
                    raise NoReplyError("nobody listens")
                reply = await self.request(body, channel, timeout=seconds)
        except TimeoutError:
            raise NoReplyError(f"no reply within {seconds:g} s") from None
        except (RedisError, OSError) as error:
            raise NoReplyError(reason(error)) from error
        return reply.body

    async def reply_until(self, stopping: asyncio.Event) -> None:
        """Reply to requests until stopping is set."""
        failures = 0
        try:
            while not stopping.is_set():
                try:
                    await self.start()
                    break
                except (RedisError, OSError) as error:
                    log.warning("cannot listen to requests", extra={"reason": str(error)})
                    await self._leave_channels()
                    await pause(stopping, delay_after(failures))
                    failures += 1
            await stopping.wait()
        finally:
            await self._leave_channels()
            await self.stop()

    async def _leave_channels(self) -> None:
        """Close the connections that listen.

        FastStream takes a subscriber for started although its first connection failed, and would never connect it again; and it
        raises an `AttributeError` where one stops without a connection.
        """
        for subscriber in self.subscribers:
            if isinstance(subscriber, ChannelSubscriber) and subscriber.subscription is not None:
                listening, subscriber.subscription = subscriber.subscription, None
                await subscriber.stop()
                with suppress(RedisError, OSError):
                    await listening.aclose()
