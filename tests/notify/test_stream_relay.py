"""Processes of a host that share one read of the stream: no event is lost, repeated or out of order, whatever the relay does."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import orjson
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.messaging.stream_position import BEGINNING, Position, newest_entry, parse_position
from newswire.settings import SettingsError
from newswire.storage.replication import ReplicationBarrier
from newswire_notify.app import service
from newswire_notify.settings import NotifySettings
from newswire_notify.stream_relay import follower, messages, recent_entries, shared_stream
from newswire_notify.stream_relay.folder import RelayFolder, RelayFolderError, check_folder
from newswire_notify.stream_relay.messages import (
    Hello,
    ProtocolError,
    encode_entry,
    entries_message,
    line,
    read_hello,
    read_message,
)
from newswire_notify.stream_relay.shared_stream import SharedStream, open_shared_stream
from newswire_notify.streaming.stream_reading import RedisStream, StreamEntry, StreamRead
from tests.notify.conftest import Desk, until
from tests.notify.notify_server import served
from tests.notify.sse_reader import following


class CountedStream(RedisStream):
    """Counts its reads; can be stopped in the middle of one."""

    reads = 0
    hanging = False

    async def read(self, after: Position) -> StreamRead:
        self.reads += 1
        found = await super().read(after)
        while self.hanging:
            await asyncio.sleep(0.02)
        return found


@dataclass
class Process:
    """What a process of notify has of the stream: its share, and a loop that reads all of it."""

    shared: SharedStream
    stream: CountedStream
    after: Position
    seen: list[StreamEntry] = field(default_factory=list)
    reading: bool = True
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def role(self) -> str:
        if self.shared._relay is not None:
            return "relay"
        return "alone" if self.shared._follower is None else "follower"

    async def run(self) -> None:
        running = asyncio.create_task(self.shared.run(self.stopping))
        try:
            while not self.stopping.is_set():
                if not self.reading:
                    self.shared.rest()
                    await asyncio.sleep(0.02)
                    continue
                found = await self.shared.read(self.after)
                if found.newest is not None and found.newest < self.after:
                    self.after = BEGINNING
                for entry in found.entries:
                    self.seen.append(entry)
                    self.after = parse_position(entry[0].decode())
        finally:
            await running


class Host:
    """Processes that share a folder."""

    def __init__(self, redis: Redis, keys: Keyspace, folder: Path) -> None:
        self.redis = redis
        self.keys = keys
        self.folder = folder
        self.sent: list[bytes] = []
        self.ending = AsyncExitStack()

    @asynccontextmanager
    async def process(self, database: int = 0) -> AsyncIterator[Process]:
        stream = CountedStream(self.redis, self.keys, ReplicationBarrier(self.redis, self.keys))
        after = parse_position(await newest_entry(self.redis, self.keys.stream))
        shared = open_shared_stream(self.folder, stream, self.redis, self.keys, database=database, min_replicas=0)
        process = Process(shared, stream, after)
        running = asyncio.create_task(process.run())
        try:
            yield process
        finally:
            process.stopping.set()
            await asyncio.wait_for(running, 60)

    async def processes(self, count: int) -> list[Process]:
        """Start the relay and its followers."""
        found = [await self.ending.enter_async_context(self.process())]
        await until(lambda: found[0].role == "relay")
        found += [await self.ending.enter_async_context(self.process()) for _ in range(count - 1)]
        await until(lambda: [each.role for each in found[1:]] == ["follower"] * (count - 1))
        return found

    async def put(self, count: int = 1, size: int = 10) -> None:
        for _ in range(count):
            number = str(len(self.sent)).encode()
            await self.redis.xadd(self.keys.stream, {b"n": number, b"text": b"x" * size})
            self.sent.append(number)


@pytest.fixture
async def host(redis: Redis, keys: Keyspace, short_path: Path) -> AsyncIterator[Host]:
    host = Host(redis, keys, short_path / "relay")
    async with host.ending:
        yield host


def all_of(process: Process, sent: list[bytes]) -> Callable[[], bool]:
    return lambda: [fields[b"n"] for _, fields in process.seen] == sent


async def test_one_process_reads_redis_for_all(host: Host) -> None:
    await host.put(3)
    relay, *followers = await host.processes(4)
    late = await host.ending.enter_async_context(host.process())
    await until(lambda: late.role == "follower")
    reads = [each.stream.reads for each in (*followers, late)]
    before = len(host.sent)
    await host.put(300)
    for each in (relay, *followers, late):
        await until(all_of(each, host.sent[before:]))
    assert [each.stream.reads for each in (*followers, late)] == reads
    assert late.seen == followers[0].seen == relay.seen == (await host.redis.xrange(host.keys.stream))[before:]


async def test_without_readers_nothing_is_read_and_with_followers_the_relay_goes_on(host: Host) -> None:
    relay, follower_ = await host.processes(2)
    relay.reading = False
    await host.put(5)
    await until(all_of(follower_, host.sent))
    assert relay.role == "relay"
    follower_.reading = False
    await until(lambda: (relay.role, follower_.role) == ("alone", "alone"))
    assert list(host.folder.glob("*.sock")) == []
    reads = relay.stream.reads, follower_.stream.reads
    await host.put(5)
    assert (relay.stream.reads, follower_.stream.reads) == reads
    assert await relay.shared.check() is None


async def test_a_relay_that_ends_is_succeeded_and_one_that_hangs_is_replaced(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "SILENCE_SECONDS", 0.5)
    first, *others = await host.processes(3)
    first.stopping.set()
    await host.put(20)
    for each in others:
        await until(all_of(each, host.sent))
    await until(lambda: sorted(each.role for each in others) == ["follower", "relay"])
    second, third = sorted(others, key=lambda each: each.role, reverse=True)
    second.stream.hanging = True
    await host.put(20)
    await until(all_of(third, host.sent))  # at its own position, while another one holds the lock
    await until(lambda: third.role == "relay")
    second.stream.hanging = False
    await until(lambda: second.role == "follower")
    await host.put(20)
    for each in (second, third):
        await until(all_of(each, host.sent))


async def test_a_slow_follower_is_cut_off_and_delays_nobody(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_entries, "MAX_BYTES", 200_000)
    relay, quick, slow = await host.processes(3)
    reads = quick.stream.reads
    taken = asyncio.Event()
    read = slow.shared.read

    async def slowly(after: Position) -> StreamRead:
        await taken.wait()
        return await read(after)

    monkeypatch.setattr(slow.shared, "read", slowly)
    await host.put(1)
    await until(all_of(quick, host.sent))
    await host.put(60, size=50_000)
    for each in (relay, quick):
        await until(all_of(each, host.sent))
    await until(lambda: relay.shared._relay is not None and relay.shared._relay.followers == 1)
    taken.set()
    await until(all_of(slow, host.sent))
    assert slow.stream.reads > 0
    await until(lambda: slow.role == "follower")
    assert quick.stream.reads == reads or quick.role == "follower"


async def test_retracted_texts_are_forgotten(host: Host, desk: Desk) -> None:
    [relay] = await host.processes(1)
    await desk.put("a1")
    await desk.put("a2", text="It mentions a1 and newswire.article.retracted.v1")
    await desk.put_retraction("a1", 1)
    await until(lambda: len(relay.seen) == 3)
    assert relay.shared._relay is not None
    kept = relay.shared._relay.recent.since(relay.shared._relay.recent._floor, 10**6)
    assert [entry.at for entry in kept or ()] == [parse_position(each[0].decode()) for each in relay.seen[1:]]


async def test_a_stream_that_went_back_is_read_by_each_for_itself(host: Host) -> None:
    processes = await host.processes(2)
    await host.put(3)
    for each in processes:
        await until(all_of(each, host.sent))
    await host.redis.delete(host.keys.stream)
    fields = {b"n": b"again", b"text": b""}
    await host.redis.xadd(host.keys.stream, fields, "5-1")
    for each in processes:
        await until(all_of(each, [*host.sent, b"again"]))
    await until(lambda: sorted(each.role for each in processes) == ["follower", "relay"])


@pytest.mark.parametrize("after", ["newest", "5-", "-1-0", f"{2**64}-0", [5, 1], None])
async def test_a_first_line_without_a_position_is_refused(after: object) -> None:
    hello = Hello(protocol=1, release="1", stream="s", database="d", min_replicas=0, after=(5, 1))
    for sent, expected in ((line(hello), hello), (orjson.dumps(hello.model_dump() | {"after": after}) + b"\n", None)):
        reader = asyncio.StreamReader()
        reader.feed_data(sent)
        if expected is not None:
            assert await read_hello(reader) == expected
            continue
        with pytest.raises(ProtocolError):
            await read_hello(reader)


async def test_a_relay_of_another_database_is_refused(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_stream, "ALONE_SECONDS", 0.0)
    monkeypatch.setattr(RelayFolder, "__init__", _same_names)
    [relay] = await host.processes(1)
    async with host.process(database=1) as other:
        await until(lambda: other.shared._reason != "")
        await host.put(3)
        await until(all_of(other, host.sent))
        reason = await other.shared.check()
        assert "give each installation a folder of its own" in str(reason)
    assert (relay.role, await relay.shared.check()) == ("relay", None)


def _same_names(self: RelayFolder, folder: Path, *identity: str) -> None:
    self.lock_path, self.socket_path = folder / "lock", folder / "sock"


async def test_a_redis_that_does_not_say_whose_data_it_has_is_read_by_each(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def info(section: str) -> dict[str, str]:
        return {"role": "master"}

    monkeypatch.setattr(shared_stream, "ALONE_SECONDS", 0.0)
    monkeypatch.setattr(host.redis, "info", info)
    relay = await host.ending.enter_async_context(host.process())
    await until(lambda: relay.role == "relay")
    other = await host.ending.enter_async_context(host.process())
    await until(lambda: "master_replid" in other.shared._reason)
    assert "master_replid" in (await other.shared.check() or "")
    await host.put(3)
    for each in (relay, other):
        await until(all_of(each, host.sent))


async def test_damaged_messages_are_rejected() -> None:
    entry = (b"5-1", {b"a": b"1", b"": bytes(range(256))})
    sound = entries_message([encode_entry(entry)])

    async def read(sent: bytes) -> StreamRead:
        reader = asyncio.StreamReader()
        reader.feed_data(sent)
        reader.feed_eof()
        return await read_message(reader)

    assert (await read(sound)).entries == [entry]
    for at in range(len(sound)):
        with pytest.raises((ProtocolError, asyncio.IncompleteReadError)):
            await read(sound[:at])
    for damaged in (
        b"\x03" + sound[1:],
        messages._HEADER.pack(1, messages.MAX_MESSAGE_BYTES + 1),
        messages._HEADER.pack(1, 10) + bytes(10),
        messages._HEADER.pack(2, 3) + bytes(3),
        sound[:25] + b"\xff\xff\xff\xff" + sound[29:],
    ):
        with pytest.raises((ProtocolError, asyncio.IncompleteReadError)):
            await read(damaged)


def test_the_folder_is_for_one_user(short_path: Path) -> None:
    made = check_folder(short_path / "new")
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    made.chmod(0o770)
    with pytest.raises(RelayFolderError, match="chmod 700"):
        check_folder(made)
    (short_path / "link").symlink_to(short_path)
    (short_path / "file").touch()
    for wrong in (short_path / "link", short_path / "file", short_path / "no" / "parent", short_path / ("x" * 80)):
        with pytest.raises(RelayFolderError):
            check_folder(wrong)
    if os.geteuid() == 0:
        made.chmod(0o700)
        os.chown(made, 12345, -1)
        with pytest.raises(RelayFolderError, match="another user"):
            check_folder(made)
    with RelayFolder(check_folder(short_path / "used"), "a").listening() as listener:
        assert listener.fileno() > 0
        assert (
            stat.S_IMODE((short_path / "used").joinpath(RelayFolder(Path(), "a").socket_path.name).stat().st_mode)
            == 0o600
        )


@pytest.mark.slow
async def test_the_service_shares_reading_where_its_settings_name_a_folder(
    redis: Redis, redis_url: str, desk: Desk, short_path: Path
) -> None:
    settings = NotifySettings(
        redis_url=SecretStr(redis_url),
        namespace=desk.keys.namespace,
        allow_volatile=True,
        stream_relay_folder=short_path / "relay",
    )
    async with served(redis, settings) as (url, _), following(url) as reader, httpx.AsyncClient(base_url=url) as http:
        await until(lambda: list((short_path / "relay").glob("*.sock")) != [])
        await desk.put("a1")
        await until(lambda: reader.ids == ["a1.1"])
        assert (await http.get("/status")).json()["checks"]["notify: stream relay"] == "ok"
    assert list((short_path / "relay").glob("*.sock")) == []
    (short_path / "relay").chmod(0o755)
    with pytest.raises(SettingsError, match=r"NEWSWIRE_STREAM_RELAY_FOLDER: .* chmod 700"):
        async with service(settings):
            pass
