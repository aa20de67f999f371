"""One of the processes of `bench.stream_sharing`: ``URL [FOLDER]``; with a folder it shares the reading of the stream."""

import asyncio
import json
import resource
import sys
import time
from pathlib import Path

from newswire.keys import Keyspace
from newswire.storage.redis_client import open_redis
from newswire.storage.replication import ReplicationBarrier
from newswire_notify.stream_relay.shared_stream import open_shared_stream
from newswire_notify.streaming.broadcaster import StreamBroadcaster
from newswire_notify.streaming.stream_events import StreamFilter
from newswire_notify.streaming.stream_reading import RedisStream, StreamSource

KEYS = Keyspace("newswire")


async def main(url: str, folder: Path | None) -> None:
    """Read the stream; say so, read from standard input from when to when to measure, and print the figures."""
    async with open_redis(url) as redis:
        barrier = ReplicationBarrier(redis, KEYS)
        stopping = asyncio.Event()
        source: StreamSource = RedisStream(redis, KEYS, barrier)
        running = []
        if folder is not None:
            shared = open_shared_stream(folder, source, redis, KEYS, database=0, min_replicas=0)
            running.append(asyncio.create_task(shared.run(stopping)))
            source = shared
        broadcaster = StreamBroadcaster(redis, KEYS, barrier=barrier, source=source)
        running.append(asyncio.create_task(broadcaster.run(stopping)))
        delays: list[float] = []
        following = asyncio.create_task(_follow(broadcaster, delays))
        _tell("ready")
        begin, end = json.loads(await asyncio.to_thread(sys.stdin.readline))
        await asyncio.sleep(begin - time.time())
        delays.clear()
        used = _processor_seconds()
        await asyncio.sleep(end - time.time())
        _tell({"cpu": _processor_seconds() - used, "delays": delays})
        following.cancel()
        stopping.set()
        await asyncio.gather(*running)


async def _follow(broadcaster: StreamBroadcaster, delays: list[float]) -> None:
    everything = StreamFilter()
    with broadcaster.connect(everything, limit=1000) as client:
        resumed = await broadcaster.resume(client, None)
        async for frames in broadcaster.follow(client, everything, resumed, stopped=lambda: False):
            now = time.time() * 1000
            ids = [line for line in frames.split(b"\n") if line.startswith(b"id: ")]
            delays += [now - int(line[4:].partition(b"-")[0]) for line in ids]


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _tell(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None))
