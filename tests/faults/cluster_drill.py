"""A Redis Cluster under load: the slot of all keys is moved, at once and key by key; its primary is killed, hangs, is replaced.

``python -m tests.faults.cluster_drill`` does each to three primaries with a replica each, and compares everything with what
``docs/redis.md`` says. First an installation on one server becomes one on a cluster, under a new namespace.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path

from rich.console import Console

from tests.cli.running import newswire
from tests.faults.failover_drill import MARGIN_SECONDS, Drill, Outcome, judge, observed, run
from tests.faults.stand import Stand, stand, under_load
from tests.servers.cluster import Cluster, cluster

TAG = "drill"
NODE_TIMEOUT_MS = 3000
"""Longer than a busy machine keeps a node waiting that is well."""
console = Console(highlight=False, soft_wrap=True)


async def kill(nodes: Cluster) -> None:
    """Kill the primary; start it again when its replica has taken over."""
    before = await nodes.owner(TAG)
    [after] = await nodes.replicas_of(before)
    nodes.send(before, signal.SIGKILL)
    await nodes.until_owner(TAG, {after})
    nodes.restart(before)
    await nodes.until_replicas(after, 1)


async def hang(nodes: Cluster) -> None:
    """Stop the primary, with all its connections open, and let it go on when its replica has taken over."""
    before = await nodes.owner(TAG)
    [after] = await nodes.replicas_of(before)
    nodes.send(before, signal.SIGSTOP)
    await nodes.until_owner(TAG, {after})
    nodes.send(before, signal.SIGCONT)
    await nodes.until_replicas(after, 1)


async def planned(nodes: Cluster) -> None:
    """Make the replica the primary by `CLUSTER FAILOVER`."""
    [replica] = await nodes.replicas_of(await nodes.owner(TAG))
    await nodes.ask(replica, "CLUSTER", "FAILOVER")
    await nodes.until_owner(TAG, {replica})
    await nodes.until_replicas(replica, 1)


async def move(nodes: Cluster) -> None:
    """Move the slot to another primary, and back, atomically."""
    before = await nodes.owner(TAG)
    await nodes.move_slot(TAG, await nodes.other_primary(TAG))
    await asyncio.sleep(1)
    await nodes.move_slot(TAG, before)


async def move_keys(nodes: Cluster) -> None:
    """Move the slot to another primary, key by key."""
    await nodes.move_keys(TAG, await nodes.other_primary(TAG), pause=0.02)


FAULTS: dict[str, Callable[[Cluster], Coroutine[None, None, None]]] = {
    "move": move,
    "move_keys": move_keys,
    "planned": planned,
    "kill": kill,
    "hang": hang,
}
MAY_LOSE = frozenset(("kill", "hang"))
"""What loses writes, which ingest repeats, unless the replica acknowledges them, too."""


async def cause(
    folder: Path, fault: str, *, min_replicas: int = 1, rate: float = 20, seconds: float = 5, replicas: int = 1
) -> Outcome:
    """Cause one of these under load, and compare everything afterwards."""
    async with cluster(replicas=replicas, node_timeout_ms=NODE_TIMEOUT_MS) as nodes:
        settings = {"NEWSWIRE_REDIS_MIN_REPLICAS": str(min_replicas), "NEWSWIRE_INDEX": "embedded"}
        async with stand(folder, f"{{{TAG}}}", None, rate=rate, settings=settings, redis_url=nodes.url) as built:
            lossless = fault not in MAY_LOSE or min_replicas > 0
            built.publisher.tolerates_loss = True  # the checker finds it
            with observed(built.journal) as timeline:
                async with under_load(built):
                    await asyncio.sleep(seconds)
                    began = time.monotonic()
                    await FAULTS[fault](nodes)
                    ended = time.monotonic()
                    await asyncio.sleep(seconds)
            window = timeline.between(began - MARGIN_SECONDS, ended + MARGIN_SECONDS)
            return await judge(built, window, timeline, confirmed=lossless)


async def upgrade(folder: Path, *, rate: float = 20, seconds: float = 5) -> Outcome:
    """Rename the keys of an installation on one server, and let its server become a node of a cluster, with all data."""
    async with stand(folder, TAG, None, rate=rate, settings={"NEWSWIRE_INDEX": "embedded"}) as built:
        with observed(built.journal) as timeline:
            async with under_load(built):
                await asyncio.sleep(seconds)
            await _stop_services(built)
            url = f"redis://127.0.0.1:{built.valkey.port}/0"
            renamed = await asyncio.to_thread(
                newswire, "rename-keys", f"{{{TAG}}}", NEWSWIRE_REDIS_URL=url, NEWSWIRE_NAMESPACE=TAG
            )
            assert renamed.returncode == 0, renamed.stderr
            await built.valkey.stop()
            async with cluster(first=folder, node_timeout_ms=NODE_TIMEOUT_MS) as nodes:
                await built.use_redis(nodes.url, f"{{{TAG}}}")
                async with under_load(built):
                    await asyncio.sleep(seconds)
                return await judge(built, slice(0, 0), timeline, confirmed=True)


async def _stop_services(built: Stand) -> None:
    for process in (one for replicas in built.services.values() for one in replicas):
        await process.stop()


def drills(rate: float) -> dict[str, Drill]:
    """Return the move into a cluster, and each fault with and without acknowledgement by a replica, by its name."""
    found: dict[str, Drill] = {"one server becomes a cluster": partial(upgrade, rate=rate)}
    for fault in FAULTS:
        for min_replicas in (1, 0):
            name = f"{fault}, {min_replicas} replicas acknowledge"
            found[name] = partial(cause, fault=fault, min_replicas=min_replicas, rate=rate)
    return found


if __name__ == "__main__":
    sys.exit(run("cluster_drill", __doc__, drills))
