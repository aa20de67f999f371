"""Requests for mails to users: ingest makes them, notify sends them.

A request names what the mail is about and its user, and never a link: notify makes the link when it sends the mail, so that no
secret waits in Redis. A request for a new password names the address that was typed, whether it is a user's or not; only
notify looks it up, so that the answer of the page cannot depend on it.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import uuid4

import orjson
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.timestamps import epoch_ms, utc_now
from newswire.users.records import user_functions

MAX_WAITING = 10_000
"""Beyond it, further requests are dropped: more than any house has users, it can only be an attack."""


class MailKind(StrEnum):
    """What a mail is about."""

    INVITATION = "invitation"
    PASSWORD_LINK = "password_link"  # noqa: S105 (the name of a kind)
    """Somebody asked for a new password. The only kind whose request names an address instead of a user."""
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 (the name of a kind)
    PASSWORD_REMOVED = "password_removed"  # noqa: S105 (the name of a kind)
    PASSKEY_ADDED = "passkey_added"
    PASSKEY_REMOVED = "passkey_removed"
    IDENTITY_LINKED = "identity_linked"
    IDENTITY_UNLINKED = "identity_unlinked"
    EMAIL_CHANGED = "email_changed"
    """Goes to the former address."""
    ENDPOINT_FAILING = "endpoint_failing"
    """An endpoint of an account fails, and will be disabled; for those who manage its subscriptions."""


@dataclass(frozen=True, slots=True)
class MailRequest:
    """A mail to send. ``language``: None for that of the installation."""

    kind: MailKind
    requested_ms: int
    user_id: str | None = None
    address: str | None = None
    """Where it goes, unless that is the address of the user."""
    language: str | None = None
    client: str | None = None
    """The network address of who asked, for the audit log."""
    id: str = field(default_factory=lambda: uuid4().hex)

    def stored(self) -> bytes:
        """Return the request as it waits in Redis."""
        return orjson.dumps(asdict(self), option=orjson.OPT_SORT_KEYS)


class MailRequests:
    """The requests that wait: a sorted set, scored by when each is due next."""

    def __init__(self, redis: "Redis", keys: Keyspace, clock: Callable[[], datetime] = utc_now) -> None:
        self._redis = redis
        self._clock = clock
        self._functions = user_functions(redis, keys)
        self._key = keys.key("user-mails")

    async def add(
        self,
        kind: MailKind,
        *,
        user_id: str | None = None,
        address: str | None = None,
        language: str | None = None,
        client: str | None = None,
    ) -> None:
        """Ask for a mail."""
        now = epoch_ms(self._clock())
        request = MailRequest(kind, now, user_id, address, language, client)
        arguments = {"request": request.stored().decode(), "now": now, "max": MAX_WAITING}
        await self._functions.call("add_mail_request", [self._key], arguments)

    async def claim(self, limit: int, lease_ms: int) -> list[MailRequest]:
        """Return requests that are due. Each is due again after the lease, unless it is done or put off before."""
        arguments = {"now": epoch_ms(self._clock()), "lease": lease_ms, "limit": limit}
        found = await self._functions.call("claim_mail_requests", [self._key], arguments)
        return [MailRequest(**{**(stored := orjson.loads(each)), "kind": MailKind(stored["kind"])}) for each in found]

    async def done(self, request: MailRequest) -> None:
        """Forget a request."""
        await self._redis.zrem(self._key, request.stored())

    async def put_off(self, request: MailRequest, until: datetime) -> None:
        """Make a request due at a time."""
        await self._redis.zadd(self._key, {request.stored(): epoch_ms(until)}, xx=True)
