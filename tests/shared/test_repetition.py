"""Work that is repeated at an interval."""

import asyncio
import logging

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from newswire.concurrency.repetition import repeat

log = logging.getLogger("newswire.test")


async def test_work_continues_after_outages_and_ends_with_the_process(caplog: pytest.LogCaptureFixture) -> None:
    stopping, runs = asyncio.Event(), 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise RedisConnectionError("refused")
        if runs == 2:
            raise OSError("unreachable")
        stopping.set()

    await asyncio.wait_for(repeat(work, 0.001, stopping, log, "cannot work"), 60)
    assert runs == 3
    assert [(each.message, each.__dict__["reason"]) for each in caplog.records] == [
        ("cannot work", "refused"),
        ("cannot work", "unreachable"),
    ]
    await repeat(work, 60, stopping, log, "cannot work")
    assert runs == 3


async def test_a_defect_is_not_hidden() -> None:
    async def work() -> None:
        raise KeyError("name")

    with pytest.raises(KeyError):
        await repeat(work, 60, asyncio.Event(), log, "cannot work")
