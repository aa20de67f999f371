"""Limits open live streams and waiting pulls: per process, per key and per address."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from newswire.auth.credentials import Caller

RETRY_AFTER_SECONDS = 10


class TooManyConnectionsError(Exception):
    """A key or an address has as many live streams and waiting pulls open as it may."""

    retry_after_seconds = RETRY_AFTER_SECONDS

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"this {what} has {limit} live streams and waiting pulls open, its limit; close one first")


class ConnectionsExhaustedError(Exception):
    """The process has as many live streams open as it may."""

    retry_after_seconds = RETRY_AFTER_SECONDS

    def __init__(self) -> None:
        super().__init__("the limit of open live streams is reached; try again later")


@dataclass
class ConnectionLimiter:
    """Counts the open connections of one process, per key and per address."""

    max_connections: int
    per_key: int
    per_address: int
    _taken: int = 0
    _by: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def admit(self, caller: Caller | None, network: str | None) -> Iterator[None]:
        """Count a connection while it is open. ``network``: the one that the client can choose addresses from.

        Raises:
            TooManyConnectionsError: the key or the network has reached its limit.
            ConnectionsExhaustedError: the process has.
        """
        if self._taken >= self.max_connections:
            raise ConnectionsExhaustedError
        limits = {f"address {network}": ("address", self.per_address)} if network else {}
        if caller is not None:
            limits[f"key {caller.key_id}"] = ("key", self.per_key)
        for name, (what, maximum) in limits.items():
            if self._by[name] >= maximum:
                raise TooManyConnectionsError(what, maximum)
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
