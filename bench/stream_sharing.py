"""What reading the stream costs Redis and the processes of a host, each for itself and shared: `python -m bench.stream_sharing`.

Each process runs the live stream of notify with one reader. Events of about 5.5 KB are added to the stream
at a steady rate. It prints, for each number of processes and both ways, the bytes a second that Valkey sent, the processor
time of Valkey and of the processes per second, and the time from an entry's id to its readers, in whole milliseconds.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from bench.articles import made_up
from bench.publishing import events, versions
from bench.servers import KEYS, valkey
from newswire.events import FIELD
from newswire.storage.redis_client import open_redis

SETTLE_SECONDS = 4.0
"""Time for the processes to find each other, before anything is measured."""


async def measure(
    redis: "Redis", url: str, folder: Path | None, *, processes: int, rate: float, seconds: float
) -> dict[str, Any]:
    """Return the figures of so many processes."""
    entries = itertools.cycle(events(versions(made_up(200), "Bench")))
    command = [sys.executable, "-m", "bench.stream_sharing_process", url, *([str(folder)] if folder else [])]
    children: list[Process] = []
    for _ in range(processes):
        child = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=64 * 1024 * 1024)
        children.append(child)
    for child in children:
        await _line(child)
    begin = time.time() + SETTLE_SECONDS
    for child in children:
        if child.stdin is not None:
            child.stdin.write(json.dumps([begin, begin + seconds]).encode() + b"\n")
    await _publish(redis, entries, rate, begin)
    before = await redis.info()
    await _publish(redis, entries, rate, begin + seconds)
    after = await redis.info()
    found = [json.loads(await _line(child)) for child in children]
    await asyncio.gather(*(child.wait() for child in children))
    delays = sorted(delay for each in found for delay in each["delays"])
    spent = [each["cpu"] / seconds for each in found]
    return {
        "processes": processes,
        "shared": folder is not None,
        "events_per_process": len(delays) / processes,
        "valkey_mb_per_second": round(_difference(before, after, "total_net_output_bytes") / seconds / 1e6, 3),
        "valkey_cpu": round(_difference(before, after, "used_cpu_user", "used_cpu_sys") / seconds, 4),
        "process_cpu_median": round(statistics.median(spent), 4),
        "process_cpu_max": round(max(spent), 4),
        "delay_ms": [round(delays[int(len(delays) * part)], 1) for part in (0.5, 0.99)],
    }


async def _publish(redis: "Redis", entries: Iterator[bytes], rate: float, until: float) -> None:
    due = time.time()
    while due < until:
        await asyncio.sleep(max(0.0, due - time.time()))
        await redis.xadd(KEYS.stream, {FIELD: next(entries)}, maxlen=10_000)
        due += 1 / rate


async def _line(child: Process) -> bytes:
    return b"" if child.stdout is None else await child.stdout.readline()


def _difference(before: dict[str, Any], after: dict[str, Any], *names: str) -> float:
    return sum(float(after[name]) - float(before[name]) for name in names)


async def run(counts: list[int], rate: float, seconds: float) -> None:
    """Measure each number of processes, both ways."""
    with tempfile.TemporaryDirectory(prefix="newswire-") as temporary, valkey(Path(temporary) / "valkey") as url:
        async with open_redis(url) as redis:
            for processes in counts:
                for folder in (None, Path(temporary) / "relay"):
                    figures = await measure(redis, url, folder, processes=processes, rate=rate, seconds=seconds)
                    print(json.dumps(figures), flush=True)


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.stream_sharing", description=__doc__)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rate", type=float, default=50.0, help="articles a second")
    parser.add_argument("--seconds", type=float, default=15.0)
    arguments = parser.parse_args()
    asyncio.run(run(arguments.processes, arguments.rate, arguments.seconds))


if __name__ == "__main__":
    main()
