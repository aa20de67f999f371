"""Failed authentication: counted, logged and throttled by address.

An address with very many failures gets 429 before its keys are looked up, except for keys that were valid a short while ago:
an attacker behind the address of a newsroom must not lock the newsroom out.
"""

import hashlib
import logging
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from newswire.http.problems import ProblemError, problem
from newswire.observability import metrics
from newswire.rate_limits import RatePolicy, TokenBuckets

log = logging.getLogger(__name__)

WINDOW_SECONDS = 60
REMEMBERED_SECONDS = 15 * 60.0
"""How long a key that was valid is exempt from the throttling of its address."""
MAX_REMEMBERED = 20_000
_LOG_LINES = RatePolicy("log lines", 100, 10)
_BURSTS_OF_A_CLIENT = RatePolicy("audit entries of a client", 1, WINDOW_SECONDS)
_BURSTS = RatePolicy("audit entries", 60, WINDOW_SECONDS)
"""Audit entries are kept for a year: attacks from very many addresses must not fill the memory."""
_KEY_ID = re.compile(r"(?i:bearer)\s+(nw_[0-9a-z]{8,32})_")
_HASH_KEY = secrets.token_bytes(32)


def credential_hash(sent: str) -> bytes:
    """Return the hash of a credential for this process's memory, which never holds the credential itself."""
    return hashlib.blake2b(sent.encode("utf-8", "surrogateescape"), key=_HASH_KEY, digest_size=16).digest()


class AuthenticationFailures:
    """Counts failed authentication in this process, by client network."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Allow each network this many failures per minute; 0 for no limit."""
        self._clock = clock
        self._failed = TokenBuckets(RatePolicy("authentication-failures", per_minute, WINDOW_SECONDS))
        self._limited = per_minute > 0
        self._lines = TokenBuckets(_LOG_LINES)
        self._bursts_of_a_client = TokenBuckets(_BURSTS_OF_A_CLIENT)
        self._bursts = TokenBuckets(_BURSTS)
        self._valid: OrderedDict[bytes, float] = OrderedDict()

    def check(self, client: str, sent: str) -> None:
        """Check whether a credential may be looked up.

        Raises:
            ProblemError: its network failed too often, and the credential was not valid a short while ago (429).
        """
        if not self._limited:
            return
        now = self._clock()
        if self._failed.has(client, 1, now) or self._valid.get(credential_hash(sent), 0.0) > now:
            return
        metrics.authentication_failures.labels("slowed_down").inc()
        raise self._too_many(self._failed.spend(client, 1, now).seconds)

    def succeeded(self, sent: str) -> None:
        """Remember that a credential is valid."""
        now, name = self._clock(), credential_hash(sent)
        self._valid[name] = now + REMEMBERED_SECONDS
        self._valid.move_to_end(name)
        if len(self._valid) > MAX_REMEMBERED:
            self._valid.popitem(last=False)

    def failed(self, client: str, sent: str, address: str | None) -> None:
        """Count and log a credential that is not valid, and the address that sent it."""
        now = self._clock()
        metrics.authentication_failures.labels("refused").inc()
        self._valid.pop(credential_hash(sent), None)
        last = self._limited and not self._failed.spend(client, 1, now).left
        if self._lines.spend("", 1, now).allowed:
            found = _KEY_ID.match(sent)
            extra = {"address": (address or client)[:100], "key": found[1] if found else "malformed"}
            log.warning("authentication failed", extra=extra)
            if last:
                log.warning("too many failed authentications: the client is throttled", extra={"address": client})

    def begins_burst(self, client: str) -> bool:
        """Return whether to record a throttled network in the audit log: once a minute for each network, 60 a minute in all."""
        now = self._clock()
        return self._bursts_of_a_client.spend(client, 1, now).allowed and self._bursts.spend("", 1, now).allowed

    def _too_many(self, seconds: int) -> ProblemError:
        return problem(
            429,
            "too-many-failures",
            f"too many keys from this address were rejected; try again in {seconds} s with a valid key",
            title="Too many failed authentications",
            headers={"Retry-After": str(max(seconds, 1))},
        )
