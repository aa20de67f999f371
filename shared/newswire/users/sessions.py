"""Sessions of browsers, kept in Redis so that they can be listed and ended at once.

The token in the cookie has 256 random bits; only its SHA-256 is stored. A session ends when it was not used for
`IDLE_LIFETIME`, at the latest after `LIFETIME`. A new session starts at every sign-in: a token that was known before is useless.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.timestamps import epoch_ms, from_epoch_ms, utc_now
from newswire.users.models import ProviderSession, Session, StartedSession, User
from newswire.users.records import read_user, user_functions

LIFETIME = timedelta(days=30)
IDLE_LIFETIME = timedelta(days=7)
FRESH = timedelta(minutes=10)
"""How long after a proof of identity dangerous acts need no further one."""
MAX_SESSIONS = 50
"""Of one user; beyond that, the oldest one ends."""
_SEEN_INTERVAL_MS = 60_000
_TOKEN = re.compile(r"nws_[A-Za-z0-9_-]{43}")


class Sessions:
    """Starts, finds and ends sessions."""

    def __init__(self, redis: "Redis", keys: Keyspace, clock: Callable[[], datetime] = utc_now) -> None:
        self._redis = redis
        self._keys = keys
        self._clock = clock
        self._functions = user_functions(redis, keys)

    async def start(
        self, user: User, *, address: str | None, user_agent: str, at_provider: ProviderSession | None = None
    ) -> StartedSession:
        """Start a session of a user who has just proved its identity."""
        token = f"nws_{secrets.token_urlsafe(32)}"
        now = self._clock()
        fields = {
            "user": user.id,
            "created": str(epoch_ms(now)),
            "authenticated": str(epoch_ms(now)),
            "seen": str(epoch_ms(now)),
            "ends": str(epoch_ms(now + LIFETIME)),
            "address": address or "",
            "user_agent": user_agent[:300],
        }
        if at_provider is not None:
            fields |= {"provider": at_provider.provider, "id_token": at_provider.id_token}
        started = StartedSession(token, _digest(token), user)
        arguments = {
            "id": started.id,
            "fields": fields,
            "now": str(epoch_ms(now)),
            "ends": str(epoch_ms(now + LIFETIME)),
            "idle_seconds": int(IDLE_LIFETIME.total_seconds()),
            "max_sessions": MAX_SESSIONS,
            "session_prefix": self._keys.key("session", ""),
        }
        names = [self._record(started.id), self._of(user.id), self._keys.key("user", user.id)]
        await self._functions.call("start_session", names, arguments)
        return started

    async def find(self, token: str) -> tuple[Session, User] | None:
        """Return the session with this token and its user; None if there is none, it has ended, or the user is disabled."""
        if not _TOKEN.fullmatch(token):
            return None
        session_id, now = _digest(token), self._clock()
        arguments = {
            "now": epoch_ms(now),
            "idle_seconds": int(IDLE_LIFETIME.total_seconds()),
            "seen_interval": _SEEN_INTERVAL_MS,
            "user_prefix": self._keys.key("user", ""),
            "account_prefix": self._keys.key("account", ""),
        }
        found = await self._functions.call("use_session", [self._record(session_id)], arguments)
        if not found:
            return None
        session, user = (dict(zip(fields[::2], fields[1::2], strict=True)) for fields in found[:2])
        disabled = frozenset(account.decode() for account in found[2])
        return _session(session_id, session), replace(read_user(user), disabled_accounts=disabled)

    async def list(self, user_id: str) -> list[Session]:
        """Return the sessions of a user that have not ended, newest first."""
        ids = [each.decode() for each in await self._redis.zrevrange(self._of(user_id), 0, -1)]
        async with self._redis.pipeline(transaction=False) as pipe:
            for session_id in ids:
                pipe.hgetall(self._record(session_id))
            records = await pipe.execute()
        return [_session(session_id, fields) for session_id, fields in zip(ids, records, strict=True) if fields]

    async def confirm_identity(self, session: Session) -> Session:
        """Record that the user proved its identity again."""
        now = self._clock()
        await self._functions.call("confirm_identity", [self._record(session.id)], {"now": str(epoch_ms(now))})
        return replace(session, authenticated_at=now)

    def is_fresh(self, session: Session) -> bool:
        """Return whether the user proved its identity so recently that dangerous acts need no further proof."""
        return self._clock() - session.authenticated_at < FRESH

    async def end(self, user_id: str, session_id: str) -> bool:
        """End a session of a user at once; return whether there was one."""
        names = [self._record(session_id), self._of(user_id)]
        return bool(await self._functions.call("end_session", names, {"id": session_id, "user": user_id}))

    async def end_all(self, user_id: str, *, but: str | None = None) -> int:
        """End all sessions of a user at once, but one; return how many."""
        arguments = {"session_prefix": self._keys.key("session", ""), "but": but or ""}
        return int(await self._functions.call("end_sessions", [self._of(user_id)], arguments))

    def _record(self, session_id: str) -> str:
        return self._keys.key("session", session_id)

    def _of(self, user_id: str) -> str:
        return self._keys.key("sessions", "of", user_id)


def csrf_token(session_token: str) -> str:
    """Return the token that every form of a session carries, derived from the session's own so that nothing is stored."""
    return hmac.digest(session_token.encode(), b"newswire csrf", hashlib.sha256).hex()


def is_csrf_token(session_token: str, sent: str) -> bool:
    """Return whether a form was made for this session."""
    return hmac.compare_digest(csrf_token(session_token).encode(), sent.encode("utf-8", "surrogatepass"))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _session(session_id: str, fields: dict[bytes, bytes]) -> Session:
    def moment(name: bytes) -> datetime:
        return from_epoch_ms(int(fields[name])).astimezone(UTC)

    return Session(
        session_id,
        fields[b"user"].decode(),
        moment(b"created"),
        moment(b"authenticated"),
        moment(b"seen"),
        moment(b"ends"),
        fields[b"address"].decode() or None,
        fields[b"user_agent"].decode(),
        ProviderSession(fields[b"provider"].decode(), fields[b"id_token"].decode()) if b"provider" in fields else None,
    )
