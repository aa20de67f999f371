"""Runs drills: an installation under load, the fault, the wait for all work, and the checker."""

import asyncio
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.checker import Difference, differences, repeats
from tests.faults.drills import RANDOM, Drill
from tests.faults.stand import Stand, stand, under_load
from tests.servers.elasticsearch import ElasticsearchServer

SMALL_HISTORY = {"NEWSWIRE_DELIVERY_HISTORY_BYTES": "100000"}
"""So that only about the last hundred ended deliveries per subscription are kept; most are checked by what was received."""


@dataclass(frozen=True)
class Verdict:
    """The checker's result, and a line about the amount of checked data."""

    found: list[Difference]
    said: str


async def run_drill(
    drill: Drill, folder: Path, elasticsearch: ElasticsearchServer | None, *, seconds: float, rate: float, seed: int
) -> Verdict:
    """Run one drill.

    Raises:
        NotSettledError: work was still in progress at the end.
    """
    server = elasticsearch if drill.index == "elasticsearch" else None
    async with stand(
        folder,
        _namespace(),
        server,
        replicas=drill.replicas,
        through_toxiproxy=drill.through_toxiproxy,
        rate=rate,
        seed=seed,
    ) as built:
        async with under_load(built):
            await asyncio.sleep(3)
            await drill.fault(built, seconds)
            await asyncio.sleep(3)
        return await verdict(built)


async def random_drills(
    folder: Path,
    elasticsearch: ElasticsearchServer,
    *,
    minutes: float,
    rate: float,
    seed: int,
    told: Callable[[str], None],
) -> Verdict:
    """Cause one fault after another for some minutes, chosen by the seed, and watch the memory of each process."""
    drawn = random.Random(seed)
    memory: dict[str, list[int]] = {}
    async with stand(
        folder, _namespace(), elasticsearch, through_toxiproxy=True, rate=rate, seed=seed, settings=SMALL_HISTORY
    ) as built:
        async with under_load(built):
            began = time.monotonic()
            while (passed := time.monotonic() - began) < minutes * 60:
                name = drawn.choice(list(RANDOM))
                fault, longest = RANDOM[name]
                seconds = round(drawn.uniform(longest / 2, longest), 1)
                told(f"{passed:5.0f} s  {name} ({seconds} s), {len(built.journal.writes):,} writes")
                await fault(built, seconds)
                await asyncio.sleep(drawn.uniform(3, 8))
                for process in (one for replicas in built.services.values() for one in replicas):
                    memory.setdefault(process.name, []).append(process.memory())
        judged = await verdict(built)
    grown = "; ".join(f"{name} {_grown(sizes)}" for name, sizes in memory.items())
    return Verdict(judged.found, f"{judged.said}\n     memory, first third → last third: {grown}")


async def verdict(built: Stand) -> Verdict:
    """Read everything back and compare."""
    journal, held = built.journal, await built.read_back()
    found = differences(journal, held, repeats_allowed=built.repeats_allowed, indexed_before=built.indexed_before)
    said = (
        f"{len(journal.writes):,} writes, {len(journal.receipts):,} webhooks ({repeats(journal)} again), "
        f"{len(held.deliveries):,} records of deliveries kept, "
        f"{len(journal.heard):,} heard live, slowest 2xx after {built.publisher.slowest:.1f} s"
    )
    return Verdict(found, said)


def _namespace() -> str:
    return f"drill{secrets.token_hex(4)}"


def _grown(sizes: list[int]) -> str:
    third = max(1, len(sizes) // 3)
    first, last = (sum(part) / len(part) / 2**20 for part in (sizes[:third], sizes[-third:]))
    return f"{first:.0f} → {last:.0f} MiB"
