"""Notify is killed again and again while mails go out to a server that defers, breaks off and refuses: nobody is skipped."""

import signal
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import Process
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from tests.cli.running import BARE
from tests.notify.conftest import Desk, until
from tests.notify.newsletters.conftest import House
from tests.notify.newsletters.mail_server import BREAK_OFF
from tests.servers.valkey import free_port

pytestmark = pytest.mark.slow

READERS, KILLS, CONNECTIONS = 400, 6, 4


async def started(redis_url: str, keys: Keyspace, smtp_url: str, log: Path) -> Process:
    environment = {
        "NEWSWIRE_REDIS_URL": redis_url,
        "NEWSWIRE_NAMESPACE": keys.namespace,
        "NEWSWIRE_ALLOW_VOLATILE": "true",
        "NEWSWIRE_SMTP_URL": smtp_url,
        "NEWSWIRE_SMTP_TIMEOUT": "1.5",
        "NEWSWIRE_SMTP_CONNECTIONS": str(CONNECTIONS),
    }
    with log.open("ab") as output:
        return await create_subprocess_exec(
            *(sys.executable, "-m", "newswire_notify", "--port", str(free_port())),
            env=BARE | environment,
            stdout=output,
            stderr=output,
        )


@pytest.mark.timeout(600)
async def test_nobody_is_skipped_and_only_mails_in_doubt_are_repeated(
    redis_url: str, redis: Redis, keys: Keyspace, house: House, desk: Desk, tmp_path: Path
) -> None:
    import time

    house.clock.now = time.time()
    newsletter = await house.create()
    readers = [await house.reader(newsletter, f"r{number}@example.org") for number in range(READERS)]
    lost = {f"r{number}@example.org" for number in range(0, READERS, 50)}
    for address in lost:
        house.mail.data_replies[address] = [BREAK_OFF]
    house.mail.recipient_replies["r7@example.org"] = ["550 5.1.1 no such user"]
    await desk.publish("a1")
    log = tmp_path / "log"
    for number in range(KILLS):
        process = await started(redis_url, keys, house.mail.url, log)
        wanted = len(house.mail.got) + READERS // (2 * KILLS)
        await until(lambda wanted=wanted: len(house.mail.got) >= wanted, 60)  # type: ignore[misc]
        process.send_signal(signal.SIGKILL)
        await process.wait()
        assert len(house.mail.got) < READERS, number
    process = await started(redis_url, keys, house.mail.url, log)
    try:
        [issue] = await house.parts.queue.issues_of(newsletter.id)

        async def settled() -> bool:
            states = Counter([await house.parts.queue.state_of(issue.id, each.id) for each in readers])
            # Mails whose connection broke wait for a minute before they are sent again; some of them did not arrive before.
            arrived = {mail.recipient for mail in house.mail.got}
            return (
                states["accepted"] + states["bounced"] + states["deferred"] == READERS and len(arrived) >= READERS - 1
            )

        await until(settled, 240)
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    identities = defaultdict(set)
    for mail in house.mail.got:
        identities[mail.recipient].add(str(mail.message["Message-ID"]))
    counts = Counter(mail.recipient for mail in house.mail.got)
    expected = {f"r{number}@example.org" for number in range(READERS)} - {"r7@example.org"}
    assert set(counts) == expected
    assert all(len(found) == 1 for found in identities.values())
    repeated = sum(count - 1 for count in counts.values())
    assert repeated <= KILLS * CONNECTIONS
