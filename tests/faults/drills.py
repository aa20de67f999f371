"""The drills: faults for a running installation. After each, the checker must find nothing."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

import psutil

from tests.faults.load import ENDPOINTS, SUBSCRIPTIONS
from tests.faults.stand import Process, Stand, furnish

IN_FLIGHT = 64
"""Maximum of webhooks that one notify process has in flight: as many may be repeated when it is killed."""

DELIVERED_PER_SECOND = 200
"""The load: each write is sent to about four subscriptions."""

Fault = Callable[[Stand, float], Awaitable[None]]
"""Causes a fault and repairs it again; the number of seconds is the duration of lasting faults."""


@dataclass(frozen=True)
class Drill:
    """One way to break an installation, and the installation that it needs."""

    name: str
    fault: Fault
    seconds: float
    """How long the fault lasts in `make drill`."""
    quick: float | None = None
    """How long it lasts in the tests; None keeps it out of them."""
    index: Literal["elasticsearch", "embedded"] = "elasticsearch"
    replicas: dict[str, int] = field(default_factory=dict)
    through_toxiproxy: bool = False


async def kill_in_mid_batch(stand: Stand, process: Process, *, times: int = 1, away: float = 1.0) -> None:
    """Stop a process until work has accumulated, resume it, and kill it a moment later, in the middle of that work."""
    for number in range(times):
        await asyncio.sleep(2.0 if number else 0)
        process.signal(signal.SIGSTOP)
        await asyncio.sleep(1.0)
        process.signal(signal.SIGCONT)
        await asyncio.sleep(stand.random.uniform(0.02, 0.25))
        process.kill()
        if process in stand.services["notify"]:
            # After a second without progress, attempts count as hanging and free their slots for as many more.
            stand.repeats_allowed += 2 * IN_FLIGHT
        await asyncio.sleep(away)
        process.start()
        await stand.ready()


async def kill_among_deliveries(stand: Stand, seconds: float) -> None:
    """Kill one of the processes that expand and deliver at ten moments, and the store at two, until the whole load was delivered.

    The moments are chosen by the number of received webhooks. Each kill may cause as many repeats as a process has in flight.
    """
    deliveries = round(seconds * DELIVERED_PER_SECOND)
    moments = sorted(stand.random.sample(range(deliveries // 20, deliveries * 9 // 10), 12))
    store = set(stand.random.sample(moments, 2))
    for moment in moments:
        await stand.delivered(moment)
        process = stand.valkey if moment in store else stand.random.choice(stand.services["notify"])
        process.kill()
        await asyncio.sleep(stand.random.uniform(0.2, 2.0))
        await (stand.valkey_up() if process is stand.valkey else asyncio.to_thread(process.start))
    await stand.ready()
    stand.repeats_allowed += (len(moments) - len(store)) * IN_FLIGHT
    await stand.delivered(deliveries)


async def kill_search(stand: Stand, seconds: float) -> None:
    """Kill search in the middle of a batch, repeatedly."""
    await kill_in_mid_batch(stand, stand.services["search"][0], times=max(1, round(seconds / 5)))


async def kill_notify(stand: Stand, seconds: float) -> None:
    """Kill notify in the middle of a batch, repeatedly."""
    await kill_in_mid_batch(stand, stand.services["notify"][0], times=max(1, round(seconds / 5)))


async def kill_ingest(stand: Stand, seconds: float) -> None:
    """Kill ingest during requests, repeatedly."""
    await kill_in_mid_batch(stand, stand.services["ingest"][0], times=max(1, round(seconds / 5)))


async def kill_each(stand: Stand, seconds: float) -> None:
    """Kill one process of each service in the middle of a batch."""
    del seconds
    for name in ("search", "notify", "ingest"):
        await kill_in_mid_batch(stand, stand.services[name][-1])


async def kill_a_replica(stand: Stand, seconds: float) -> None:
    """Kill one of two replicas of each consumer and do not restart it: the other one takes over its work."""
    for name in ("search", "notify"):
        process = stand.services[name].pop()
        process.signal(signal.SIGSTOP)
        await asyncio.sleep(0.7)
        process.signal(signal.SIGCONT)
        await asyncio.sleep(0.05)
        process.kill()
    stand.repeats_allowed += IN_FLIGHT
    await asyncio.sleep(seconds)


async def index_troubles(stand: Stand, seconds: float) -> None:
    """Disconnect Elasticsearch, then make it respond with 429, then reject parts of each bulk request."""
    assert stand.proxy is not None
    stand.proxy.mood = "away"
    await asyncio.sleep(seconds)
    stand.proxy.mood = "busy"
    await asyncio.sleep(seconds / 2)
    stand.proxy.mood = "partial"
    await asyncio.sleep(seconds / 2)
    stand.proxy.mood = "well"
    assert stand.proxy.spoiled > 0


async def index_read_only(stand: Stand, seconds: float) -> None:
    """Set the block on the index that Elasticsearch sets when its disk is full, and remove it."""
    assert stand.index is not None
    for blocked in (True, None):
        await stand.index.indices.put_settings(
            index=stand.alias, settings={"index.blocks.read_only_allow_delete": blocked}
        )
        if blocked:
            await asyncio.sleep(seconds)


async def embedded_disk_full(stand: Stand, seconds: float) -> None:
    """Limit the file size of search to a few bytes, as on a full disk, and remove the limit."""
    search = psutil.Process(stand.services["search"][0].pid)
    before = search.rlimit(psutil.RLIMIT_FSIZE)
    search.rlimit(psutil.RLIMIT_FSIZE, (100, before[1]))
    await asyncio.sleep(seconds)
    why = await stand.trouble("search")
    assert "embedded index" in why, f"nothing was amiss: {why}"
    search.rlimit(psutil.RLIMIT_FSIZE, before)
    await stand.ready()


async def valkey_killed(stand: Stand, seconds: float) -> None:
    """Kill the store and restart it with its append-only file."""
    for _ in range(max(1, round(seconds / 5))):
        stand.valkey.kill()
        await asyncio.sleep(2.0)
        await stand.valkey_up()
        await stand.ready()
        await asyncio.sleep(1.0)


async def valkey_paused(stand: Stand, seconds: float) -> None:
    """Pause the store, as on a machine that is out of memory or unresponsive, and resume it."""
    stand.valkey.signal(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    stand.valkey.signal(signal.SIGCONT)
    await stand.ready()


async def connection_spoiled(stand: Stand, seconds: float) -> None:
    """Cut the way to the store, then delay, throttle and reset it."""
    assert stand.toxic is not None
    stand.toxic.cut()
    await asyncio.sleep(seconds / 4)
    stand.toxic.reset()
    for kind, attributes in (
        ("latency", {"latency": 150, "jitter": 100}),
        ("bandwidth", {"rate": 300}),
        ("reset_peer", {"timeout": 300}),
    ):
        stand.toxic.poison(kind, attributes)
        await asyncio.sleep(seconds / 4)
        stand.toxic.reset()
    await stand.ready()


async def groups_destroyed(stand: Stand, seconds: float) -> None:
    """Destroy the consumer groups: they are recreated at their checkpoint without a restart."""
    for _ in range(max(1, round(seconds / 4))):
        for name in ("search", "notify"):
            await stand.redis.xgroup_destroy(stand.keys.stream, name)
            await asyncio.sleep(1.0)
        await stand.ready()


async def flushed(stand: Stand, seconds: float) -> None:
    """Flush the store: all data is gone, and every loop continues with new events without a restart."""
    del seconds
    rate = stand.publisher.rate
    await stand.publisher.rest()
    await stand.settled()
    stand.indexed_before |= {write.article for write in stand.journal.writes}
    await stand.redis.flushall()
    stand.journal.clear()
    await stand.ready()
    stand.publisher.begin_anew(await furnish(stand))
    stand.publisher.rate = rate
    await asyncio.sleep(4)


async def ended_in_good_order(stand: Stand, seconds: float) -> None:
    """Stop each process gracefully during work, and restart it: no webhook may be repeated."""
    del seconds
    for name in ("search", "notify", "ingest"):
        for process in stand.services[name]:
            code = await process.stop()
            assert code == 0, f"{process.name} ended with {code}"
            process.start()
            await stand.ready()


DRILLS = (
    Drill("search killed in mid-batch", kill_search, 15),
    Drill("notify killed in mid-batch", kill_notify, 15),
    Drill("ingest killed in mid-batch", kill_ingest, 15),
    Drill("one of each killed in mid-batch", kill_each, 1, quick=1, replicas={"ingest": 2}),
    Drill("killed ten times among deliveries, the store twice", kill_among_deliveries, 100, replicas={"notify": 2}),
    Drill("one of two replicas killed", kill_a_replica, 10, replicas={"search": 2, "notify": 2}),
    Drill("Elasticsearch away, then busy, then refusing parts", index_troubles, 30, quick=4),
    Drill("index read-only", index_read_only, 15, quick=3),
    Drill("disk of the embedded index full", embedded_disk_full, 15, quick=4, index="embedded"),
    Drill("store killed", valkey_killed, 15, quick=5),
    Drill("store killed, embedded index", valkey_killed, 10, index="embedded"),
    Drill("store paused", valkey_paused, 15),
    Drill("way to the store cut, slow, narrow, reset", connection_spoiled, 24, quick=8, through_toxiproxy=True),
    Drill("consumer groups destroyed", groups_destroyed, 8, quick=4),
    Drill("store flushed", flushed, 1, quick=1),
    Drill("ended in good order", ended_in_good_order, 1, quick=1),
)

RANDOM: dict[str, tuple[Fault, float]] = {
    "kill search": (kill_search, 1),
    "kill notify": (kill_notify, 1),
    "kill ingest": (kill_ingest, 1),
    "index troubles": (index_troubles, 6),
    "index read-only": (index_read_only, 5),
    "kill the store": (valkey_killed, 1),
    "pause the store": (valkey_paused, 8),
    "spoil the way to the store": (connection_spoiled, 12),
    "destroy the groups": (groups_destroyed, 1),
    "end in good order": (ended_in_good_order, 1),
}
"""The faults of random drills, and their maximum duration in seconds."""

LOAD = f"{SUBSCRIPTIONS} subscriptions at {ENDPOINTS} endpoints"
