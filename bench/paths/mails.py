"""Newsletters: mails a second into a sink, the time from publishing to an accepted alert, and digests planned and composed."""

import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from ulid import ULID

from bench.articles import repeated
from bench.figures import Figure, Goal, compared, times
from bench.load import Connection, request
from bench.publishing import put_on_record, versions
from bench.servers import KEYS, Server, new_key, program, service, valkey
from bench.setting import Setting
from newswire.auth.credentials import Caller, Scope
from newswire.storage.redis_client import open_redis
from newswire.timestamps import epoch_ms, utc_now
from newswire_notify.newsletters.addresses import AddressHashes
from newswire_notify.newsletters.dkim import new_key as new_dkim_key
from newswire_notify.newsletters.models import Choices, Newsletter, NewsletterDraft, Sender
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.schedule import Cadence, DigestTime, next_occurrence
from tests.servers.valkey import free_port

CONNECTIONS = 16
DOMAINS = 50
CHUNK = 1000
TOPICS = ("Ferries", "Bridges", "Harbour", "Weather")
ZONES = (
    "Africa/Lagos", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata", "Asia/Tokyo", "Australia/Sydney",
    "Europe/Berlin", "Europe/London", "Europe/Madrid", "UTC",
)  # fmt: skip
PHASES = ("planning", "composing", "claiming", "settling", "store_planning", "store_sending")


async def measure(setting: Setting) -> list[Figure]:
    """Return the figures of sending, and those of digests."""
    return [*await _sending(setting), *await _digests(setting)]


async def _sending(setting: Setting) -> list[Figure]:
    readers, smtp_port = setting.some(4000), free_port()
    smtp_url = f"smtp://127.0.0.1:{smtp_port}?starttls=never"
    key = setting.folder / "dkim.pem"
    key.write_text(new_dkim_key()[0])
    with valkey(setting.folder / "mails") as url:
        _, caller = await new_key(url, Scope.PUBLISH)
        settings = {
            "NEWSWIRE_REDIS_URL": url,
            "NEWSWIRE_SMTP_URL": smtp_url,
            "NEWSWIRE_SMTP_CONNECTIONS": str(CONNECTIONS),
            "NEWSWIRE_MAIL_CONNECTIONS_PER_DOMAIN": str(CONNECTIONS),
            "NEWSWIRE_MAIL_RATES": "*=0/s",
            "NEWSWIRE_DKIM_DOMAIN": "harbour.example",
            "NEWSWIRE_DKIM_PRIVATE_KEY": key.read_text(),
        }
        await add_newsletter(url, "many", [Choices(Cadence.INSTANT, "UTC")], readers, category="Many")
        await add_newsletter(url, "one", [Choices(Cadence.INSTANT, "UTC")], 1, category="One")
        with (
            program("mail_sink", setting.folder / "sink.log", str(smtp_port)) as sink,
            service("notify", settings, setting.folder / "mails.log") as notify,
            program("floors.mails", setting.folder / "mails.floor.log", smtp_url, str(key), str(CONNECTIONS)) as floor,
        ):
            one = [await _alert(setting, url, caller, sink, "One", 1, f"one{n}x") for n in range(setting.some(50))]
            await _alert(setting, url, caller, sink, "Many", readers, "warm")
            rounds, spent, least, library, lasts = [], [], [], [], []
            for number in setting.steps("mails", range(setting.rounds)):
                cpu = floor.cpu_seconds()
                bare = await _post(floor, f"/pipelined/{readers}")
                least.append((floor.cpu_seconds() - cpu) / readers * 1e6)
                cpu = floor.cpu_seconds()
                await _post(floor, f"/aiosmtplib/{readers}")
                library.append((floor.cpu_seconds() - cpu) / readers * 1e6)
                cpu = notify.cpu_seconds()
                took = await _alert(setting, url, caller, sink, "Many", readers, f"round{number}x")
                spent.append((notify.cpu_seconds() - cpu) / readers * 1e6)
                lasts.append(took)
                rounds.append((readers / took * 1000, bare))
    detail = {
        "cpu_microseconds_each": statistics.median(spent),
        "floor_cpu_microseconds_each": statistics.median(least),
        "aiosmtplib_cpu_microseconds_each": statistics.median(library),
        "last_of_all_ms": statistics.median(lasts),
    }
    per_core = [(1e6 / ours, 1e6 / bare) for ours, bare in zip(spent, least, strict=True)]
    against = [(1e6 / ours, 1e6 / bare) for ours, bare in zip(spent, library, strict=True)]
    return [
        compared("newsletter → mail server, one worker process", "mails/s", rounds, None, **detail),
        compared("… per second of its processor time", "mails/s", per_core, Goal("at least", 0.6)),
        compared("… against aiosmtplib without a queue", "mails/s", against),
        times("alert: published → accepted by the mail server", one[1:]),
    ]


async def add_newsletter(
    url: str, slug: str, choices: Sequence[Choices], readers: int, *, category: str = "", topics: Sequence[str] = ()
) -> Newsletter:
    """Create a newsletter with readers who have confirmed: written as `add_subscriber` does, many at a time.

    ``choices`` are given to the readers in turn.
    """
    async with open_redis(url) as redis:
        newsletters = Newsletters(redis, KEYS)
        sender = Sender(name="Harbour Post", address="news@harbour.example")
        document: dict[str, Any] = {"filter": {"categories": [category]}} if category else {}
        document["topics"] = [{"label": topic, "filter": {"topics": [topic]}} for topic in topics]
        draft = NewsletterDraft(slug=slug, name="Ferry News", description="News.", sender=sender, **document)
        newsletter = await newsletters.add("bench-publish", draft)
        hashes, now = AddressHashes(redis, newsletters.keys), epoch_ms(utc_now())
        chosen = [_choice_fields(newsletter.id, each) for each in choices]
        for first in range(0, readers, CHUNK):
            async with redis.pipeline(transaction=False) as pipe:
                for number in range(first, min(first + CHUNK, readers)):
                    address, reader = f"r{number}@d{number % DOMAINS}.example", f"sr_{str(ULID()).lower()}"
                    fields = {
                        "id": reader, "newsletter": newsletter.id, "address": address, "state": "active",
                        "address_hash": await hashes.of(address), "created": now, "language": "en", "consent": "{}",
                        "revision": 1, "schema": 1, "seq": 0,
                    } | chosen[number % len(chosen)]  # fmt: skip
                    pipe.hset(newsletters.keys.key("newsletter_subscriber", reader), mapping=fields)
                    pipe.zadd(newsletters.keys.key("newsletter_audience", str(fields["audience"])), {reader: 0})
                await pipe.execute()
        return newsletter


def _choice_fields(newsletter: str, choices: Choices) -> dict[str, str | int]:
    return {
        "cadence": str(choices.cadence),
        "zone": choices.zone,
        "hour": choices.hour,
        "weekday": choices.weekday,
        "topics": orjson.dumps(choices.topics).decode(),
        "group": choices.group,
        "audience": f"{newsletter}|{choices.group}",
    }


async def _alert(
    setting: Setting, url: str, caller: Caller, sink: Server, category: str, readers: int, mark: str
) -> float:
    """Publish an article; return the ms until the mail server has the last of its mails."""
    [article] = repeated(setting.articles, 1, mark)
    made = versions([article | {"category": category}], "bench")
    async with open_redis(url) as redis:
        before, began = (await _tally(sink))["count"], time.perf_counter()
        await put_on_record(redis, made, caller)
        deadline = time.monotonic() + 300
        while (tally := await _tally(sink))["count"] < before + readers:
            if time.monotonic() > deadline:
                raise RuntimeError(f"only {tally['count'] - before} of {readers} mails came")
            await asyncio.sleep(0.02)
    return float(tally["last"] - began) * 1000


async def _digests(setting: Setting) -> list[Figure]:
    """Plan and compose digests in a process of its own, so that its memory can be measured, without the readers' creation."""
    count = setting.digests // 10 if setting.quick else setting.digests
    first_hour = utc_now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    with valkey(setting.folder / "digests") as url:
        setting.tell(f"adding {count:,} readers")
        await _add_readers(setting, url, count, first_hour)
        setting.tell(f"planning and composing {count:,} digests")
        command = [sys.executable, "-m", "bench.digests", url, first_hour.isoformat()]
        found = await _child(command, setting.folder / "digests.log")
    if found["composed"] != count:
        raise RuntimeError(f"{found['composed']:,.0f} digests were composed")
    each = {f"{name}_microseconds_each": found[name] / count * 1e6 for name in PHASES}
    return [
        Figure(
            f"{count:,} digests planned and composed, unsigned",
            "s of processor time",
            found["planning"] + found["composing"],
            detail=found | each,
        )
    ]


async def _add_readers(setting: Setting, url: str, count: int, first_hour: datetime) -> None:
    """Add the readers of digests: every hour of a day, several zones and sets of topics; and what their digests hold."""
    sets = [(), *(tuple(TOPICS[:size]) for size in range(1, len(TOPICS))), *((topic,) for topic in TOPICS[1:])]
    choices = [
        Choices(Cadence.DAILY, zone, hour, topics=chosen) for hour in range(24) for zone in ZONES for chosen in sets
    ]
    newsletter = await add_newsletter(url, "digest", choices, count, topics=TOPICS)
    _, caller = await new_key(url, Scope.PUBLISH)
    async with open_redis(url) as redis:
        made = versions(repeated(setting.articles, 20, "digest"), "bench")
        await put_on_record(redis, made, caller, together=20)
        newsletters = Newsletters(redis, KEYS)
        for number, version in enumerate(made):
            topic = TOPICS[number % len(TOPICS)]
            named = {"article": version.id, "topics": orjson.dumps([topic]).decode(), "corrected": False}
            await newsletters.call("add_item", newsletter=newsletter.id, **named)
        just_before = first_hour - timedelta(seconds=1)
        for group in {each.group for each in choices}:
            due = next_occurrence(DigestTime.of_group(group), just_before)
            schedule = newsletters.keys.key("newsletter_schedule")
            await redis.zadd(schedule, {f"{newsletter.id}|{group}": epoch_ms(due.at)})


async def _child(command: Sequence[str], log: Path) -> dict[str, float]:
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=errors)
        output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{log.read_text()[-2000:]}")
    found: dict[str, float] = orjson.loads(output)
    return found


async def _tally(sink: Server) -> Any:
    async with await Connection.open(sink.site) as connection:
        return orjson.loads((await connection.ask(request("GET", "/"))).body)


async def _post(floor: Server, path: str) -> float:
    async with await Connection.open(floor.site) as connection:
        answer = await connection.ask(request("POST", path, b" "))
    rate: float = orjson.loads(answer.body)
    return rate
