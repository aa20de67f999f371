"""Any one of three Elasticsearch nodes is killed, restarted, or hangs: readers go on searching, and nothing is lost.

``python -m tests.faults.index_cluster_drill`` does each to each node, under load with corrections and retractions, and counts. The
nodes include the one that the setting names first, and the elected master.
"""

import argparse
import asyncio
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from rich.console import Console

from tests.faults.run import verdict
from tests.faults.stand import Stand, stand, under_load
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.elasticsearch_cluster import NODES, Node, elasticsearch_cluster, master, wait_until_green

READERS = 4
FAILED_SHARE = 1 / 200
"""The share of searches that may fail."""
AWAY_SECONDS = 15.0
WORDS = ("ferry", "harbour", "council", "the", "storm", "report")
console = Console(highlight=False, soft_wrap=True)


@asynccontextmanager
async def searching(site: str, answers: Counter[str], slowest: list[float]) -> AsyncIterator[None]:
    """Search all the time during the block, with different queries so that no kept answer serves; count the answers by status."""

    async def search(reader: int) -> None:
        number = 0
        while True:
            number += 1
            began = time.monotonic()
            query = f"{WORDS[number % len(WORDS)]} OR x{reader}{number}" if number % 2 else WORDS[number % len(WORDS)]
            try:
                async with http.get(f"{site}/v1/search", params={"q": query}) as answer:
                    await answer.read()
                    answers["answered" if answer.status == 200 else f"failed: {answer.status}"] += 1
            except (aiohttp.ClientError, TimeoutError) as error:
                answers[f"failed: {type(error).__name__}"] += 1
            slowest[0] = max(slowest[0], time.monotonic() - began)
            await asyncio.sleep(0.02)

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
        tasks = [asyncio.create_task(search(reader)) for reader in range(READERS)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def kill(node: Node, other: Node) -> None:
    """Kill a node and start it again."""
    node.kill()
    await asyncio.sleep(AWAY_SECONDS)
    node.start()
    await asyncio.to_thread(wait_until_green, other, NODES)


async def restart(node: Node, other: Node) -> None:
    """Stop a node as an operator does, and start it again at once."""
    node.signal(signal.SIGTERM)
    await asyncio.sleep(AWAY_SECONDS)
    node.kill()
    node.start()
    await asyncio.to_thread(wait_until_green, other, NODES)


async def hang(node: Node, other: Node) -> None:
    """Let a node keep its connections and answer nothing, until the others give it up, and then go on."""
    node.signal(signal.SIGSTOP)
    await asyncio.sleep(3 * AWAY_SECONDS)
    node.signal(signal.SIGCONT)
    await asyncio.to_thread(wait_until_green, other, NODES)


FAULTS = (kill, restart, hang)


async def drill(nodes: list[Node], folder: Path, rate: float, only: str = "") -> bool:
    """Run the faults whose name holds ``only`` on all nodes, and return whether everything that is promised held."""
    urls = ",".join(node.url for node in nodes)
    async with stand(
        folder,
        f"d{secrets.token_hex(4)}",
        ElasticsearchServer(nodes[0].url),
        rate=rate,
        settings={"NEWSWIRE_ELASTICSEARCH_URL": urls, "NEWSWIRE_ELASTICSEARCH_REFRESH_MS": "200"},
    ) as built:
        kept = True
        async with under_load(built):
            for fault in (each for each in FAULTS if only in each.__name__):
                for number, node in enumerate(nodes):
                    kept &= await _one(built, fault.__name__, fault(node, nodes[number - 1]), node)
        found = await verdict(built)
    console.print(f"{len(found.found)} differences: {found.said}")
    for difference in found.found[:10]:
        console.print(f"   {difference}")
    return kept and not found.found


async def _one(built: Stand, name: str, happening: Coroutine[None, None, None], node: Node) -> bool:
    answers: Counter[str] = Counter()
    slowest = [0.0]
    role = ", the master" if await asyncio.to_thread(master, node) == node.name else ""
    async with searching(built.sites("search")[0], answers, slowest):
        await asyncio.sleep(2)
        await happening
        await asyncio.sleep(2)
    failed = answers.total() - answers["answered"]
    good = failed <= answers.total() * FAILED_SHARE
    mark = "[green]kept[/]" if good else "[red]broken[/]"
    console.print(
        f"{mark} {name} {node.name}{role}: {failed} of {answers.total()} searches failed, slowest {slowest[0]:.1f} s",
        dict(answers),
    )
    return good


def main() -> int:
    """Run the drill; the exit code is 0 if everything that is promised held."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.index_cluster_drill", description=__doc__)
    parser.add_argument("--rate", type=float, default=10, help="articles a second")
    parser.add_argument("--only", default="", help="faults whose name holds this")
    given = parser.parse_args()
    with elasticsearch_cluster() as nodes, tempfile.TemporaryDirectory(prefix="newswire-drill-") as folder:
        return 0 if asyncio.run(drill(nodes, Path(folder), given.rate, given.only)) else 1


if __name__ == "__main__":
    sys.exit(main())
