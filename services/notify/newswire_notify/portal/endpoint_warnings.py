"""Warns by mail that an endpoint fails, before its subscription is disabled.

A warning goes to the users who may manage the subscriptions of the account, once in the time after which an endpoint is disabled:
one that recovers and fails again is not a reason for a second mail. The banner of the portal appears earlier, and without any mail
server.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

from redis.asyncio import Redis

from newswire.concurrency.repetition import repeat
from newswire.keys import Keyspace
from newswire.timestamps import redis_time_ms
from newswire.users.mail_requests import MailKind
from newswire.users.roles import Permission
from newswire.users.service import UserService
from newswire_notify.deliveries.queue import Queue

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 60.0
WARNED_AFTER = 0.2
"""The part of the time after which an endpoint is disabled: a day of five."""
MAX_USERS = 20
"""Who get the mail, of one account."""
PAGE = 500


class EndpointWarnings:
    """Looks for endpoints that fail, in any number of processes."""

    def __init__(self, queue: Queue, records: "Redis", keys: Keyspace, disabled_after: timedelta) -> None:
        self._queue = queue
        self._records = records
        self._keys = keys
        self._users = UserService(records, keys)
        self._disabled_after = disabled_after

    async def run(self, stopping: asyncio.Event) -> None:
        """Look every minute until stopping is set."""
        await repeat(self.warn, SECONDS_BETWEEN_LOOKS, stopping, log, "cannot look for endpoints that fail")

    async def warn(self) -> int:
        """Ask for the mails that are due; return how many."""
        asked = 0
        async for subscription, account in self._failing():
            key = self._keys.key("endpoint-warning", subscription)
            if not await self._records.set(key, account, nx=True, px=self._disabled_after):
                continue
            for user_id in await self._users_of(account):
                await self._users.mails.add(MailKind.ENDPOINT_FAILING, user_id=user_id)
                asked += 1
            log.info("an endpoint fails", extra={"subscription": subscription})
        return asked

    async def _failing(self) -> AsyncIterator[tuple[str, str]]:
        """Yield the subscriptions whose endpoints have failed for long, with their accounts: all have work, a repeat."""
        redis, first = self._queue.redis, 0
        now = self._queue.now_ms or await redis_time_ms(redis)
        before = now - self._disabled_after.total_seconds() * 1000 * WARNED_AFTER
        while page := await redis.zrange(self._queue.key("endpoints"), first, first + PAGE - 1):
            async with redis.pipeline(transaction=False) as pipe:
                for raw in page:
                    fields = ("failing_since", "probe_at", "status", "account")
                    pipe.hmget(self._queue.key("subscription", raw.decode()), *fields)
                found = await pipe.execute()
            for raw, (since, probe_at, status, account) in zip(page, found, strict=True):
                if since is not None and probe_at is not None and status == b"active" and int(since) <= before:
                    yield raw.decode(), account.decode()
            first += PAGE

    async def _users_of(self, account: str) -> list[str]:
        found = await self._users.users.list(account=account)
        allowed = [each for each in found if Permission.MANAGE_SUBSCRIPTIONS in each.permissions(account)]
        return [each.id for each in allowed[:MAX_USERS]]
