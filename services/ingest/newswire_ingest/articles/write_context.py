"""The context of a write: the caller, the time, the identity of the request, and the daily quota."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

import orjson

from newswire.auth.credentials import Caller


@dataclass(frozen=True, slots=True)
class IdempotencyScope:
    """Identifies repeats of a request: the client's ``Idempotency-Key`` within its account, method and path."""

    account: str
    method: str
    path: str
    key: str

    def digest(self) -> str:
        """Return the last part of the name of its record."""
        return hashlib.sha256(orjson.dumps([self.account, self.method, self.path, self.key])).hexdigest()


@dataclass(frozen=True, slots=True)
class WriteContext:
    """Who sent a request, when, and how a repeat of it is recognised. Every function of the store checks for a repeat first."""

    caller: Caller
    now: datetime
    fingerprint: str
    idempotency: IdempotencyScope | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    """How many new articles an account may publish in a day (0: any number), and the key of its counter."""

    counter: str = ""
    maximum: int = 0


NO_QUOTA = Quota()
