"""The stream as a process gets it that shares reading with the others of its host.

One of them holds the lock: it is the relay, reads Redis, and sends the entries to the others, its followers. A process that is
neither relay nor follower reads Redis for itself, at its own position: before it follows, when the relay ends or does not respond,
when it is too slow for the relay, and when the stream was replaced. So the relay only changes the number of reads.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from newswire.concurrency.backoff import pause, wait_for_any
from newswire.keys import Keyspace
from newswire.messaging.stream_position import BEGINNING, Position
from newswire.observability import metrics
from newswire_notify.stream_relay.folder import RelayFolder, RelayLock, check_folder
from newswire_notify.stream_relay.follower import Follower, RefusedError, follow
from newswire_notify.stream_relay.messages import MAX_LINE_BYTES, PROTOCOL, Hello, ProtocolError
from newswire_notify.stream_relay.relay import HELLO_SECONDS, Relay
from newswire_notify.streaming.stream_reading import BLOCK_MS, StreamRead, StreamSource

log = logging.getLogger(__name__)
RELEASE = version("newswire")

RETRY_SECONDS = 0.5
"""Time between two attempts to follow, with jitter."""
MAX_UNANSWERED = 2
"""Attempts in a row without an answer after which another process becomes the relay."""
ALONE_SECONDS = 30.0
"""How long a process may read for itself before `/status` says so."""


class SharedStream:
    """A source of the live stream."""

    def __init__(
        self, redis_stream: StreamSource, folder: RelayFolder, identify: Callable[[Position], Awaitable[Hello]]
    ) -> None:
        """Read from ``redis_stream`` what comes from no relay; ``identify`` returns what this process says to a relay."""
        self._redis_stream = redis_stream
        self._folder = folder
        self._identify = identify
        self._relay: Relay | None = None
        self._follower: Follower | None = None
        self._after = BEGINNING
        self._needed = asyncio.Event()
        """Set while this process has readers."""
        self._reason = ""
        self._alone_since: float | None = None

    async def check(self) -> str | None:
        """Return why this process has read for itself for long, or None: a check of `/status`."""
        if (
            not self._needed.is_set()
            or self._alone_since is None
            or time.monotonic() < self._alone_since + ALONE_SECONDS
        ):
            return None
        return f"this process reads the stream for itself: {self._reason}"

    async def read(self, after: Position) -> StreamRead:
        """Return the next entries after a position, see `StreamSource`."""
        self._after = after
        self._needed.set()
        source = self._relay or self._follower
        found = await source.read(after, BLOCK_MS / 1000) if source is not None else None
        return await self._redis_stream.read(after) if found is None else found

    def rest(self) -> None:
        """Note that this process has no readers."""
        self._needed.clear()
        self._alone_since = None
        if self._follower is not None:
            self._follower.close()

    async def run(self, stopping: asyncio.Event) -> None:
        """Be the relay or follow it, while this process has readers, until stopping is set."""
        unanswered = 0
        while not stopping.is_set():
            await wait_for_any(self._needed, stopping)
            if stopping.is_set():
                return
            try:
                lock = self._folder.try_lock()
                if lock is None and unanswered >= MAX_UNANSWERED:
                    log.warning("the relay of the stream does not respond; this process takes over")
                    lock = self._folder.replace_lock()
                if lock is None:
                    await self._follow(stopping)
                else:
                    await self._lead(lock, stopping)
                unanswered = 0
                continue
            except RefusedError as error:
                self._note_alone(str(error))
            except (OSError, ProtocolError) as error:  # a TimeoutError is an OSError
                unanswered += 1
                self._note_alone(str(error) or "the relay does not respond")
            except RedisError as error:
                self._note_alone(str(error))
            await pause(stopping, random.uniform(RETRY_SECONDS / 2, RETRY_SECONDS))

    async def _lead(self, lock: RelayLock, stopping: asyncio.Event) -> None:
        relay = Relay(self._redis_stream, self._after, self._identify)
        try:
            with self._folder.listening() as listener:
                server = await asyncio.start_unix_server(relay.serve, sock=listener, limit=MAX_LINE_BYTES)
                try:
                    self._relay, self._reason, self._alone_since = relay, "", None
                    metrics.stream_relay_running.set(1)
                    log.info("this process reads the stream for its host")
                    await relay.run(
                        lambda: not stopping.is_set() and lock.held() and (self._needed.is_set() or relay.followers > 0)
                    )
                finally:
                    self._relay = None
                    metrics.stream_relay_running.set(0)
                    server.close()
                    await relay.close()
        finally:
            lock.release()

    async def _follow(self, stopping: asyncio.Event) -> None:
        hello = await self._identify(self._after)  # asks Redis, for whose delays the relay is not replaced
        async with asyncio.timeout(2 * HELLO_SECONDS):
            follower = await follow(self._folder.socket_path, hello)
        try:
            if self._needed.is_set():  # else its readers left meanwhile
                self._follower, self._reason, self._alone_since = follower, "", None
                await wait_for_any(follower.lost, stopping)
        finally:
            self._follower = None
            follower.close()
        if follower.silent:
            raise TimeoutError("the relay does not respond")

    def _note_alone(self, reason: str) -> None:
        if self._alone_since is None:
            self._alone_since = time.monotonic()
        if self._reason != reason:
            log.info("this process reads the stream for itself", extra={"reason": reason})
        self._reason = reason


def open_shared_stream(
    folder: Path, redis_stream: StreamSource, redis: "Redis", keys: Keyspace, *, database: int, min_replicas: int
) -> SharedStream:
    """Return the stream as shared by the processes that use a folder.

    ``database`` is the number of the one in ``redis``; ``min_replicas`` says by how many replicas events are confirmed.

    Raises:
        newswire_notify.stream_relay.folder.RelayFolderError: the folder cannot be used.
    """

    async def identify(after: Position) -> Hello:
        history = (await redis.info("replication")).get("master_replid")
        if history is None:  # some managed servers leave it out
            raise ResponseError("Redis does not say whose data it has (master_replid)")
        return Hello(
            protocol=PROTOCOL,
            release=RELEASE,
            stream=keys.stream,
            database=f"{history}/{database}",
            min_replicas=min_replicas,
            after=after,
        )

    names = RelayFolder(check_folder(folder), str(PROTOCOL), RELEASE, keys.stream, f"{database} {min_replicas}")
    return SharedStream(redis_stream, names, identify)
