"""What a process knows about the primary of a Redis: where it is, and which history of writes it has.

The Sentinels, or the nodes of a cluster, say where it is. All pools of one address share this knowledge. When another server
becomes the primary, every connection to the former one ends at once: a former primary takes writes for seconds after a
failover, and those are lost. redis-py itself would go on to use connections that are open.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from newswire.concurrency.unawaited_tasks import retrieve_result
from newswire.storage.cluster_nodes import ClusterNodes
from newswire.storage.redis_url import Address, RedisUrl
from newswire.storage.sentinels import Sentinels

log = logging.getLogger(__name__)

ANSWER_SECONDS = 1.0
"""How long one server may take to answer."""
GRACE_SECONDS = 0.1
"""How long the slower servers are awaited after the first answer: one of them may know of a later failover."""
SECONDS_BETWEEN_QUESTIONS = 0.5
SECONDS_TO_DOUBT = 30.0
"""Timeout after which a lower config epoch is accepted: servers that were reconfigured start from 0, and others learn of a
failover within seconds."""


class Directory(Protocol):
    """Servers that say where the primary is."""

    @property
    def name(self) -> str:
        """What they are asked about, for logs and metrics."""

    @property
    def nobody_knows(self) -> str:
        """The beginning of the error if none of them says where the primary is."""

    def members(self, primary: Address | None) -> "Sequence[Redis]":
        """Return those to ask. ``primary``: the one that is known."""

    async def ask(self, member: "Redis") -> tuple[int, Address]:
        """Return the address of the primary, and the config epoch of the failover that made it the primary."""

    def listeners(self, announced: asyncio.Event) -> list[Coroutine[Any, Any, None]]:
        """Return what waits for announcements until it is cancelled."""

    async def aclose(self) -> None:
        """Close all connections."""


class Primary:
    """The primary behind one address, as all connections of this process see it."""

    def __init__(self, directory: Directory) -> None:
        self.address: Address | None = None
        self._directory = directory
        self._epoch = -1
        """That of the latest failover that any server told of."""
        self._doubted_since: float | None = None
        self._history: str | None = None
        self._pools: WeakSet[Any] = WeakSet()
        self._asking: asyncio.Task[Address] | None = None
        self._watching: list[asyncio.Task[None]] = []
        self._announced = asyncio.Event()

    def add_pool(self, pool: Any) -> None:
        """Add a pool, whose connections end with each change of the primary (its method ``drop_all``)."""
        self._pools.add(pool)

    async def remove_pool(self, pool: Any) -> None:
        """Remove a pool that is being closed; the last one ends the questions."""
        self._pools.discard(pool)
        if self._pools:
            return
        tasks = [*self._watching, *([self._asking] if self._asking is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watching, self._asking = [], None
        await self._directory.aclose()

    async def locate(self) -> Address:
        """Return the address of the primary. Concurrent callers share one question.

        Raises:
            redis.exceptions.ConnectionError: no server names one.
        """
        if not self._watching:
            self._watching = [
                asyncio.create_task(each) for each in (self._watch(), *self._directory.listeners(self._announced))
            ]
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_all())
            self._asking.add_done_callback(retrieve_result)
        return await asyncio.shield(self._asking)

    def observe(self, history: str, spare: object) -> None:
        """Note the replication id of the server that a new connection reached.

        It changes with every failover. If it did, all connections but the new one end.
        """
        if self._history not in (None, history):
            self._change(spare)
        self._history = history

    def _change(self, spare: object = None) -> None:
        for pool in list(self._pools):
            pool.drop_all(spare)

    async def _watch(self) -> None:
        """Ask again and again, and at once after an announcement, until cancelled."""
        while True:
            self._announced.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SECONDS_BETWEEN_QUESTIONS * random.uniform(0.8, 1.2)):
                    await self._announced.wait()
            try:
                await self.locate()
            except (RedisError, OSError) as error:
                log.debug(self._directory.nobody_knows, extra={"reason": str(error)})

    async def _ask_all(self) -> Address:
        """Ask several servers at once; the answer with the highest epoch is that of the latest failover.

        A former primary that starts again is named by servers that do not know of the failover yet, and what it accepts is lost.
        So an earlier epoch than before counts only if every server names it, or all that answer do for a while.
        """
        members = self._directory.members(self.address)
        found, reasons = await self._answers(members)
        if not found:
            why = "; ".join(sorted(set(reasons))) or "none answered in time"
            raise RedisConnectionError(f"{self._directory.nobody_knows}: {why}")
        epoch, address = max(found)
        if epoch < self._epoch and self.address is not None and not self._believes(len(found) == len(members)):
            return self.address
        self._epoch, self._doubted_since = epoch, None
        if address != self.address:
            if self.address is not None:
                log.warning(
                    "another server is the primary of Redis now",
                    extra={"service": self._directory.name, "before": _text(self.address), "now": _text(address)},
                )
                self._change()
            self.address = address
        return address

    async def _answers(self, members: "Sequence[Redis]") -> tuple[list[tuple[int, Address]], list[str]]:
        """Return the answers, and the reasons of those that could not answer."""
        asked = [asyncio.create_task(self._ask(member)) for member in members]
        found, reasons, waiting = list[tuple[int, Address]](), list[str](), set(asked)
        try:
            while waiting:
                done, waiting = await asyncio.wait(
                    waiting, timeout=GRACE_SECONDS if found else ANSWER_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    break
                for task in done:
                    if error := task.exception():
                        reasons.append(str(error) or type(error).__name__)
                    else:
                        found.append(task.result())
        finally:
            for task in asked:
                task.add_done_callback(retrieve_result)  # a late one may fail, also instead of being cancelled
                task.cancel()
        return found, reasons

    async def _ask(self, member: "Redis") -> tuple[int, Address]:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await self._directory.ask(member)

    def _believes(self, all_agree: bool) -> bool:
        """Return whether to accept a lower epoch than the known one: servers that were reconfigured start from 0."""
        now = asyncio.get_running_loop().time()
        if self._doubted_since is None:
            self._doubted_since = now
        return all_agree or now - self._doubted_since > SECONDS_TO_DOUBT


def directory_of(url: RedisUrl, tag: str = "") -> Directory:
    """Return the servers that know the primary behind an address. ``tag``: the hash tag of all keys in a cluster."""
    options = {
        "protocol": 2,
        "socket_timeout": ANSWER_SECONDS,
        "socket_connect_timeout": ANSWER_SECONDS,
        "retry": Retry(NoBackoff(), 1),
    }
    if url.nodes:
        return ClusterNodes(url.nodes, tag, {**url.options, **options})
    return Sentinels(url.sentinels, url.service, {**url.sentinel_options, **options})


def _text(address: Address) -> str:
    return f"{address[0]}:{address[1]}"


_primaries: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[tuple[str, str], Primary]] = (
    WeakKeyDictionary()
)


def primary_of(address: str, url: RedisUrl, tag: str = "") -> Primary:
    """Return what this event loop knows about the primary behind an address. ``tag``: the hash tag of all keys in a cluster."""
    known = _primaries.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    primary = known.get((address, tag))
    if primary is None:
        primary = known[address, tag] = Primary(directory_of(url, tag))
    return primary
