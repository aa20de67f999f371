"""The input of stream handlers, and how they report entries that they could not handle."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from newswire.events import CloudEvent


@dataclass(frozen=True, slots=True)
class Message:
    """One event of a batch."""

    entry_id: str
    event: CloudEvent
    payload: BaseModel
    redelivered: bool = False
    """Whether it was delivered before, to any consumer: it may have been handled already."""


Messages = Sequence[Message]


class RejectedMessagesError(Exception):
    """Raised by a handler that handled its batch except the entries in ``reasons`` (entry id → why)."""

    def __init__(self, reasons: dict[str, str]) -> None:
        super().__init__(f"{len(reasons)} entries rejected")
        self.reasons = reasons


class DependencyUnavailableError(Exception):
    """Raised by a handler while a dependency is down: the same batch is delivered again after a pause."""


def entry_time_ms(entry_id: str) -> int:
    """Return when an entry was added to its stream: the time in its id, in ms."""
    return int(entry_id.partition("-")[0])


def subject_of(data: bytes) -> str:
    """Return the article that an event is about, if its JSON says so, even if the event is otherwise invalid."""
    try:
        subject = json.loads(data)["subject"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return subject if isinstance(subject, str) else ""
