"""What the atomic functions of the store return."""

from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal[
    "OK",
    "REPEAT",
    "KEY_MISMATCH",
    "EXTERNAL_TAKEN",
    "STALE",
    "BARRED",
    "CANCELLED",
    "OVER_QUOTA",
    "LABEL_CONFLICT",
    "TAKEN_DOWN",
]


@dataclass(frozen=True, slots=True)
class StoreResult:
    """The reply of a function; ``article_id`` for the verdicts that name an article."""

    verdict: Verdict
    article_id: str = ""
    entry: str = ""


@dataclass(frozen=True, slots=True)
class DuePublication:
    """A scheduled article that was published, and its due time."""

    article_id: str
    due: float
    """Seconds since the epoch."""


def parse_store_result(answer: list[Any]) -> StoreResult:
    """Read the reply of a function."""
    verdict: Verdict = answer[0].decode()
    match verdict:
        case "REPEAT" | "EXTERNAL_TAKEN" | "CANCELLED":
            return StoreResult(verdict, article_id=answer[1].decode())
        case "OK":
            return StoreResult(verdict, entry=answer[1].decode())
        case _:
            return StoreResult(verdict)
