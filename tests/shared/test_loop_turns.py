"""Much that is decoded on the event loop leaves turns for other work."""

import asyncio
from types import SimpleNamespace
from typing import Any

from newswire.concurrency.loop_turns import TURN_BYTES, LoopTurns
from newswire.events import PUBLISHED, event
from newswire.messaging.batches import batch_parser
from tests.search.samples import article


class Ticker:
    """Counts how often the event loop comes round."""

    def __init__(self) -> None:
        self.count = 0

    async def run(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)


async def test_little_takes_no_turn_and_much_takes_several() -> None:
    ticker, turns = Ticker(), LoopTurns()
    ticking = asyncio.create_task(ticker.run())
    await turns.decoded(TURN_BYTES - 1)
    assert ticker.count == 0
    for _ in range(3):
        await turns.decoded(TURN_BYTES)
    assert ticker.count == 3
    ticking.cancel()


async def test_a_batch_of_long_articles_is_read_in_turns_with_other_work() -> None:
    long = article("long", text="word " * (TURN_BYTES // 5))
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
