"""Newsletters: mails a second into a sink, the time from publishing to an accepted alert, and digests planned and composed."""

import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
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
from newswire_notify.newsletters.schedule import Cadence
from tests.servers.valkey import free_port

CONNECTIONS = 16
DOMAINS = 50
CHUNK = 1000


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
        await add_newsletter(url, "many", "instant", Choices(Cadence.INSTANT, "UTC"), readers, category="Many")
        await add_newsletter(url, "one", "instant", Choices(Cadence.INSTANT, "UTC"), 1, category="One")
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
    url: str, slug: str, group: str, choices: Choices, readers: int, category: str = ""
) -> Newsletter:
    """Create a newsletter with readers who have confirmed: written as `add_subscriber` does, many at a time."""
    async with open_redis(url) as redis:
        newsletters = Newsletters(redis, KEYS)
        sender = Sender(name="Harbour Post", address="news@harbour.example")
        document: dict[str, Any] = {"filter": {"categories": [category]}} if category else {}
        draft = NewsletterDraft(slug=slug, name="Ferry News", description="News.", sender=sender, **document)
        newsletter = await newsletters.add("bench-publish", draft)
        hashes, now = AddressHashes(redis, newsletters.keys), epoch_ms(utc_now())
        for first in range(0, readers, CHUNK):
            async with redis.pipeline(transaction=False) as pipe:
                for number in range(first, min(first + CHUNK, readers)):
                    address, reader = f"r{number}@d{number % DOMAINS}.example", f"sr_{str(ULID()).lower()}"
                    fields = {
                        "id": reader, "newsletter": newsletter.id, "address": address, "state": "active",
                        "address_hash": await hashes.of(address), "created": now, "language": "en", "consent": "{}",
                        "cadence": str(choices.cadence), "zone": choices.zone, "hour": choices.hour, "weekday": 0,
                        "topics": "[]", "group": group, "revision": 1, "schema": 1, "seq": 0,
                        "audience": f"{newsletter.id}|{group}",
                    }  # fmt: skip
                    pipe.hset(newsletters.keys.key("newsletter_subscriber", reader), mapping=fields)
                    pipe.zadd(newsletters.keys.key("newsletter_audience", f"{newsletter.id}|{group}"), {reader: 0})
                await pipe.execute()
        return newsletter


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
    """Plan and compose digests in a process of its own, so that its memory can be measured."""
    count = setting.digests // 10 if setting.quick else setting.digests
    with valkey(setting.folder / "digests") as url:
        setting.tell(f"adding {count:,} readers")
        choices = Choices(Cadence.DAILY, "UTC")
        newsletter = await add_newsletter(url, "digest", choices.group, choices, count)
        _, caller = await new_key(url, Scope.PUBLISH)
        found = await _run_digests(setting, url, newsletter.id, choices.group, count, caller)
    seconds = found["planning"] + found["composing"]
    return [
        Figure(
            f"{count:,} digests planned and composed, unsigned",
            "s of processor time",
            seconds,
            detail=found | {"microseconds_each": seconds / count * 1e6},
        )
    ]


async def _run_digests(
    setting: Setting, url: str, newsletter: str, group: str, count: int, caller: Caller
) -> dict[str, float]:
    async with open_redis(url) as redis:
        made = versions(repeated(setting.articles, 20, "digest"), "bench")
        await put_on_record(redis, made, caller, together=20)
        newsletters = Newsletters(redis, KEYS)
        for version in made:
            named = {"article": version.id, "topics": "[]", "corrected": False}
            await newsletters.call("add_item", newsletter=newsletter, **named)
    setting.tell(f"planning and composing {count:,} digests")
    return await _child([sys.executable, "-m", "bench.digests", url, newsletter, group], setting.folder / "digests.log")


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
