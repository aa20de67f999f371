"""Single events on the live stream, some a second: the time until each reader has them, and the processor time of the server;
compared with bare asyncio that writes the same bytes.
"""

import asyncio
import statistics
from contextlib import closing

from bench.articles import repeated
from bench.figures import Figure, times
from bench.load import Pool, request
from bench.publishing import append, events, frame, versions
from bench.servers import program, service, valkey
from bench.setting import Setting
from bench.stream_readers import StreamReaders
from newswire.storage.redis_client import open_redis

READERS = (100, 1000, 5000)
EVENTS_PER_SECOND = 20


async def measure(setting: Setting) -> list[Figure]:
    """Return the figures for each number of readers."""
    with valkey(setting.folder / "live-single") as url:
        settings = {"NEWSWIRE_REDIS_URL": url, "NEWSWIRE_LIVE_PER_ADDRESS": str(2 * max(READERS))}
        return [await _single_events(setting, url, settings, setting.some(count)) for count in READERS]


async def _single_events(setting: Setting, url: str, settings: dict[str, str], count: int) -> Figure:
    """Publish one event at a time: its times to all readers, and the processor time of each frame."""
    events_a_round = round(EVENTS_PER_SECOND * setting.seconds)
    rounds, spent = list[tuple[list[float], list[float]]](), list[tuple[float, float]]()
    with (
        service("notify", settings, setting.folder / f"live.{count}.log") as ours,
        program("floors.live", setting.folder / f"live.{count}.floor.log") as floor,
        closing(await asyncio.to_thread(StreamReaders, ours.site, count)) as at_ours,
        closing(await asyncio.to_thread(StreamReaders, floor.site, count)) as at_floor,
        closing(Pool(floor.site)) as posting,
    ):
        async with open_redis(url) as redis:
            for number in setting.steps(f"live stream, single events to {count:,}", range(setting.rounds)):
                entries = events(versions(repeated(setting.articles, events_a_round, f"single{number}x"), "bench"))
                before = ours.cpu_seconds(), floor.cpu_seconds()
                floor_ms = await at_floor.timed(
                    EVENTS_PER_SECOND,
                    [request("POST", "/send", frame(entry)) for entry in entries],
                    posting.ask,
                )
                ours_ms = await at_ours.timed(EVENTS_PER_SECOND, entries, lambda entry: append(redis, [entry]))
                rounds.append((ours_ms, floor_ms))
                spent.append((ours.cpu_seconds() - before[0], floor.cpu_seconds() - before[1]))
    figure = times(
        f"live stream, single events, {EVENTS_PER_SECOND}/s, to {count:,} connections",
        [each for ours_ms, _ in rounds for each in ours_ms],
        [each for _, floor_ms in rounds for each in floor_ms],
        rounds=[(statistics.median(ours_ms), statistics.median(floor_ms)) for ours_ms, floor_ms in rounds],
    )
    frames = events_a_round * count / 1e6
    figure.detail["processor_us_a_frame"] = statistics.median(ours for ours, _ in spent) / frames
    figure.detail["floor_processor_us_a_frame"] = statistics.median(floor for _, floor in spent) / frames
    return figure
