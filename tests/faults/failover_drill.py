"""Another Redis server takes over: three Valkeys and three Sentinels, whole services under load with corrections and retractions.

``python -m tests.faults.failover_drill`` does each failover with and without acknowledgement by replicas, and compares what was
lost with what ``docs/redis.md`` says.
"""

import argparse
import asyncio
import re
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

from redis.asyncio import Redis
from rich.console import Console

from tests.faults.checker import Difference, differences
from tests.faults.journal import Journal
from tests.faults.stand import Stand, stand, under_load
from tests.servers.sentinel import Watched, watched_servers

REPLICAS = 2
DOWN_AFTER_MS = 3000
"""As in docker-compose.ha.yml."""
LAG_SECONDS = 0.8
"""How far replicas are behind in the rounds with lag; less than after what time Sentinels give them up."""
MARGIN_SECONDS = 2.0
"""What is acknowledged this long before or after a failover may count as during it: replicas that are not behind lack milliseconds,
and observing takes time. Deliveries and readers of these articles may see repeats."""
ARTICLE_PLACES = frozenset(("record", "list of articles", "version documents", "version document", "stream", "index"))
"""Where the checker finds differences of articles, in which no failover may lose anything while ingest lives."""
_ARTICLE = re.compile(r"\b[0-9a-zA-Z]{26}\b")
console = Console(highlight=False, soft_wrap=True)


async def kill(servers: Watched) -> None:
    """Kill the primary; start it again when another server has taken over."""
    before = await servers.primary()
    servers.send(before, signal.SIGKILL)
    await servers.until_switched(before)
    servers.restart(before)


async def hang(servers: Watched) -> None:
    """Stop the primary, with all its connections open, and let it go on when another server has taken over."""
    before = await servers.primary()
    servers.send(before, signal.SIGSTOP)
    await servers.until_switched(before)
    servers.send(before, signal.SIGCONT)


async def planned(servers: Watched) -> None:
    """Make a replica the primary by `SENTINEL FAILOVER`, and the former primary a replica of it."""
    before = await servers.primary()
    await servers.demote(before, await servers.fail_over())


async def unattended(servers: Watched) -> None:
    """Make a replica the primary by `SENTINEL FAILOVER`; Sentinels make the former one a replica after about ten seconds."""
    await servers.fail_over()


async def coordinated(servers: Watched) -> None:
    """Make a replica the primary once it has everything."""
    await servers.fail_over("COORDINATED")


FAULTS: dict[str, Callable[[Watched], Coroutine[None, None, None]]] = {
    "kill": kill,
    "hang": hang,
    "planned": planned,
    "unattended": unattended,
    "coordinated": coordinated,
}


async def fall_behind(servers: Watched) -> list[int]:
    """Stop the replicas and end their connections, until they lack the writes of a while; return their ports."""
    primary = await servers.primary()
    others = [port for port in servers.servers if port != primary]
    for port in others:
        servers.send(port, signal.SIGSTOP)
    async with Redis(port=primary) as redis:
        await redis.execute_command("CLIENT", "KILL", "TYPE", "replica")
    await asyncio.sleep(LAG_SECONDS)
    return others


@dataclass
class Timeline:
    """How many writes were acknowledged at which time."""

    points: list[tuple[float, int]] = field(default_factory=list)

    async def watch(self, journal: Journal) -> None:
        """Note the number ten times a second until cancelled."""
        while True:
            self.points.append((time.monotonic(), len(journal.writes)))
            await asyncio.sleep(0.1)

    def between(self, begin: float, end: float) -> slice:
        """Return which writes were acknowledged between two times."""
        first = max((number for at, number in self.points if at <= begin), default=0)
        return slice(first, min((number for at, number in self.points if at >= end), default=None))

    def longest_gap(self) -> float:
        """Return the longest time without an acknowledgement, in seconds."""
        changes = [self.points[0][0]]
        for (_, before), (at, number) in pairwise(self.points):
            if number > before:
                changes.append(at)
        return max(later - earlier for earlier, later in pairwise(changes))


@dataclass
class Outcome:
    """What a failover did."""

    unexplained: list[Difference]
    """Differences that the documentation does not allow."""
    lost: int
    """Articles of which something acknowledged was lost."""
    resurrected: int
    """Of these, articles that are published although they were retracted."""
    reused: int
    """Version numbers that were acknowledged twice, with different content."""
    writes: int
    gap: float

    @property
    def kept(self) -> bool:
        """Whether nothing was lost beyond what the documentation says, and no version number was given twice."""
        return not self.unexplained and not self.reused

    def __str__(self) -> str:
        return (
            f"{self.writes} writes acknowledged; {self.lost} articles lost something, {self.resurrected} of them a retraction; "
            f"{self.reused} version numbers given twice; longest gap {self.gap:.1f} s"
        )


Drill = Callable[[Path], Coroutine[None, None, Outcome]]
"""Does one thing in an empty folder, and says what it did."""


async def fail_over(
    folder: Path,
    fault: str,
    *,
    min_replicas: int,
    lagging: bool = False,
    with_ingest: bool = False,
    rate: float = 20,
    seconds: float = 5,
) -> Outcome:
    """Cause one failover under load, and compare everything afterwards. ``with_ingest``: ingest is killed, too."""
    async with watched_servers(replicas=REPLICAS, down_after_ms=DOWN_AFTER_MS) as servers:
        settings = {
            "NEWSWIRE_REDIS_MIN_REPLICAS": str(min_replicas),
            "NEWSWIRE_INDEX": "embedded",
        }
        async with stand(
            folder, f"f{secrets.token_hex(4)}", None, rate=rate, settings=settings, redis_url=servers.url
        ) as built:
            built.publisher.tolerates_loss = True  # the checker finds it
            with observed(built.journal) as timeline:
                async with under_load(built):
                    await asyncio.sleep(seconds)
                    began = time.monotonic()
                    behind = await fall_behind(servers) if lagging else []
                    running = asyncio.create_task(FAULTS[fault](servers))
                    if with_ingest:
                        for process in built.services["ingest"]:
                            process.kill()
                            process.start()
                    await asyncio.sleep(0.1)  # the primary is gone before replicas can ask it for what they lack
                    for port in behind:
                        servers.send(port, signal.SIGCONT)
                    await running
                    ended = time.monotonic()
                    await servers.until_replicas(REPLICAS)
                    await asyncio.sleep(seconds)
            window = timeline.between(began - MARGIN_SECONDS, ended + MARGIN_SECONDS)
            return await judge(built, window, timeline, confirmed=min_replicas >= REPLICAS)


@contextmanager
def observed(journal: Journal) -> Iterator[Timeline]:
    """Note the times of acknowledgements during the block."""
    timeline = Timeline()
    task = asyncio.create_task(timeline.watch(journal))
    try:
        yield timeline
    finally:
        task.cancel()


async def judge(built: Stand, window: slice, timeline: Timeline, *, confirmed: bool) -> Outcome:
    """Compare everything. Unless ``confirmed``, the articles of the writes in the window may have been repeated."""
    journal, found = built.journal, await built.read_back()
    # The results of attempts are lost with the rest of the tail: those webhooks are sent again, with the same id.
    all_found = differences(journal, found, repeats_allowed=len(journal.receipts))
    # Without confirmation, ingest repeats what was lost: with the same ids, at other positions of the stream, for other recipients.
    repeated = set() if confirmed else {write.article for write in journal.writes[window]}
    of_articles = [each for each in all_found if each.place in ARTICLE_PLACES]
    lost = {match for each in of_articles for match in _ARTICLE.findall(str(each))}
    retracted = {article for article, life in journal.by_article().items() if life[-1].kind == "retracted"}
    back = {article for article in lost & retracted if found.heads.get(article, ("", 0))[0] == "published"}
    return Outcome(
        unexplained=of_articles
        + [
            each
            for each in all_found
            if each.place not in ARTICLE_PLACES and not repeated.intersection(_ARTICLE.findall(str(each)))
        ],
        lost=len(lost),
        resurrected=len(back),
        reused=_reused(journal),
        writes=len(journal.writes),
        gap=timeline.longest_gap(),
    )


def _reused(journal: Journal) -> int:
    written = {(write.article, write.version, write.kind, write.title) for write in journal.writes}
    return sum(times > 1 for times in Counter(each[:3] for each in written).values())


def drills(rate: float) -> dict[str, Drill]:
    """Return each failover, with and without acknowledgement by all replicas, by its name."""
    found: dict[str, Drill] = {}
    for fault in FAULTS:
        for lagging in (False, True) if fault in ("kill", "hang") else (False,):
            for min_replicas in (REPLICAS, 0):
                name = f"{fault}{', replicas behind' if lagging else ''}, {min_replicas} replicas acknowledge"
                found[name] = partial(fail_over, fault=fault, min_replicas=min_replicas, lagging=lagging, rate=rate)
    # Without acknowledgement, what is lost in this case is lost for good.
    name = f"kill together with ingest, replicas behind, {REPLICAS} replicas acknowledge"
    found[name] = partial(fail_over, fault="kill", min_replicas=REPLICAS, lagging=True, with_ingest=True, rate=rate)
    return found


async def rounds(folder: Path, number: int, chosen: Mapping[str, Drill]) -> bool:
    """Do each drill so often, and print the results; return whether the documentation holds."""
    kept = True
    for at in range(number):
        for name, drill in chosen.items():
            outcome = await drill(folder / f"{at}-{name.replace(' ', '-').replace(',', '')}")
            kept &= outcome.kept
            console.print(f"{'[green]kept[/]' if outcome.kept else '[red]broken[/]'} {name}: {outcome}")
            for difference in outcome.unexplained[:10]:
                console.print(f"   {difference}")
    return kept


def run(program: str, description: str | None, made: Callable[[float], Mapping[str, Drill]]) -> int:
    """Run drills as the command line says; the exit code is 0 if nothing was lost beyond what the documentation says.

    ``made`` returns the drills by name, for a rate of articles a second.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tests.faults.{program}", description=description)
    parser.add_argument("--rounds", type=int, default=1, help="how often everything happens")
    parser.add_argument("--rate", type=float, default=20, help="articles a second")
    parser.add_argument("--only", default="", help="only the drills with this text in their name")
    given = parser.parse_args()
    chosen = {name: drill for name, drill in made(given.rate).items() if given.only in name}
    with tempfile.TemporaryDirectory(prefix="newswire-drill-", ignore_cleanup_errors=True) as folder:
        return 0 if asyncio.run(rounds(Path(folder), given.rounds, chosen)) else 1


if __name__ == "__main__":
    sys.exit(run("failover_drill", __doc__, drills))
