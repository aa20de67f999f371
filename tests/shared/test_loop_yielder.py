"""Decoding much on the event loop lets other tasks run in between."""

import asyncio
from types import SimpleNamespace
from typing import Any

from newswire.concurrency.loop_yielder import BYTES_PER_TURN, LoopYielder
from newswire.events import PUBLISHED, event
from newswire.messaging.batches import batch_parser
from tests.search.samples import article


class Ticker:
    """Counts the iterations of the event loop."""

    def __init__(self) -> None:
        self.count = 0

    async def run(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)


async def test_yields_after_every_quarter_megabyte() -> None:
    ticker, yielder = Ticker(), LoopYielder()
    ticking = asyncio.create_task(ticker.run())
    await yielder.add_bytes(BYTES_PER_TURN - 1)
    assert ticker.count == 0
    for _ in range(3):
        await yielder.add_bytes(BYTES_PER_TURN)
    assert ticker.count == 3
    ticking.cancel()


async def test_other_tasks_run_while_a_batch_of_long_articles_is_decoded() -> None:
    long = article("long", text="word " * (BYTES_PER_TURN // 5))
    data = event(PUBLISHED, long, id_="long.1", source="https://a.example", subject="long").to_json()
    raw: dict[str, Any] = {
        "message_ids": [b"%d-0" % number for number in range(1, 6)],
        "data": [{b"__data__": data}] * 5,
        "delivery_counts": [0] * 5,
    }
    member: Any = SimpleNamespace(redis="", group=SimpleNamespace(name="search"))
    ticker = Ticker()
    ticking = asyncio.create_task(ticker.run())
    batch = await batch_parser(member)(raw)
    assert ticker.count >= 5
    assert len(batch.body) == 5
    ticking.cancel()
