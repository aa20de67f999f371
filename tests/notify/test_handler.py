"""Notify's handler of article events, without a server."""

from collections.abc import Sequence
from typing import Any

import pytest

from newswire.events import PUBLISHED, CloudEvent, event
from newswire.messaging.broker import EventBroker
from newswire.messaging.groups import NOTIFY
from newswire.messaging.messages import DependencyUnavailableError, Message
from newswire_notify.fanout.handlers import subscribe
from tests.brokers import KEYS, RecordingMember, in_memory
from tests.notify.conftest import published


class _FanOut:
    def __init__(self) -> None:
        self.fanned_out: list[str] = []

    async def __call__(self, batch: Sequence[Message]) -> None:
        self.fanned_out += [message.event.id for message in batch]


class _Memory:
    """Whether the delivery Redis is full, and why."""

    full: str | None = None


class _PatientMember(RecordingMember):
    """A member during whose second pause memory becomes free."""

    def __init__(self, room: _Memory) -> None:
        super().__init__(NOTIFY)
        self._room = room

    async def back_off(self, reason: str, failures: int) -> bool:
        if len(self.backoffs) == 1:
            self._room.full = None
        return await super().back_off(reason, failures)


def article_event() -> CloudEvent:
    article = published("a1")
    return event(PUBLISHED, article, id_="a1.1", source="https://news.example", subject="a1")


@pytest.fixture
def member() -> RecordingMember:
    return RecordingMember(NOTIFY)


async def test_events_are_fanned_out_and_acknowledged(member: RecordingMember) -> None:
    fan_out: Any = _FanOut()
    room: Any = _Memory()
    broker = EventBroker(member)
    subscribe(broker, fan_out, room)
    async with in_memory(broker) as opened:
        await opened.publish(article_event(), stream=KEYS.stream)
    assert fan_out.fanned_out == ["a1.1"]
    assert member.acknowledged == [["0-1"]]


async def test_events_wait_while_the_delivery_redis_is_full() -> None:
    fan_out: Any = _FanOut()
    room: Any = _Memory()
    room.full = "Redis is full"
    member = _PatientMember(room)
    broker = EventBroker(member)
    subscribe(broker, fan_out, room)
    async with in_memory(broker) as opened:
        await opened.publish(article_event(), stream=KEYS.stream)
    assert member.backoffs == ["Redis is full", "Redis is full"]
    assert fan_out.fanned_out == ["a1.1"]


async def test_an_analysis_that_takes_too_long_is_retried(member: RecordingMember) -> None:
    attempts = 0

    async def slow_once(batch: Sequence[Message]) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise DependencyUnavailableError("a long article could not be analysed in time")

    fan_out: Any = slow_once
    room: Any = _Memory()
    broker = EventBroker(member)
    subscribe(broker, fan_out, room)
    async with in_memory(broker) as opened:
        await opened.publish(article_event(), stream=KEYS.stream)
    assert (attempts, member.dead_letters) == (2, {})
