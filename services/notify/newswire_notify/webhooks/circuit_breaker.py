"""The circuit breaker of an endpoint, read from the record of its subscription."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel


class CircuitState(StrEnum):
    """State of a circuit breaker."""

    CLOSED = "closed"
    OPEN = "open"
    """The endpoint failed repeatedly: nothing is sent to it for a while."""
    HALF_OPEN = "half_open"
    """One delivery is sent as a probe."""


class EndpointHealthView(BaseModel):
    """Health of an endpoint."""

    circuit: CircuitState
    failures: int
    """Failures in a row, since the last success."""
    failing_since: datetime | None
    probe_at: datetime | None
    """Time of the next probe; may be past."""
    held_until: datetime | None
    """No delivery before this time: the endpoint sent ``Retry-After``."""


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """Health of an endpoint. Times are seconds since the epoch."""

    circuit: CircuitState
    failures: int
    """Failures in a row, since the last success."""
    failing_since: float | None
    probe_at: float | None
    held_until: float | None
    """No delivery before this time: the endpoint sent ``Retry-After``."""

    def public_view(self) -> dict[str, Any]:
        """Return the JSON members that its owner sees."""
        return {
            "circuit": str(self.circuit),
            "failures": self.failures,
            "failing_since": _moment(self.failing_since),
            "probe_at": _moment(self.probe_at),
            "held_until": _moment(self.held_until),
        }


HEALTHY = EndpointHealth(CircuitState.CLOSED, 0, None, None, None)


def read_health(fields: Mapping[bytes, bytes], now: float) -> EndpointHealth:
    """Read an endpoint's health from its subscription's record."""

    def at(name: bytes) -> float | None:
        return int(fields[name]) / 1000 if name in fields else None

    probe_at, held_until = at(b"probe_at"), at(b"held_until")
    circuit = CircuitState.CLOSED
    if probe_at is not None:
        circuit = CircuitState.OPEN if now < probe_at else CircuitState.HALF_OPEN
    return EndpointHealth(
        circuit,
        int(fields.get(b"failing", 0)),
        at(b"failing_since"),
        probe_at,
        held_until if held_until is not None and held_until > now else None,
    )


def _moment(seconds: float | None) -> str | None:
    return (
        None
        if seconds is None
        else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
