"""What follows from an attempt: for its delivery, and for the endpoint. `docs/deliveries.md` has the table.

Redis applies the decision in one step (`settle` in claiming.lua), if the worker still holds the lease. What only that step can know
stays there: whether a later version supersedes the delivery, and how many failures in a row other workers have counted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from newswire.events import RETRACTED
from newswire_notify.deliveries.models import AttemptOutcome, ClaimedDelivery
from newswire_notify.webhooks.sending import SendResult

RETRY_DELAYS_SECONDS = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 36_000.0)
"""Seconds to wait after each failure: about 28 hours in all."""
JITTER = 0.2
MAX_RETRY_AFTER_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """When the circuit of an endpoint opens, and how it is probed. Times are seconds."""

    opens_after: int = 5
    """Failures in a row."""
    first_probe: float = 30.0
    """From the opening to the first probe. Each failed probe doubles it."""
    max_probe: float = 300.0
    disables_after: float = 5 * 86_400.0
    """How long an endpoint may fail without a success before its subscription is disabled."""

    def arguments(self) -> dict[str, int]:
        """Return the policy as the Redis functions take it; times are ms."""
        return {
            "opens_after": self.opens_after,
            "first_probe": int(self.first_probe * 1000),
            "max_probe": int(self.max_probe * 1000),
            "disables_after": int(self.disables_after * 1000),
        }


def decide_outcome(
    delivery: ClaimedDelivery, sent: SendResult, uniform: Callable[[float, float], float]
) -> tuple[AttemptOutcome, float]:
    """Return the outcome of an attempt, and the seconds until the next one."""
    if sent.accepted:
        return AttemptOutcome.DELIVERED, 0.0
    if sent.gone:
        return AttemptOutcome.GONE, 0.0
    if delivery.failures >= len(RETRY_DELAYS_SECONDS):
        return AttemptOutcome.DEAD, 0.0
    wait = RETRY_DELAYS_SECONDS[delivery.failures] * uniform(1 - JITTER, 1 + JITTER)
    if sent.retry_after is not None:
        return AttemptOutcome.RETRY_AFTER, min(max(wait, sent.retry_after), max(wait, MAX_RETRY_AFTER_SECONDS))
    return AttemptOutcome.RETRY, wait


def decide_settlement(delivery: ClaimedDelivery, outcome: AttemptOutcome) -> dict[str, Any]:
    """Return what Redis is to do: the next ``state`` of the delivery, and what the outcome says about the endpoint.

    ``failed``: the attempt counts as one of the failures after which the delivery is dead. ``health``: the endpoint had a
    ``success``, a ``failure``, or is to be left alone until the retry (``hold``). ``gone``: its subscription is to be disabled.
    """
    match outcome:
        case AttemptOutcome.DELIVERED:
            return {"state": "delivered", "health": "success"}
        case AttemptOutcome.RETRY:
            return {"state": "waiting", "failed": True, "health": "failure"}
        case AttemptOutcome.RETRY_AFTER:
            return {"state": "waiting", "failed": True, "health": "hold"}
        case AttemptOutcome.DEAD:
            return {"state": "dead", "health": "failure"}
        case AttemptOutcome.GONE if follows_up(delivery):
            # It is held until the subscription, which is disabled now, is enabled again.
            return {"state": "waiting", "failed": True, "gone": True}
        case AttemptOutcome.GONE:
            return {"state": "dead", "gone": True}
        case AttemptOutcome.CANCELLED:
            return {"state": "cancelled"}
        case AttemptOutcome.RELEASED:
            return {"state": "waiting"}


def follows_up(delivery: ClaimedDelivery) -> bool:
    """Return whether a delivery corrects or retracts an article that its recipients were sent."""
    return delivery.version > 1 or delivery.type == RETRACTED
