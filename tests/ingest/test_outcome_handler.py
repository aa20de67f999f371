"""Ingest's handler of outcomes: FastStream delivers in memory, the numbers are stored in a real Redis."""

from redis.asyncio import Redis

from newswire.events import INDEXED, SUBSCRIPTION_DISABLED, ArticleIndexed, SubscriptionDisabled, event
from newswire.keys import Keyspace
from newswire.messaging.broker import EventBroker
from newswire.messaging.groups import OUTCOMES
from newswire_ingest.outcomes.repository import Outcomes
from tests.brokers import KEYS, RecordingMember, in_memory


async def test_an_outcome_is_recorded_and_acknowledged_and_others_are_only_acknowledged(
    redis: Redis, namespace: str
) -> None:
    keys, member = Keyspace(namespace), RecordingMember(OUTCOMES)
    broker = EventBroker(member)
    Outcomes(redis, keys).subscribe(broker)
    indexed = ArticleIndexed(id="a1", version=1, index="embedded", latency_ms=3.5, event="a1.1")
    disabled = SubscriptionDisabled.model_validate(
        {"id": "s1", "account": "reader", "reason": "gone", "disabled_at": "2026-03-05T00:00:00Z"}
    )
    async with in_memory(broker) as opened:
        for type_, data in ((INDEXED, indexed), (SUBSCRIPTION_DISABLED, disabled)):
            outcome = event(type_, data, id_="x", source="https://news.example", subject=data.id)
            await opened.publish(outcome, stream=KEYS.outcomes)
    record = await redis.hgetall(keys.key("outcome", "a1.1"))
    assert (record[b"index"], record[b"latency_ms"]) == (b"embedded", b"3.5")
    assert [name async for name in redis.scan_iter(f"{namespace}:*")] == [keys.key("outcome", "a1.1").encode()]
    assert member.acknowledged == [["0-1"], ["0-1"]]
    assert member.dead_letters == {}


async def test_an_invalid_outcome_becomes_a_dead_letter(redis: Redis, namespace: str) -> None:
    member = RecordingMember(OUTCOMES)
    broker = EventBroker(member)
    Outcomes(redis, Keyspace(namespace)).subscribe(broker)
    async with in_memory(broker) as opened:
        await opened.publish(b'{"specversion": "0.3"}', stream=KEYS.outcomes)
    assert "not a CloudEvent" in member.dead_letters["0-1"]
