"""A rolling restart behind the gateway: no request fails.

``python -m tests.faults.rolling_drill`` runs two processes of each service behind a real nginx, publishes, searches, reads live and
delivers webhooks, and restarts the processes one after the other. Not one request may fail, by nginx's log and by what the clients
saw, and the checker must find no event lost or repeated.
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tests.faults.checker import Difference
from tests.faults.index_cluster_drill import searching
from tests.faults.run import verdict
from tests.faults.stand import Stand, stand, under_load
from tests.servers.elasticsearch import ElasticsearchServer, elasticsearch_server
from tests.servers.gateway import gateway

SERVICES = ("ingest", "search", "notify")
console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Result:
    """What came of a rolling restart."""

    failed: list[str]
    """Requests that failed, at nginx or at a client."""
    found: list[Difference]
    said: str


async def drill(
    folder: Path,
    elasticsearch: ElasticsearchServer,
    *,
    rate: float,
    rounds: int = 1,
    delay: float = 0,
    processes: int = 2,
) -> Result:
    """Restart so many processes of each service in turn, under load."""
    answers: Counter[str] = Counter()
    slowest = [0.0]
    async with stand(
        folder / "stand",
        f"d{secrets.token_hex(4)}",
        elasticsearch,
        replicas=dict.fromkeys(SERVICES, 2),
        rate=rate,
        settings={"NEWSWIRE_SHUTDOWN_DELAY": str(delay), "NEWSWIRE_TRUSTED_PROXIES": "127.0.0.1"},
    ) as built:
        with gateway(
            folder / "gateway", {**{name: built.sites(name) for name in SERVICES}, "operations": ["127.0.0.1:1"]}
        ) as nginx:
            built.go_through(nginx.site)
            async with under_load(built), searching(nginx.site, answers, slowest):
                await asyncio.sleep(2)
                for _ in range(rounds):
                    for name in SERVICES:
                        await _restart_each(built, name, processes)
                await asyncio.sleep(2)
            failed = [*nginx.failed(), *built.journal.failed_requests]
            failed += [f"{number} searches {said}" for said, number in answers.items() if said != "answered"]
            statuses = dict(sorted(nginx.statuses().items()))
        judged = await verdict(built)
    said = f"{judged.said}; answers of nginx {statuses}; slowest search {slowest[0]:.1f} s"
    return Result(failed, judged.found, said)


async def _restart_each(built: Stand, service: str, processes: int) -> None:
    for process in built.services[service][:processes]:
        code = await process.stop()
        assert code == 0, f"{process.name} ended with {code}"
        process.start()
        await built.ready(service)


def show(result: Result, folder: Path) -> int:
    """Print a result; return the exit code, 0 if nobody noticed."""
    console.print(f"{len(result.failed)} requests failed, {len(result.found)} differences: {result.said}")
    for line in [*result.failed[:20], *result.found[:20]]:
        console.print(f"   {line}")
    if clean := not result.failed and not result.found:
        console.print("[green]nobody noticed[/]")
    else:
        console.print(f"[red]noticed[/]; the logs are in {folder}")
    return 0 if clean else 1


def main() -> int:
    """Run the drill; the exit code is 0 if nobody noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.rolling_drill", description=__doc__)
    parser.add_argument("--rate", type=float, default=20, help="articles a second")
    parser.add_argument("--rounds", type=int, default=2, help="how often each process is restarted")
    parser.add_argument("--delay", type=float, default=0, help="NEWSWIRE_SHUTDOWN_DELAY of the processes")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="newswire-drill-"))
    with ExitStack() as stack:
        with console.status("Elasticsearch starts"):
            server = stack.enter_context(elasticsearch_server())
        result = asyncio.run(drill(folder, server, rate=given.rate, rounds=given.rounds, delay=given.delay))
    return show(result, folder)


if __name__ == "__main__":
    sys.exit(main())
