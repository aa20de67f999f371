"""Notify is killed again and again while mails go out to a server that delays, defers, breaks off and refuses: none is skipped.

``python -m tests.faults.mail_drill`` sends 20,000 mails with ten kills; a small run is part of the tests.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from asyncio import create_subprocess_exec
from asyncio.subprocess import Process
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from rich.console import Console

from bench.publishing import put_on_record, versions
from bench.servers import new_key
from newswire.auth.credentials import Scope
from newswire.keys import Keyspace
from newswire.storage.redis_client import open_redis
from newswire_cli.local.valkey import embedded_valkey
from newswire_notify.newsletters.mail_queue import MailQueue
from newswire_notify.newsletters.models import Choices, Newsletter, NewsletterDraft, Sender, SubscriberState
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.schedule import Cadence
from newswire_notify.newsletters.subscribers import Subscribers
from tests.cli.running import BARE
from tests.servers.smtp_sink import Answer, SmtpSink, Step, listen
from tests.servers.valkey import free_port

console = Console(highlight=False, soft_wrap=True)
DOMAINS = 50
TIMEOUT_SECONDS = 10
"""Of one mail; longer than any delay of a busy machine."""
BATCH = 5
"""Mails that a connection claims at a time: those of a killed process wait until their lease ends."""
ARTICLE = {"title": "The ferry leaves on time", "body": "<p>It does.</p>", "category": "Transport", "language": "en"}


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a drill. ``complete``: wait for the mails that are tried again after a minute and more."""

    mails: int = 400
    kills: int = 6
    connections: int = 4
    complete: bool = False
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a drill."""

    skipped: list[str]
    """Addresses that should have got a mail and did not."""
    wrongly_sent: list[str]
    """Addresses that were refused, and got a mail."""
    identities: int
    """The most Message-IDs that one address got."""
    repeated: int
    """Mails beyond the first one, other than those that the server took without a reply."""
    in_doubt: int
    """The most that may be repeated: one for each connection and kill."""
    unanswered: int
    """Mails that the server took without a reply, and that were repeated therefore."""
    taken: int
    states: dict[str, int]
    seconds: float


class Faults:
    """The faults of the server: those of an address come at its first attempt, but for refusals, which stay."""

    ALWAYS = {7: (Step.RECIPIENT, Answer("550 5.1.1 no such user"))}
    ONCE = {
        11: (Step.END, Answer(None)),
        22: (Step.RECIPIENT, Answer(None)),
        33: (Step.CONTENT, Answer(None)),
        44: (Step.RECIPIENT, Answer("421 4.3.2 closing")),
        55: (Step.END, Answer("451 4.3.0 later")),
        66: (Step.RECIPIENT, Answer("450 4.2.0 greylisted")),
        77: (Step.END, Answer("250 2.0.0 taken at last", 0.2)),
    }

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, step: Step, recipient: str) -> Answer | None:
        kind = number_of(recipient) % 100
        if kind in self.ALWAYS and self.ALWAYS[kind][0] is step:
            return self.ALWAYS[kind][1]
        if kind in self.ONCE and self.ONCE[kind][0] is step and recipient not in self._seen:
            self._seen.add(recipient)
            return self.ONCE[kind][1]
        return None


def address_of(number: int) -> str:
    """Return the address of a reader."""
    return f"r{number}@d{number % DOMAINS}.example"


def number_of(address: str) -> int:
    """Return the number of a reader."""
    return int(address[1:].partition("@")[0])


async def drill(
    redis_url: str, keys: Keyspace, size: Size, folder: Path, tell: Callable[[str], None] = lambda _: None
) -> Found:
    """Send mails, kill notify meanwhile, and return the result."""
    sink = SmtpSink(Faults())
    dice = random.Random(size.seed)
    began = time.monotonic()
    async with listen(sink) as smtp_url, open_redis(redis_url) as redis:
        newsletters = Newsletters(redis, keys)
        newsletter = await _readers(newsletters, size)
        tell(f"{size.mails} readers after {time.monotonic() - began:.0f} s")
        _, caller = await new_key(redis_url, Scope.PUBLISH, keys)
        began = time.monotonic()
        for kill in range(size.kills):
            process = await _started(redis_url, keys, smtp_url, size, folder / "notify.log")
            if kill == 0:
                await put_on_record(redis, versions([ARTICLE], "bench"), caller, keys)
            wanted = sink.count + dice.randint(1, max(1, size.mails // (size.kills + 2)))
            await _until(lambda wanted=wanted: sink.count >= wanted, 120)  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
            await process.wait()
            tell(f"kill {kill + 1} after {time.monotonic() - began:.0f} s: {sink.count} mails arrived")
        process = await _started(redis_url, keys, smtp_url, size, folder / "notify.log")
        try:
            queue = MailQueue(newsletters)
            states = await _settled(redis, newsletters, queue, newsletter, size, tell)
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()
    return _found(sink, size, states, time.monotonic() - began)


async def _readers(newsletters: Newsletters, size: Size) -> Newsletter:
    subscribers = Subscribers(newsletters)
    sender = Sender(name="Harbour Post", address="news@harbour.example")
    draft = NewsletterDraft(slug="ferries", name="Ferries", description="What moves on the water.", sender=sender)
    newsletter = await newsletters.add("Harbour Post", draft)
    choices = Choices(Cadence.INSTANT, "UTC")
    for first in range(0, size.mails, 200):
        numbers = range(first, min(first + 200, size.mails))
        await asyncio.gather(
            *(
                subscribers.add(newsletter, address_of(number), choices, {}, state=SubscriberState.ACTIVE)
                for number in numbers
            )
        )
    return newsletter


async def _started(redis_url: str, keys: Keyspace, smtp_url: str, size: Size, log: Path) -> Process:
    environment = {
        "NEWSWIRE_REDIS_URL": redis_url,
        "NEWSWIRE_NAMESPACE": keys.namespace,
        "NEWSWIRE_ALLOW_VOLATILE": "true",
        "NEWSWIRE_SMTP_URL": smtp_url,
        "NEWSWIRE_SMTP_TIMEOUT": str(TIMEOUT_SECONDS),
        "NEWSWIRE_SMTP_CONNECTIONS": str(size.connections),
        "NEWSWIRE_SMTP_MESSAGES_PER_CONNECTION": str(BATCH),
        "NEWSWIRE_MAIL_RATES": "*=0/s",
    }
    with log.open("ab") as output:
        return await create_subprocess_exec(
            *(sys.executable, "-m", "newswire_notify", "--port", str(free_port())),
            env=BARE | environment,
            stdout=output,
            stderr=output,
        )


async def _settled(
    redis: "Redis",
    newsletters: Newsletters,
    queue: MailQueue,
    newsletter: Newsletter,
    size: Size,
    tell: Callable[[str], None],
) -> dict[str, int]:
    """Wait until each mail has ended; in a small run, one that is to be tried again counts as ended."""
    ended = {"accepted", "bounced"} | (set() if size.complete else {"deferred"})
    [issue] = await queue.issues_of(newsletter.id)
    async with asyncio.timeout(1800 if size.complete else 240):
        while True:
            stored = await redis.hvals(newsletters.keys.key("newsletter_issue_mails", issue.id))
            states = Counter(value.decode().partition("|")[0] for value in stored)
            if sum(states[state] for state in ended) == size.mails:
                return dict(states)
            if size.complete:
                tell(", ".join(f"{count} {state}" for state, count in sorted(states.items())))
            await asyncio.sleep(5 if size.complete else 0.2)


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def _found(sink: SmtpSink, size: Size, states: dict[str, int], seconds: float) -> Found:
    counts = Counter(mail.recipient for mail in sink.taken)
    identities = defaultdict(set)
    for mail in sink.taken:
        identities[mail.recipient].add(mail.message_id)
    everyone = {address_of(number) for number in range(size.mails)}
    refused = {address for address in everyone if number_of(address) % 100 in Faults.ALWAYS}
    waiting = {} if size.complete else Faults.ONCE
    expected = {address for address in everyone - refused if number_of(address) % 100 not in waiting}
    unanswered = {address for address in counts if number_of(address) % 100 == 11}
    return Found(
        skipped=sorted(expected - set(counts)),
        wrongly_sent=sorted(refused & set(counts)),
        identities=max(map(len, identities.values())),
        repeated=sum(count - (2 if address in unanswered and count > 1 else 1) for address, count in counts.items()),
        in_doubt=size.kills * size.connections,
        unanswered=len(unanswered),
        taken=len(sink.taken),
        states=states,
        seconds=seconds,
    )


async def _main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mails", type=int, default=20_000)
    options.add_argument("--kills", type=int, default=10)
    options.add_argument("--connections", type=int, default=8)
    options.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(2), "big"))
    chosen = options.parse_args()
    size = Size(chosen.mails, chosen.kills, chosen.connections, True, chosen.seed)
    console.print(f"seed {size.seed}")
    with tempfile.TemporaryDirectory(prefix="newswire-mails-") as folder:
        store = Path(folder) / "redis"
        store.mkdir()
        with embedded_valkey(store) as valkey:
            found = await drill(valkey.url, Keyspace("drill"), size, Path(folder), console.print)
    console.print(found)
    failed = found.skipped or found.wrongly_sent or found.identities > 1 or found.repeated > found.in_doubt
    console.print(
        "FAILED" if failed else "OK: none skipped; only mails in doubt were repeated, each under its Message-ID"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
