"""Publishers can read the outcomes of their articles, in whatever order the events arrive."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from newswire.auth.credentials import Scope
from newswire.events import (
    FANNED_OUT,
    FIELD,
    INDEXED,
    MAILED,
    PROGRESSED,
    STREAMED,
    ArticleFannedOut,
    ArticleIndexed,
    ArticlesStreamed,
    DeliveriesProgressed,
    MailsProgressed,
    StreamedEventReaders,
    event,
)
from newswire.messaging.broker import EventBroker
from newswire.messaging.group_member import GroupMember
from newswire.messaging.groups import OUTCOMES
from newswire_ingest.outcomes.repository import Outcomes
from tests.ingest.conftest import ARTICLE, Ingest


@pytest.fixture
async def _taken_in(ingest: Ingest) -> AsyncIterator[None]:
    """Run the loop that ingest runs in parallel to its API."""
    stopping = asyncio.Event()
    broker = EventBroker(GroupMember(ingest.redis, ingest.keys, OUTCOMES))
    Outcomes(ingest.redis, ingest.keys).subscribe(broker)
    loop = asyncio.create_task(broker.consume(stopping))
    yield
    stopping.set()
    await loop


def streamed(process: str, **readers: int) -> ArticlesStreamed:
    events = [StreamedEventReaders(event=event, readers=number) for event, number in readers.items()]
    return ArticlesStreamed(process=process, events=events)


async def say(ingest: Ingest, type_: str, data: BaseModel, article: str) -> None:
    said = event(type_, data, id_=f"{article}.x", source="https://news.example/x", subject=article)
    await ingest.redis.xadd(ingest.keys.outcomes, {FIELD: said.to_json()})


async def until(ingest: Ingest, location: str, headers: dict[str, str], **wanted: Any) -> list[dict[str, Any]]:
    """Return the outcomes once the newest one has the wanted values."""
    async with asyncio.timeout(60):
        while True:
            answer = await ingest.http.get(f"{location}/outcomes", headers=headers)
            assert answer.status_code == 200, answer.text
            outcomes: list[dict[str, Any]] = answer.json()["outcomes"]
            if outcomes and wanted.items() <= outcomes[0].items():
                return outcomes
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("_taken_in")
async def test_outcomes_report_indexing_and_deliveries(ingest: Ingest, publisher: dict[str, str]) -> None:
    posted = await ingest.http.post("/v1/articles", json=ARTICLE, headers=publisher)
    article, location = posted.json()["id"], posted.headers["location"]
    nothing = {
        "version": 1, "type": "published", "searchable_after_ms": None, "index": None, "matched": None,
        "previously_matched": None, "delivered": 0, "pending": None, "dead": 0, "superseded": 0, "cancelled": 0, "live_readers": 0,
        "mails": {
            "planned": 0, "accepted": 0, "pending": 0, "deferred": 0, "bounced": 0, "failed": 0, "cancelled": 0,
        },
    }  # fmt: skip
    assert await until(ingest, location, publisher, version=1) == [nothing]

    first = f"{article}.1"
    found = ArticleIndexed(id=article, version=1, index="embedded", latency_ms=180.5, event=first)
    await say(ingest, INDEXED, found, article)
    await say(ingest, INDEXED, found.model_copy(update={"latency_ms": 90_000.0}), article)  # recreated later
    told = ArticleFannedOut(id=article, version=1, event=first, matched=10, previously_matched=2)
    await say(ingest, FANNED_OUT, told, article)
    done = DeliveriesProgressed(id=article, version=1, event=first, delivered=7, dead=1, superseded=1, cancelled=1)
    await say(ingest, PROGRESSED, done, article)
    await say(ingest, PROGRESSED, DeliveriesProgressed(id=article, version=1, event=first, delivered=3), article)
    [outcome] = await until(ingest, location, publisher, delivered=7)
    assert outcome == nothing | {
        "searchable_after_ms": 180.5, "index": "embedded", "matched": 10, "previously_matched": 2, "delivered": 7,
        "pending": 2, "dead": 1, "superseded": 1, "cancelled": 1,
    }  # fmt: skip
    await say(ingest, PROGRESSED, done.model_copy(update={"delivered": 9}), article)
    await until(ingest, location, publisher, pending=0)
    [record] = [name async for name in ingest.redis.scan_iter(f"{ingest.keys.namespace}:outcome:*")]
    assert 29 * 86_400 < await ingest.redis.ttl(record) <= 30 * 86_400


@pytest.mark.usefixtures("_taken_in")
async def test_outcomes_report_mails_and_live_readers(ingest: Ingest, publisher: dict[str, str]) -> None:
    posted = await ingest.http.post("/v1/articles", json=ARTICLE, headers=publisher)
    article, location = posted.json()["id"], posted.headers["location"]
    first = f"{article}.1"

    async def mailed(newsletter: str, **counts: int) -> None:
        data = MailsProgressed(id=article, version=1, event=first, newsletter=newsletter, **counts)
        await say(ingest, MAILED, data, article)

    await mailed("nl_a", planned=10, accepted=6, deferred=4, bounced=2, returned=1)
    await mailed("nl_b", planned=3, accepted=1, failed=1, cancelled=1)
    await mailed("nl_a", planned=10, accepted=2)  # an older report that arrives late
    for process, readers in (("p1", 5), ("p2", 7), ("p1", 5)):
        await say(ingest, STREAMED, streamed(process, **{first: readers, "gone.1": 1}), process)
    [outcome] = await until(ingest, location, publisher, live_readers=12)
    assert outcome["mails"] == {
        "planned": 13, "accepted": 7, "pending": 3, "deferred": 4, "bounced": 2, "failed": 1, "cancelled": 1,
    }  # fmt: skip


@pytest.mark.usefixtures("_taken_in")
async def test_a_retraction_has_an_outcome_of_its_own(ingest: Ingest, publisher: dict[str, str]) -> None:
    posted = await ingest.http.post("/v1/articles", json=ARTICLE, headers=publisher)
    article, location = posted.json()["id"], posted.headers["location"]
    await ingest.http.delete(location, headers=publisher)
    gone = f"{article}.1.retracted"
    await say(
        ingest,
        FANNED_OUT,
        ArticleFannedOut(id=article, version=1, event=gone, matched=0, previously_matched=4),
        article,
    )
    found = ArticleIndexed(id=article, version=1, index="embedded", latency_ms=70, event=gone)
    await say(ingest, INDEXED, found, article)
    [outcome] = await until(ingest, location, publisher, type="retracted", searchable_after_ms=70.0)
    assert (outcome["previously_matched"], outcome["pending"]) == (4, 4)


async def test_only_the_publisher_can_read_outcomes(ingest: Ingest, publisher: dict[str, str]) -> None:
    posted = await ingest.http.post("/v1/articles", json=ARTICLE, headers=publisher)
    path = f"{posted.headers['location']}/outcomes"
    stranger = await ingest.key("Valley Post", Scope.PUBLISH)
    subscriber = await ingest.key("Harbour Gazette", Scope.SUBSCRIBE)
    asked: list[tuple[httpx.Response, int]] = [
        (await ingest.http.get(path), 401),
        (await ingest.http.get(path, headers=subscriber), 403),
        (await ingest.http.get(path, headers=stranger), 404),
        (await ingest.http.get("/v1/articles/nothing/outcomes", headers=publisher), 404),
        (await ingest.http.get(f"{posted.headers['location']}:v:1/outcomes", headers=publisher), 404),
        (await ingest.http.get(f"{path}?since=1", headers=publisher), 422),
    ]
    assert [answer.status_code for answer, _ in asked] == [status for _, status in asked]
