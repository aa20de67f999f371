"""Random sequences of publications, changes, pauses and resumptions: every subscription receives what a model of the rules says."""

import os
import random
from dataclasses import dataclass, field

import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_notify.fanout.backfill import BackfillWorker, replay_since
from newswire_notify.subscriptions.models import Subscription, SubscriptionDraft
from tests.notify.conftest import SITE, Clock, Desk, Receiver, opened_desk

STORIES = int(os.environ.get("NEWSWIRE_STORIES", "10"))
STEPS = 50
WORDS = ("ferry", "harbour", "bridge")


@dataclass
class Reader:
    """What one subscription should have received."""

    subscription: Subscription
    word: str
    paused_at: int | None = None
    sent: set[str] = field(default_factory=set)
    held: dict[str, str] = field(default_factory=dict)
    got: list[str] = field(default_factory=list)

    def take(self, article: str, event: str) -> None:
        self.sent.add(article)
        self.got.append(event)


@dataclass
class Said:
    """The latest event of an article."""

    event: str
    version: int
    words: frozenset[str]
    at: int


class Story:
    """A random sequence of operations, applied to the product and to the model."""

    def __init__(self, desk: Desk, receiver: Receiver, chance: random.Random) -> None:
        self.desk, self.receiver, self.chance = desk, receiver, chance
        self.readers: list[Reader] = []
        self.articles: dict[str, Said] = {}
        self.at = 0

    async def run(self) -> None:
        steps = (
            self.publish,
            self.publish,
            self.publish,
            self.retract,
            self.update,
            self.pause,
            self.resume,
            self.replay,
        )
        await self.subscribe()
        for self.at in range(1, STEPS):
            await (self.subscribe if self.chance.random() < 0.08 else self.chance.choice(steps))()
            await self.deliver()
            for reader in self.readers:
                if reader.paused_at is None:
                    self.check(reader)
        for reader in self.readers:
            self.check(reader)

    def check(self, reader: Reader) -> None:
        path = f"/{reader.subscription.id}"
        assert sorted(self.receiver.events(path)) == sorted(reader.got), (self.at, path, reader)

    async def deliver(self) -> None:
        backfills = BackfillWorker(self.desk.queue, self.desk.redis, self.desk.keys, SITE)
        while await backfills.step():
            pass
        await self.desk.deliver()

    async def current(self, reader: Reader) -> Subscription:
        found = await self.desk.subscriptions.get("reader", reader.subscription.id)
        assert found is not None
        return found

    async def subscribe(self) -> None:
        word = self.chance.choice(WORDS)
        made = await self.desk.subscribe(f"{self.receiver.url}/new", {"query": word})
        draft = SubscriptionDraft.model_validate(made.members())
        channel = draft.channel.model_copy(update={"url": f"{self.receiver.url}/{made.id}"})
        assert await self.desk.subscriptions.update(made, draft.model_copy(update={"channel": channel}))
        self.readers.append(Reader(made, word))

    async def publish(self) -> None:
        article = f"a{self.chance.randrange(6)}"
        words = frozenset(word for word in WORDS if self.chance.random() < 0.4)
        version = self.articles[article].version + 1 if article in self.articles else 1
        silent = self.chance.random() < 0.15
        title = " ".join(["Nothing", *sorted(words)])
        await self.desk.publish(article, version, title=title, text="", silent=silent)
        event = f"{article}.{version}"
        self.articles[article] = Said(event, version, frozenset() if silent else words, self.at)
        self.tell(article, event, frozenset() if silent else words)

    async def retract(self) -> None:
        standing = [name for name, said in self.articles.items() if not said.event.endswith("retracted")]
        if standing:
            article = self.chance.choice(standing)
            said = self.articles[article]
            await self.desk.retract(article, said.version)
            event = f"{article}.{said.version}.retracted"
            self.articles[article] = Said(event, said.version, frozenset(), self.at)
            self.tell(article, event, frozenset())

    def tell(self, article: str, event: str, words: frozenset[str]) -> None:
        for reader in self.readers:
            if reader.paused_at is not None:
                if article in reader.sent:
                    reader.held[article] = event
            elif article in reader.sent or reader.word in words:
                reader.take(article, event)

    async def update(self) -> None:
        reader = self.chance.choice(self.readers)
        found, word = await self.current(reader), self.chance.choice(WORDS)
        draft = SubscriptionDraft.model_validate(found.members() | {"filter": {"query": word}})
        assert await self.desk.subscriptions.update(found, draft) is not None  # False: the word is the same
        reader.word = word

    async def pause(self) -> None:
        reader = self.chance.choice(self.readers)
        if reader.paused_at is None:
            # As the consumer would: all so far has been fanned out.
            newest = await self.desk.redis.xrevrange(self.desk.keys.stream, count=1)
            await self.desk.redis.set(self.desk.keys.checkpoint("notify"), newest[0][0] if newest else "0-0")
            await self.desk.subscriptions.pause(await self.current(reader))
            reader.paused_at = self.at

    async def resume(self) -> None:
        paused = [reader for reader in self.readers if reader.paused_at is not None]
        if not paused:
            return
        reader = self.chance.choice(paused)
        assert await self.desk.subscriptions.resume(await self.current(reader))
        for article, event in reader.held.items():
            reader.take(article, event)
        for article, said in self.articles.items():
            missed = said.at > (reader.paused_at or 0) and article not in reader.sent
            if missed and reader.word in said.words:
                reader.take(article, said.event)
        reader.held, reader.paused_at = {}, None

    async def replay(self) -> None:
        reader = self.chance.choice(self.readers)
        if reader.paused_at is None and self.chance.random() < 0.3:
            assert await replay_since(self.desk.queue, await self.current(reader), 0)
            for article, said in self.articles.items():
                if article in reader.sent or reader.word in said.words:
                    reader.take(article, said.event)


@pytest.mark.parametrize("seed", range(STORIES))
async def test_every_subscription_receives_what_the_model_says(
    redis: Redis, keys: Keyspace, clock: Clock, receiver: Receiver, seed: int
) -> None:
    async with opened_desk(redis, keys, clock) as desk:
        await Story(desk, receiver, random.Random(seed)).run()
