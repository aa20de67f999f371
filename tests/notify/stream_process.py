"""A process that has the live stream of notify, with one reader: `python -m tests.notify.stream_process URL NAMESPACE FOLDER`.

It prints ``event ID`` for each event that its reader gets, and ``role NAME FOLLOWERS`` whenever that changes.
"""

import asyncio
import sys
from pathlib import Path

from newswire.keys import Keyspace
from newswire.observability import metrics
from newswire.storage.redis_client import open_redis
from newswire.storage.replication import ReplicationBarrier
from newswire_notify.stream_relay.shared_stream import open_shared_stream
from newswire_notify.streaming.broadcaster import StreamBroadcaster
from newswire_notify.streaming.stream_events import StreamFilter
from newswire_notify.streaming.stream_reading import RedisStream


async def main(url: str, namespace: str, folder: str) -> None:
    keys = Keyspace(namespace)
    async with open_redis(url) as redis:
        barrier = ReplicationBarrier(redis, keys)
        direct = RedisStream(redis, keys, barrier)
        shared = open_shared_stream(Path(folder), direct, redis, keys, database=0, min_replicas=0)
        broadcaster = StreamBroadcaster(redis, keys, barrier=barrier, source=shared)
        stopping = asyncio.Event()
        await asyncio.gather(broadcaster.run(stopping), shared.run(stopping), _read(broadcaster), _tell_role())


async def _read(broadcaster: StreamBroadcaster) -> None:
    everything = StreamFilter()
    with broadcaster.connect(everything, limit=10_000) as client:
        resumed = await broadcaster.resume(client, None)
        async for frames in broadcaster.follow(client, everything, resumed, stopped=lambda: False):
            for line in frames.split(b"\n"):
                if line.startswith(b"id: "):
                    _tell(f"event {line[4:].decode()}")


async def _tell_role() -> None:
    told = ""
    while True:
        from_relay = metrics.live_entries.labels("relay")._value.get() > 0
        running, followers = (
            int(each._value.get()) for each in (metrics.stream_relay_running, metrics.stream_relay_followers)
        )
        role = "relay" if running else "follower" if from_relay else "new"
        if (line := f"role {role} {followers}") != told:
            _tell(line)
            told = line
        await asyncio.sleep(0.05)


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
