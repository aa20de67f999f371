"""How `alert_drill` breaks things: each function breaks one while its context lasts, and repairs it."""

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psutil
from ulid import ULID

from bench.articles import made_up
from bench.publishing import events, versions
from newswire.events import FIELD
from newswire_ingest.app import MAX_MEMORY_SHARE
from tests.faults.alert_scene import SETTINGS, Scene
from tests.faults.stand import Process
from tests.servers.smtp_sink import SmtpSink, listen

DYING = 200
"""Subscriptions whose endpoint says that it is gone: 5 % of what is delivered meanwhile, and more."""
POISON = 3 * int(SETTINGS["NEWSWIRE_DEAD_LETTER_LIMIT"])
FLOOD_BATCH = 100
FLOOD_BACKLOG = 500
"""Events that may wait for a group in the flood: so few that they are handled within minutes when it is over."""


@asynccontextmanager
async def nothing(_: Scene) -> AsyncIterator[None]:
    """Leave everything as it is."""
    yield


@asynccontextmanager
async def elasticsearch_away(on: Scene) -> AsyncIterator[None]:
    """Close the connections of every request to Elasticsearch."""
    assert on.built.proxy is not None
    on.built.proxy.mood = "away"
    yield
    on.built.proxy.mood = "well"


@asynccontextmanager
async def elasticsearch_full(on: Scene) -> AsyncIterator[None]:
    """Set the block on the index that Elasticsearch sets when its disk is full."""
    assert on.built.index is not None
    put = partial(on.built.index.indices.put_settings, index=on.built.alias)
    await put(settings={"index.blocks.read_only_allow_delete": True})
    yield
    await put(settings={"index.blocks.read_only_allow_delete": None})


@asynccontextmanager
async def redis_killed(on: Scene) -> AsyncIterator[None]:
    """Kill the primary."""
    on.built.valkey.kill()
    yield
    await on.built.valkey_up()


@asynccontextmanager
async def paused(process: Process) -> AsyncIterator[None]:
    """Stop a process with all its connections open."""
    process.signal(signal.SIGSTOP)
    yield
    process.signal(signal.SIGCONT)


@asynccontextmanager
async def disk_full(on: Scene) -> AsyncIterator[None]:
    """Let the append-only file of the primary grow no further."""
    valkey, redis = psutil.Process(on.built.valkey.pid), on.built.redis
    before = valkey.rlimit(psutil.RLIMIT_FSIZE)
    await redis.config_set("appendfsync", "everysec")  # with `always` it ends itself, as if it was killed
    files = (on.folder / "primary" / "appendonlydir").glob("*.incr.aof")
    valkey.rlimit(psutil.RLIMIT_FSIZE, (max(file.stat().st_size for file in files) + 1000, before[1]))
    yield
    valkey.rlimit(psutil.RLIMIT_FSIZE, before)
    while (await redis.info("persistence"))["aof_last_write_status"] != "ok":
        await asyncio.sleep(0.1)
    await redis.config_set("appendfsync", "always")


@asynccontextmanager
async def configured(on: Scene, name: str, value: str) -> AsyncIterator[None]:
    """Change a setting of the primary."""
    before = (await on.built.redis.config_get(name))[name]
    await on.built.redis.config_set(name, value)
    yield
    await on.built.redis.config_set(name, before)


@asynccontextmanager
async def notify_killed(on: Scene) -> AsyncIterator[None]:
    """Kill notify."""
    [process] = on.built.services["notify"]
    process.kill()
    yield
    process.start()
    await on.built.ready()


@asynccontextmanager
async def operations_killed(on: Scene) -> AsyncIterator[None]:
    """Kill operations."""
    on.operations.kill()
    yield
    on.operations.start()


@asynccontextmanager
async def endpoints(on: Scene, mood: str) -> AsyncIterator[None]:
    """Let some endpoints take seconds for each webhook, more than all workers can wait for, or answer 500."""
    on.mood = "slow" if mood == "slow" else "failing"
    yield
    on.mood = "well"


@asynccontextmanager
async def endpoints_gone(on: Scene) -> AsyncIterator[None]:
    """Publish an article for endpoints that exist no longer."""
    await on.subscribe("gone", "wreckage", DYING)
    await on.publish("Wreckage found in the harbour")
    yield


@asynccontextmanager
async def bad_requests(on: Scene) -> AsyncIterator[None]:
    """Publish what is refused, with a key and without."""

    async def publish() -> None:
        while True:
            for key in (on.publisher_key, "nw_unknown"):
                status, _ = await on.ask("POST", on.articles, key, {"title": ""})
                assert 400 <= status < 500, status
            await asyncio.sleep(0.1)

    task = asyncio.create_task(publish())
    yield
    task.cancel()


@asynccontextmanager
async def memory(on: Scene, fill: float) -> AsyncIterator[None]:
    """Let the primary have so little memory that publishing has used this share of its own."""
    redis, publisher = on.built.redis, on.built.publisher
    rate = publisher.rate
    if fill < 1:
        await publisher.rest()  # it would fill the rest
    used = (await redis.info("memory"))["used_memory"]
    await redis.config_set("maxmemory", int(used / MAX_MEMORY_SHARE / fill))
    yield
    await redis.config_set("maxmemory", 0)
    publisher.rate = rate


@asynccontextmanager
async def unreadable_entries(on: Scene, count: int) -> AsyncIterator[None]:
    """Append entries that no consumer can read: one is put aside; a consumer that would reject very many stops."""
    redis, keys = on.built.redis, on.built.keys
    async with redis.pipeline(transaction=False) as pipe:
        for _ in range(count):
            pipe.xadd(keys.stream, {FIELD: b"{"})
        entries = await pipe.execute()
    yield
    await redis.xdel(keys.stream, *entries)
    if count > int(SETTINGS["NEWSWIRE_DEAD_LETTER_LIMIT"]):
        for process in (*on.built.services["search"], *on.built.services["notify"]):
            await process.stop()
            process.start()
        await on.built.ready()
    for group in ("search", "notify"):
        await redis.delete(keys.dead_letters(group))


@asynccontextmanager
async def flood(on: Scene) -> AsyncIterator[None]:
    """Append more events than can be handled."""
    redis, keys = on.built.redis, on.built.keys
    made = versions(made_up(FLOOD_BATCH), "bench")
    entries = list(zip((version.id.encode() for version in made), events(made), strict=True))

    async def pour() -> None:
        while True:
            if max(info["lag"] or 0 for info in await redis.xinfo_groups(keys.stream)) < FLOOD_BACKLOG:
                async with redis.pipeline(transaction=False) as pipe:
                    for known, entry in entries:
                        pipe.xadd(keys.stream, {FIELD: entry.replace(known, str(ULID()).lower().encode())})
                    await pipe.execute()
            await asyncio.sleep(0.05)

    async with _meanwhile(pour()):
        yield


@asynccontextmanager
async def rewrite_forbidden(on: Scene) -> AsyncIterator[None]:
    """Take from the services the right to rewrite the append-only file, while articles are retracted."""
    await on.built.redis.execute_command("ACL", "SETUSER", "default", "-bgrewriteaof")
    yield
    await on.built.redis.execute_command("ACL", "SETUSER", "default", "+bgrewriteaof")


@asynccontextmanager
async def mail_server_down(on: Scene) -> AsyncIterator[None]:
    """Stop the mail server."""
    port = int(on.mail_url.partition("?")[0].rpartition(":")[2])
    await on.mail.aclose()
    yield
    await on.mail.enter_async_context(listen(SmtpSink(keep=False), port))


async def _archived(on: Scene, title: str) -> str:
    article = await on.publish(title)
    await on.archiver().archive([article], datetime.now(UTC))
    return article


async def _keep_reading(on: Scene, article: str) -> None:
    while True:
        await on.ask("GET", f"{on.articles}/{article}", on.publisher_key)
        await asyncio.sleep(1)


@asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run work that does not end by itself while the context is open."""
    running = asyncio.create_task(work)
    try:
        yield
    finally:
        running.cancel()


@asynccontextmanager
async def archive_unmounted(on: Scene) -> AsyncIterator[None]:
    """Read and retract archived articles while the archive is an empty folder, as that of a disk that is not mounted."""
    retracted, kept = await _archived(on, "Moorings of last year"), await _archived(on, "Moorings of last month")
    aside = on.archive.with_name("unmounted")
    on.archive.rename(aside)
    on.archive.mkdir()
    status, answer = await on.ask("DELETE", f"{on.articles}/{retracted}", on.publisher_key)
    assert status == 200, answer
    async with _meanwhile(_keep_reading(on, kept)):
        yield
    on.archive.rmdir()
    aside.rename(on.archive)


@asynccontextmanager
async def archived_text_lost(on: Scene) -> AsyncIterator[None]:
    """Read an archived article whose object was deleted without Newswire."""
    article = await _archived(on, "Moorings of the year before")
    for path in on.archive.rglob(f"{article}/*"):
        path.unlink()
    async with _meanwhile(_keep_reading(on, article)):
        yield
