"""``python -m bench``: a table, and the same numbers as JSON in ``bench/results.json``.

Everything shares this machine: load, server and floor. Compare ratios, not rates.
"""

import asyncio
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from rich.console import Console
from rich.table import Table

from bench.servers import all_in_one, floor, ingest_alone
from tests.servers.valkey import free_port

SECONDS, CONNECTIONS, PROBES = 5.0, 32, 60
BODY = "<p>" + "The harbour board met on Tuesday and agreed on nothing but the next meeting. " * 25 + "</p>"


async def posts_a_second(session: aiohttp.ClientSession, site: str, headers: dict[str, str]) -> float:
    """Post different articles over all connections for some seconds; return how many were accepted a second."""
    accepted, deadline = 0, 0.0

    async def post(worker: int) -> None:
        nonlocal accepted
        number = 0
        while time.perf_counter() < deadline:
            number += 1
            article = {"title": f"Meeting {worker}-{number}", "body": BODY, "category": "Town", "topics": ["Harbour"]}
            async with session.post(f"{site}/v1/articles", json=article, headers=headers) as answer:
                assert answer.status == 201, await answer.text()
                await answer.read()
                accepted += 1

    for seconds in (1.0, SECONDS):  # the first second warms up
        accepted, began = 0, time.perf_counter()
        deadline = began + seconds
        await asyncio.gather(*map(post, range(CONNECTIONS)))
    return accepted / (time.perf_counter() - began)


async def latencies(session: aiohttp.ClientSession, site: str, keys: dict[str, str]) -> dict[str, list[float]]:
    """Publish one article at a time; measure from its 201 to the first search that finds it, and to its webhook."""
    arrived: dict[str, asyncio.Future[float]] = {}

    async def hook(request: web.Request) -> web.Response:
        title = (await request.json())["data"].get("title", "")
        if title in arrived and not arrived[title].done():
            arrived[title].set_result(time.perf_counter())
        return web.Response(status=204)

    receiver = web.Application()
    receiver.router.add_post("/hook", hook)
    runner = web.AppRunner(receiver)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    publisher, subscriber = (
        {"Authorization": f"Bearer {keys[name]}"} for name in ("NEWSWIRE_PUBLISHER_KEY", "NEWSWIRE_SUBSCRIBER_KEY")
    )
    channel = {"type": "webhook", "url": f"http://127.0.0.1:{port}/hook"}
    async with session.post(f"{site}/v1/subscriptions", headers=subscriber, json={"channel": channel}) as answer:
        assert answer.status == 201, await answer.text()
    found: dict[str, list[float]] = {"publish → searchable": [], "publish → webhook received": []}
    for number in range(PROBES):
        title = f"Probe zq{number}x"
        arrived[title] = asyncio.get_running_loop().create_future()
        async with session.post(
            f"{site}/v1/articles", headers=publisher, json={"title": title, "body": BODY}
        ) as answer:
            assert answer.status == 201, await answer.text()
        published = time.perf_counter()
        while True:
            async with session.get(f"{site}/v1/search", params={"q": f"zq{number}x"}) as answer:
                if (await answer.json())["total"]:
                    break
            await asyncio.sleep(0.002)
        found["publish → searchable"].append((time.perf_counter() - published) * 1000)
        found["publish → webhook received"].append((await arrived[title] - published) * 1000)
    await runner.cleanup()
    return found


async def measure() -> dict[str, Any]:
    results: dict[str, Any] = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            with all_in_one(folder / "idle") as (site, keys):
                for name, values in (await latencies(session, site, keys)).items():
                    p50, p95 = statistics.median(values), statistics.quantiles(values, n=20)[-1]
                    results[name] = {"p50_ms": round(p50, 1), "p95_ms": round(p95, 1)}
            with floor(folder / "floor") as site:
                bare = await posts_a_second(session, site, {})
            with ingest_alone(folder / "ingest") as (site, key):
                alone = await posts_a_second(session, site, {"Authorization": f"Bearer {key}"})
            with all_in_one(folder / "loaded") as (site, keys):
                headers = {"Authorization": f"Bearer {keys['NEWSWIRE_PUBLISHER_KEY']}"}
                embedded = await posts_a_second(session, site, headers)
    for name, rate in (("POST → 201, ingest alone", alone), ("POST → 201, all in one process", embedded)):
        results[name] = {"per_second": round(rate), "floor": round(bare), "ratio": round(rate / bare, 2)}
    return results


if __name__ == "__main__":
    results = asyncio.run(measure())
    Path(__file__).with_name("results.json").write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    table = Table("path", "measured", title=f"Python {results['python']}, {results['cores']} cores")
    for name, numbers in results.items():
        if isinstance(numbers, dict):
            table.add_row(name, ", ".join(f"{unit} {number}" for unit, number in numbers.items()))
    Console().print(table)
