"""Random faults, one at a time, of an installation of which every part but the gateway exists more than once.

``python -m tests.faults.random_drill --minutes 60`` runs three Valkeys and three Sentinels (a replica acknowledges every write),
three Elasticsearch nodes, and two processes of each service behind a real nginx, all on this machine, under load with corrections
and retractions. A process of any of them is killed, hangs or is restarted, or another Valkey becomes the primary by plan; when
everything is well again, the next fault follows. At the end the checker must find nothing, and the memory of each process after
each minute is printed.
"""

import argparse
import asyncio
import random
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from rich.console import Console

from tests.faults.drills import IN_FLIGHT
from tests.faults.index_cluster_drill import searching
from tests.faults.run import SMALL_HISTORY, Verdict, verdict
from tests.faults.stand import Stand, stand, under_load
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.elasticsearch_cluster import NODES, Node, elasticsearch_cluster, wait_until_green
from tests.servers.gateway import gateway
from tests.servers.sentinel import Watched, watched_servers

SERVICES = ("ingest", "search", "notify")
REPLICAS = 2
DOWN_AFTER_SECONDS = 10.0
"""After what time without an answer Sentinels take a Valkey for dead: longer than a busy machine keeps one waiting that is well.

While Sentinels replace a primary that is only slow, it goes on, and a replica that still follows it acknowledges its writes.
"""
SAMPLE_SECONDS = 5.0
_A_MINUTE = round(60 / SAMPLE_SECONDS)
Happening = Coroutine[None, None, None]
console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    minutes: float
    rate: float
    seed: int
    down_after: float
    long_lives: bool
    """Whether the second process of each service only hangs, so that its memory is seen over the whole time."""


@dataclass
class Installation:
    """All parts."""

    built: Stand
    valkeys: Watched
    nodes: list[Node]
    drawn: random.Random
    options: Options

    async def recovered(self) -> None:
        """Wait until every part is well."""
        await self.valkeys.until_replicas(REPLICAS)
        for node in self.nodes:  # one that hung does not know at once that it was left out
            await asyncio.to_thread(wait_until_green, node, NODES)
        await self.built.ready()

    async def pause(self, shortest: float, longest: float) -> None:
        """Wait for a random time."""
        await asyncio.sleep(self.drawn.uniform(shortest, longest))


async def fault_of_a_service(parts: Installation) -> tuple[str, Happening]:
    """Choose a process of a service, and what happens to it."""
    process = parts.drawn.choice([one for name in SERVICES for one in parts.built.services[name]])

    async def kill() -> None:
        process.kill()
        await parts.pause(0.5, 5)
        process.start()

    async def hang() -> None:
        process.signal(signal.SIGSTOP)
        await parts.pause(1, 20)
        process.signal(signal.SIGCONT)

    async def restart() -> None:
        assert await process.stop() == 0, f"{process.name} did not end in good order"
        process.start()

    spared = parts.options.long_lives and process.name.endswith("2")
    chosen = parts.drawn.choice((hang,) if spared else (kill, hang, restart))
    if process in parts.built.services["notify"] and chosen is not restart:
        parts.built.repeats_allowed += 2 * IN_FLIGHT
    return f"{chosen.__name__} {process.name}", chosen()


async def fault_of_a_node(parts: Installation) -> tuple[str, Happening]:
    """Choose a node of Elasticsearch, and what happens to it."""
    node = parts.drawn.choice(parts.nodes)

    async def kill() -> None:
        node.kill()
        await parts.pause(1, 15)
        node.start()

    async def hang() -> None:
        node.signal(signal.SIGSTOP)
        await parts.pause(1, 45)
        node.signal(signal.SIGCONT)

    async def restart() -> None:
        node.signal(signal.SIGTERM)
        await parts.pause(10, 15)
        node.kill()
        node.start()

    chosen = parts.drawn.choice((kill, hang, restart))
    return f"{chosen.__name__} {node.name}", chosen()


async def fault_of_the_primary(parts: Installation) -> tuple[str, Happening]:
    """Choose how another Valkey becomes the primary."""
    valkeys = parts.valkeys
    before = await valkeys.primary()

    async def kill() -> None:
        valkeys.send(before, signal.SIGKILL)
        await valkeys.until_switched(before)
        valkeys.restart(before)

    async def hang() -> None:
        valkeys.send(before, signal.SIGSTOP)
        await valkeys.until_switched(before)
        valkeys.send(before, signal.SIGCONT)

    async def replace() -> None:
        await valkeys.fail_over("COORDINATED")

    chosen = parts.drawn.choice((kill, hang, replace))
    # Results of attempts are not waited for: those webhooks are sent again.
    parts.built.repeats_allowed += 2 * REPLICAS * IN_FLIGHT
    return f"{chosen.__name__} the primary", chosen()


async def fault_of_another_valkey(parts: Installation) -> tuple[str, Happening]:
    """Choose a replica or a Sentinel, and what happens to it."""
    valkeys = parts.valkeys
    primary = await valkeys.primary()
    replicas = [port for port in valkeys.servers if port != primary]
    port = parts.drawn.choice([*replicas, *valkeys.sentinels])
    if port in valkeys.sentinels:
        valkeys.sentinels[port] = valkeys.sentinels.pop(port)  # the first one is asked

    async def kill() -> None:
        valkeys.send(port, signal.SIGKILL)
        await parts.pause(1, 10)
        valkeys.restart(port)

    async def hang() -> None:
        valkeys.send(port, signal.SIGSTOP)
        await parts.pause(1, 20)
        valkeys.send(port, signal.SIGCONT)

    chosen = parts.drawn.choice((kill, hang))
    return f"{chosen.__name__} a {'Sentinel' if port in valkeys.sentinels else 'replica'}", chosen()


FAULTS: tuple[Callable[[Installation], Coroutine[None, None, tuple[str, Happening]]], ...] = (
    fault_of_a_service,
    fault_of_a_node,
    fault_of_the_primary,
    fault_of_another_valkey,
)


@dataclass
class Memory:
    """The memory of each process, sampled."""

    samples: dict[str, dict[int, list[int]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    """By the name of the process, and by its id: one that was started again begins anew."""

    async def watch(self, parts: Installation) -> None:
        """Sample until cancelled."""
        while True:
            for name, pid in _processes(parts):
                try:
                    self.samples[name][pid].append(psutil.Process(pid).memory_info().rss)
                except psutil.NoSuchProcess:
                    continue
            await asyncio.sleep(SAMPLE_SECONDS)

    def said(self) -> list[str]:
        """Return a line for each process, about its longest life: its memory at the end of each minute."""
        lines = []
        for name, lives in sorted(self.samples.items()):
            sizes = max(lives.values(), key=len)
            minutes = " ".join(f"{sizes[at] / 2**20:.0f}" for at in range(_A_MINUTE - 1, len(sizes), _A_MINUTE))
            lines.append(f"{name}, MiB after each minute of the longest of {len(lives)} lives: {minutes}")
        return lines


def _processes(parts: Installation) -> list[tuple[str, int]]:
    services = [one for name in SERVICES for one in parts.built.services[name]]
    return [
        *((one.name, one.pid) for one in services if one.alive),
        *((f"Valkey {number + 1}", process.pid) for number, process in enumerate(parts.valkeys.servers.values())),
        *((node.name, pid) for node in parts.nodes for pid in node.pids()[-1:]),
    ]


@asynccontextmanager
async def installation(folder: Path, nodes: list[Node], options: Options) -> AsyncIterator[Installation]:
    """Run all parts."""
    settings = {
        "NEWSWIRE_REDIS_MIN_REPLICAS": "1",
        "NEWSWIRE_ELASTICSEARCH_URL": ",".join(node.url for node in nodes),
        "NEWSWIRE_TRUSTED_PROXIES": "127.0.0.1",
    }
    async with (
        watched_servers(replicas=REPLICAS, down_after_ms=round(options.down_after * 1000)) as valkeys,
        stand(
            folder / "stand",
            f"r{secrets.token_hex(4)}",
            ElasticsearchServer(nodes[0].url),
            replicas=dict.fromkeys(SERVICES, 2),
            rate=options.rate,
            seed=options.seed,
            settings=SMALL_HISTORY | settings,
            redis_url=valkeys.url,
        ) as built,
    ):
        with gateway(
            folder / "gateway", {**{name: built.sites(name) for name in SERVICES}, "operations": ["127.0.0.1:1"]}
        ) as nginx:
            built.go_through(nginx.site)
            yield Installation(built, valkeys, nodes, random.Random(options.seed), options)


async def drill(folder: Path, nodes: list[Node], memory: Memory, options: Options) -> Verdict:
    """Cause one fault after the other for some minutes, chosen by the seed."""
    async with installation(folder, nodes, options) as parts:
        watching = asyncio.create_task(memory.watch(parts))
        searches: Counter[str] = Counter()
        try:
            async with under_load(parts.built):
                began = time.monotonic()
                while (passed := time.monotonic() - began) < options.minutes * 60:
                    await asyncio.sleep(3)
                    name, happening = await parts.drawn.choice(FAULTS)(parts)
                    searches += await _one(parts, f"{passed:5.0f} s  {name}", happening)
        finally:
            watching.cancel()
        judged = await verdict(parts.built)
    failed = searches.total() - searches["answered"]
    return Verdict(judged.found, f"{judged.said}; {failed} of {searches.total():,} searches failed")


async def _one(parts: Installation, name: str, happening: Happening) -> Counter[str]:
    answers: Counter[str] = Counter()
    slowest = [0.0]
    began = time.monotonic()
    async with searching(parts.built.entrances("search")[0], answers, slowest):
        await happening
        await parts.recovered()
    failed = {said: number for said, number in answers.items() if said != "answered"}
    console.print(
        f"  {name}: well again after {time.monotonic() - began:.0f} s; {sum(failed.values())} of {answers.total()} "
        f"searches failed {failed or ''}, slowest {slowest[0]:.1f} s; {len(parts.built.journal.writes):,} writes"
    )
    return answers


def main() -> int:
    """Run the drill; the exit code is 0 if the checker found nothing."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.random_drill", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, help="repeat the faults of this seed")
    parser.add_argument("--rate", type=float, default=10, help="articles a second")
    parser.add_argument(
        "--long-lives", action="store_true", help="kill and restart only the first process of each service"
    )
    parser.add_argument(
        "--down-after", type=float, default=DOWN_AFTER_SECONDS, help="seconds until Sentinels take a Valkey for dead"
    )
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    options = Options(given.minutes, given.rate, seed, given.down_after, given.long_lives)
    folder = Path(tempfile.mkdtemp(prefix="newswire-drill-"))
    console.print(f"{options.minutes:g} minutes, {options.rate:g} articles/s, seed {seed}")
    memory = Memory()
    try:
        with elasticsearch_cluster() as nodes:
            judged = asyncio.run(drill(folder, nodes, memory, options))
    finally:
        for line in memory.said():
            console.print(f"  {line}")
    clean = "[green]clean[/]" if not judged.found else f"[red]{len(judged.found)} differences[/]"
    console.print(f"{clean}: {judged.said}; the logs are in {folder}")
    for difference in judged.found[:20]:
        console.print(f"   {difference}")
    return 0 if not judged.found else 1


if __name__ == "__main__":
    sys.exit(main())
