"""What follows from an attempt, for each outcome: a table without a server."""

from typing import Any

import pytest

from newswire.events import PUBLISHED, RETRACTED
from newswire_notify.deliveries.attempt_decisions import (
    JITTER,
    MAX_RETRY_AFTER_SECONDS,
    RETRY_DELAYS_SECONDS,
    CircuitPolicy,
    decide_outcome,
    decide_settlement,
)
from newswire_notify.deliveries.models import Attempt, AttemptOutcome
from newswire_notify.webhooks.sending import SendResult
from tests.notify.conftest import claimed_delivery

FIRST = claimed_delivery("https://receiver.example/a")
SECOND = FIRST._replace(version=2)
RETRACTION = FIRST._replace(type=RETRACTED)


def middle(low: float, high: float) -> float:
    return (low + high) / 2


def sent(status: int = 500, retry_after: float | None = None) -> SendResult:
    return SendResult(Attempt(1.0, 1, status, 2.0), retry_after)


@pytest.mark.parametrize(
    ("result", "failures", "outcome", "wait"),
    [
        ({"status": 204}, 0, AttemptOutcome.DELIVERED, 0.0),
        ({"status": 410}, 0, AttemptOutcome.GONE, 0.0),
        ({}, 0, AttemptOutcome.RETRY, RETRY_DELAYS_SECONDS[0]),
        ({}, 6, AttemptOutcome.RETRY, RETRY_DELAYS_SECONDS[6]),
        ({}, 7, AttemptOutcome.DEAD, 0.0),
        ({"retry_after": 120.0}, 0, AttemptOutcome.RETRY_AFTER, 120.0),
        ({"retry_after": 1.0}, 0, AttemptOutcome.RETRY_AFTER, RETRY_DELAYS_SECONDS[0]),
        ({"retry_after": 1e9}, 0, AttemptOutcome.RETRY_AFTER, MAX_RETRY_AFTER_SECONDS),
        ({"retry_after": 1e9}, 5, AttemptOutcome.RETRY_AFTER, RETRY_DELAYS_SECONDS[5]),
        ({"retry_after": 120.0}, 7, AttemptOutcome.DEAD, 0.0),
    ],
)
def test_the_outcome_of_an_attempt(result: dict[str, Any], failures: int, outcome: AttemptOutcome, wait: float) -> None:
    assert decide_outcome(FIRST._replace(failures=failures), sent(**result), middle) == (outcome, wait)


def test_retries_are_spread() -> None:
    _, earliest = decide_outcome(FIRST, sent(), min)
    _, latest = decide_outcome(FIRST, sent(), max)
    assert (earliest, latest) == (RETRY_DELAYS_SECONDS[0] * (1 - JITTER), RETRY_DELAYS_SECONDS[0] * (1 + JITTER))


@pytest.mark.parametrize(
    ("outcome", "decided"),
    [
        (AttemptOutcome.DELIVERED, {"state": "delivered", "health": "success"}),
        (AttemptOutcome.RETRY, {"state": "waiting", "failed": True, "health": "failure"}),
        (AttemptOutcome.RETRY_AFTER, {"state": "waiting", "failed": True, "health": "hold"}),
        (AttemptOutcome.DEAD, {"state": "dead", "health": "failure"}),
        (AttemptOutcome.GONE, {"state": "dead", "gone": True}),
        (AttemptOutcome.CANCELLED, {"state": "cancelled"}),
        (AttemptOutcome.RELEASED, {"state": "waiting"}),
    ],
)
def test_what_follows_from_an_outcome(outcome: AttemptOutcome, decided: dict[str, Any]) -> None:
    assert FIRST.type == PUBLISHED
    assert decide_settlement(FIRST, outcome) == decided


@pytest.mark.parametrize("delivery", [SECOND, RETRACTION])
def test_corrections_and_retractions_outlast_an_endpoint_that_is_gone(delivery: Any) -> None:
    assert decide_settlement(delivery, AttemptOutcome.GONE) == {"state": "waiting", "failed": True, "gone": True}


def test_the_policy_of_a_circuit_is_passed_in_milliseconds() -> None:
    assert CircuitPolicy(3, 1.5, 60.0, 3600.0).arguments() == {
        "opens_after": 3,
        "first_probe": 1500,
        "max_probe": 60_000,
        "disables_after": 3_600_000,
    }
