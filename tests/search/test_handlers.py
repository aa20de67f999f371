"""The handler of article events, without servers."""

from collections.abc import Sequence
from typing import Any

import pytest

from newswire.events import PUBLISHED, RETRACTED, ArticlePublished, ArticleRetracted, CloudEvent, event
from newswire.messaging.broker import EventBroker
from newswire.messaging.groups import SEARCH
from newswire.messaging.messages import DependencyUnavailableError
from newswire_search.index.models import (
    Operation,
    Publish,
    RejectedOperation,
    Retract,
    WriteStatus,
)
from newswire_search.indexing.handlers import subscribe
from tests.brokers import KEYS, RecordingMember, in_memory
from tests.search.samples import article


class _Index:
    """An index that records writes and returns prepared results."""

    def __init__(self) -> None:
        self.written: list[Operation] = []
        self.answers: list[WriteStatus | RejectedOperation | Exception] = []

    async def write(self, operations: Sequence[Operation]) -> list[WriteStatus | RejectedOperation]:
        answer = self.answers.pop(0) if self.answers else WriteStatus.APPLIED
        if isinstance(answer, Exception):
            raise answer
        self.written += operations
        return [answer] * len(operations)


class _EventPublisher:
    def __init__(self) -> None:
        self.announced: list[Operation] = []

    def put(self, indexed: Any) -> None:
        self.announced.append(indexed.operation)


def published(article_id: str = "a1") -> CloudEvent:
    version = ArticlePublished.model_validate(article(article_id).model_dump())
    return event(PUBLISHED, version, id_=f"{article_id}.1", source="https://news.example", subject=article_id)


def retracted(article_id: str = "a1") -> CloudEvent:
    fields = {"id": article_id, "version": 1, "publisher": "The Post", "retracted_at": "2026-03-05T00:00:00Z"}
    tombstone = ArticleRetracted.model_validate(fields)
    name = f"{article_id}.1.retracted"
    return event(RETRACTED, tombstone, id_=name, source="https://news.example", subject=article_id)


@pytest.fixture
def member() -> RecordingMember:
    return RecordingMember(SEARCH)


@pytest.fixture
def index() -> _Index:
    return _Index()


@pytest.fixture
def publisher() -> _EventPublisher:
    return _EventPublisher()


@pytest.fixture
def broker(member: RecordingMember, index: Any, publisher: Any) -> EventBroker:
    broker = EventBroker(member)
    subscribe(broker, index, publisher)
    return broker


async def test_versions_and_tombstones_are_indexed_published_and_acknowledged(
    broker: EventBroker, member: RecordingMember, index: _Index, publisher: _EventPublisher
) -> None:
    async with in_memory(broker) as opened:
        await opened.publish(published(), stream=KEYS.stream)
        await opened.publish(retracted(), stream=KEYS.stream)
    assert [type(operation) for operation in index.written] == [Publish, Retract]
    assert publisher.announced == index.written
    assert member.acknowledged == [["0-1"], ["0-1"]]
    assert member.dead_letters == {}


async def test_rejected_articles_go_to_the_dead_letters(
    broker: EventBroker, member: RecordingMember, index: _Index, publisher: _EventPublisher
) -> None:
    index.answers = [RejectedOperation("a field is too long")]
    async with in_memory(broker) as opened:
        await opened.publish(published(), stream=KEYS.stream)
    assert member.dead_letters == {"0-1": "index: a field is too long"}
    assert publisher.announced == []


async def test_the_batch_is_kept_while_the_index_is_down(
    broker: EventBroker, member: RecordingMember, index: _Index
) -> None:
    index.answers = [DependencyUnavailableError("the index is down")] * 3
    async with in_memory(broker) as opened:
        await opened.publish(published(), stream=KEYS.stream)
    assert member.backoffs == ["the index is down"] * 3
    assert len(index.written) == 1
    assert member.acknowledged == [["0-1"]]
    assert member.backoff_reason is None


@pytest.mark.parametrize("poison", [b"{", b"[]", b"\xff"])
async def test_poison_never_reaches_the_index(
    broker: EventBroker, member: RecordingMember, index: _Index, poison: bytes
) -> None:
    async with in_memory(broker) as opened:
        await opened.publish(poison, stream=KEYS.stream)
    assert index.written == []
    assert list(member.dead_letters) == ["0-1"]


async def test_an_error_of_the_index_code_is_tried_three_times(
    broker: EventBroker, member: RecordingMember, index: _Index
) -> None:
    index.answers = [ZeroDivisionError("planted")] * 3
    async with in_memory(broker) as opened:
        await opened.publish(published(), stream=KEYS.stream)
    assert index.answers == []
    assert "planted" in member.dead_letters["0-1"]
