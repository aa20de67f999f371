"""Who would be notified: counted as the fan-out and the planner decide, over real Pub/Sub, and without their effects."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from newswire.audience import AudienceReply, AudienceRequest, MailCounts, channel
from newswire.auth.accounts import entitle_account
from newswire.filters import Filter
from newswire.messaging.requests import NoReplyError, RequestBroker
from newswire_notify.fanout.audience import Audience, reply_to_requests
from newswire_notify.newsletters.audience import ReaderCounts
from tests.notify.conftest import published, until
from tests.notify.newsletters.conftest import House

HOOK = "https://receiver.example"
FERRY = {"query": "ferry"}
FERRIES: dict[str, Any] = {"title": "Ferry sails again", "topics": ["Ferries"]}


async def ask(house: House, article: str = "a", number: int = 1, **changes: object) -> AudienceReply:
    version = published(article, number, **FERRIES | changes)
    return await sent(house, AudienceRequest(article_id=article, version=version))


async def sent(house: House, request: AudienceRequest) -> AudienceReply:
    reply = await RequestBroker(house.redis).ask(request.model_dump_json().encode(), channel(house.keys), 30)
    return AudienceReply.model_validate_json(reply)


@pytest.fixture
async def counted(house: House) -> AsyncIterator[House]:
    """The house, with two processes that reply."""
    await house.desk.matcher.catch_up()
    stopping = asyncio.Event()
    readers = ReaderCounts(house.parts.newsletters, house.redis, house.keys, house.clock)
    tasks = []
    for _ in range(2):
        broker = RequestBroker(house.redis)
        reply_to_requests(broker, Audience(house.desk.matcher, readers, house.redis, house.keys), house.keys)
        tasks.append(asyncio.create_task(broker.reply_until(stopping)))

    async def listening() -> bool:
        return bool((await house.redis.pubsub_numsub(channel(house.keys)))[0][1] == 2)

    await until(listening)
    yield house
    stopping.set()
    await asyncio.gather(*tasks)


async def test_subscriptions_are_counted_as_the_fan_out_counts_them(counted: House) -> None:
    desk = counted.desk
    await desk.subscribe(f"{HOOK}/1", FERRY)
    other = await desk.subscribe(f"{HOOK}/2", FERRY)
    await desk.subscribe(f"{HOOK}/3", {"query": "tram"})
    await desk.subscribe(f"{HOOK}/4", FERRY, events=["corrected", "retracted"])
    assert (await ask(counted)).webhooks == 2
    await desk.publish("a", **FERRIES)
    late = await desk.subscribe(f"{HOOK}/5", FERRY)
    assert (await ask(counted, number=2, silent=True, kind="updated")).webhooks == 2
    assert (await sent(counted, AudienceRequest(article_id="a"))).webhooks == 2
    assert (await ask(counted, number=2, kind="updated")).webhooks == 3
    await desk.subscriptions.pause(other)
    # It gets later versions of what it was sent, held until it is resumed; nothing new.
    assert (await ask(counted, number=2, title="Tram", topics=[], kind="updated")).webhooks == 3
    assert (await ask(counted, "b")).webhooks == 2
    await desk.subscriptions.remove("reader", late.id)
    assert (await ask(counted, "b")).webhooks == 1
    deliveries = await desk.redis.zcard(desk.keys.deliveries.key("deliveries", other.id))
    assert deliveries == 1


async def test_readers_are_counted_as_the_planner_chooses_them(counted: House) -> None:
    newsletter = await counted.create()
    await counted.reader(newsletter, "ann@reader.example")
    await counted.reader(newsletter, "ben@reader.example", topics=("Bridges",))
    await counted.reader(newsletter, "cem@reader.example", "daily")
    await counted.reader(newsletter, "dov@reader.example", "weekly", topics=("Ferries",))
    everyone = MailCounts(instant=1, daily=1, weekly=1)
    assert (await ask(counted)).mails == everyone
    assert (await ask(counted, silent=True)).mails == MailCounts()
    assert (await ask(counted, title="Tram", topics=[])).mails == MailCounts(instant=1, daily=1)
    await counted.desk.publish("a", **FERRIES)
    assert (await ask(counted, number=2, kind="updated")).mails == MailCounts()
    assert (await ask(counted, number=2, kind="corrected")).mails == MailCounts(daily=1, weekly=1)
    await entitle_account(counted.redis, counted.keys, "Harbour Post", Filter(categories=["Sport"]))
    assert (await ask(counted, "b")).mails == MailCounts()


async def test_a_request_that_nobody_listens_to_ends_at_once_and_is_not_kept(house: House) -> None:
    before = await house.redis.dbsize()
    with pytest.raises(NoReplyError, match="nobody listens"):
        await ask(house)
    assert await house.redis.dbsize() == before
