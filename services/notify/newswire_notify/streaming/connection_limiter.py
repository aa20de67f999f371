"""Limits open live streams and waiting pulls: per process, per key and per address."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from newswire.auth.credentials import Caller
from newswire.http.client_address import client_network
from newswire.http.problems import problem, unavailable

RETRY_AFTER = 10
"""Seconds."""


@dataclass
class ConnectionLimiter:
    """Counts the open connections of one process, per key and per address."""

    max_connections: int
    per_key: int
    per_address: int
    _taken: int = 0
    _by: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def admit(self, caller: Caller | None, address: str | None) -> Iterator[None]:
        """Count a connection while it is open.

        Raises:
            ProblemError: the key or the address has reached its limit (429), or the process has (503).
        """
        if self._taken >= self.max_connections:
            raise unavailable("the limit of open live streams is reached; try again later", retry_after=RETRY_AFTER)
        limits = {f"address {client_network(address)}": ("address", self.per_address)} if address else {}
        if caller is not None:
            limits[f"key {caller.key_id}"] = ("key", self.per_key)
        for name, (what, maximum) in limits.items():
            if self._by[name] >= maximum:
                raise problem(
                    429,
                    "too-many-streams",
                    f"this {what} has {maximum} live streams and waiting pulls open, its limit; close one first",
                    title="Too many live streams",
                    headers={"Retry-After": str(RETRY_AFTER)},
                )
        self._taken += 1
        self._by.update(limits.keys())
        try:
            yield
        finally:
            self._taken -= 1
            for name in limits:
                self._by[name] -= 1
                if not self._by[name]:
                    del self._by[name]
