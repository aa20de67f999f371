"""The relay is killed, or hangs, in processes under load: live readers of the others get every event once."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cli.running import BARE
from tests.notify.conftest import Desk, until

pytestmark = pytest.mark.slow


@dataclass
class Reading:
    """A process with a live reader, and what it told."""

    process: Process
    ids: list[str] = field(default_factory=list)
    role: str = ""
    followers: int = 0

    def relays_to(self, followers: int) -> bool:
        return (self.role, self.followers) == ("relay", followers)

    async def listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            what, *told = line.decode().split()
            if what == "event":
                self.ids.append(told[0])
            else:
                self.role, self.followers = told[0], int(told[1])


@asynccontextmanager
async def reading(*arguments: str) -> AsyncIterator[Reading]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.notify.stream_process", *arguments, env=BARE, stdout=PIPE
    )
    read = Reading(process)
    listening = asyncio.create_task(read.listen())
    try:
        yield read
    finally:
        if process.returncode is None:
            process.kill()
        await asyncio.gather(process.wait(), listening)


async def test_live_readers_get_every_event_once_when_the_relay_is_killed_or_hangs(
    redis_url: str, desk: Desk, short_path: Path
) -> None:
    sent: dict[str, str] = {}
    """The article of each entry, in the order of the stream."""
    retracted: set[str] = set()
    enough = asyncio.Event()

    async def publish() -> None:
        number = 0
        while not enough.is_set():
            number += 1
            article = f"a{number}"
            sent[(await desk.put(article)).entry_id] = article
            if number % 5 == 0:  # the last one, or one of before
                article = f"a{number - number % 4}"
                retracted.add(article)
                sent[(await desk.put_retraction(article, 1)).entry_id] = article
            await asyncio.sleep(0.02)

    async with AsyncExitStack() as stack:
        arguments = redis_url, desk.keys.namespace, str(short_path / "relay")
        processes = [await stack.enter_async_context(reading(*arguments)) for _ in range(3)]

        async def relay_of(others: list[Reading], followers: int) -> Reading:
            await until(lambda: [each.relays_to(followers) for each in others].count(True) == 1)
            return next(each for each in others if each.relays_to(followers))

        publishing = asyncio.create_task(publish())
        first = await relay_of(processes, 2)
        await until(lambda: all(each.ids for each in processes))
        first.process.send_signal(signal.SIGKILL)
        rest = [each for each in processes if each is not first]
        second = await relay_of(rest, 1)
        [third] = [each for each in rest if each is not second]
        second.process.send_signal(signal.SIGSTOP)
        at = len(third.ids)
        await until(lambda: len(third.ids) > at + 100)  # it reads for itself, while the other one holds the lock
        await until(lambda: third.role == "relay")
        second.process.send_signal(signal.SIGCONT)
        await until(lambda: third.relays_to(1))
        enough.set()
        await publishing
        last = next(reversed(sent))
        for each in rest:
            await until(lambda: each.ids[-1:] == [last])  # noqa: B023 (it is awaited here)
            begin = list(sent).index(each.ids[0])
            missed = set(list(sent)[begin:]) - set(each.ids)
            assert {sent[entry] for entry in missed} <= retracted
            assert each.ids == [entry for entry in list(sent)[begin:] if entry not in missed]
