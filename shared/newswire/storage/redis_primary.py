"""What a process knows about the primary of a Redis: where it is, and which history of writes it has.

All pools of one address share this knowledge. When another server becomes the primary, every connection to the former one
ends at once: a former primary takes writes for seconds after a failover, and those are lost. redis-py itself would go on to
use connections that are open.
"""

import asyncio
import contextlib
import logging
import random
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from newswire.storage.redis_url import RedisUrl

log = logging.getLogger(__name__)

SENTINEL_SECONDS = 1.0
"""How long one Sentinel may take to answer."""
GRACE_SECONDS = 0.1
"""How long the slower Sentinels are awaited after the first answer: one of them may know of a later failover."""
SECONDS_BETWEEN_QUESTIONS = 0.5
SECONDS_TO_DOUBT = 30.0
"""Timeout after which a lower config epoch is accepted: Sentinels that were reconfigured start from 0, and others learn of a
failover within seconds."""
Address = tuple[str, int]


class Primary:
    """The primary behind one address, as all connections of this process see it."""

    def __init__(self, url: RedisUrl) -> None:
        self.address: Address | None = None
        self.name = url.service
        self._epoch = -1
        """That of the latest failover that a Sentinel told of."""
        self._doubted_since: float | None = None
        self._history: str | None = None
        self._pools: WeakSet[Any] = WeakSet()
        self._sentinels = [Redis(host=host, port=port, **_sentinel_options(url)) for host, port in url.sentinels]
        self._asking: asyncio.Task[Address] | None = None
        self._watching: list[asyncio.Task[None]] = []
        self._announced = asyncio.Event()

    @property
    def by_sentinel(self) -> bool:
        """Whether Sentinels name the primary."""
        return bool(self._sentinels)

    def add_pool(self, pool: Any) -> None:
        """Add a pool, whose connections end with each change of the primary (its method ``drop_all``)."""
        self._pools.add(pool)

    async def remove_pool(self, pool: Any) -> None:
        """Remove a pool that is being closed; the last one ends the questions to the Sentinels."""
        self._pools.discard(pool)
        if self._pools:
            return
        tasks = [*self._watching, *([self._asking] if self._asking is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watching, self._asking = [], None
        for sentinel in self._sentinels:
            await sentinel.aclose()

    async def locate(self) -> Address:
        """Return the address that the Sentinels name. Concurrent callers share one question.

        Raises:
            redis.exceptions.ConnectionError: no Sentinel names one.
        """
        if not self._watching:
            self._watching = [
                asyncio.create_task(each) for each in (self._watch(), *map(self._listen, self._sentinels))
            ]
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_all())
            self._asking.add_done_callback(_retrieve)
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

    async def _listen(self, sentinel: "Redis") -> None:
        """Note what a Sentinel announces, until cancelled."""
        while True:
            try:
                async with sentinel.pubsub(ignore_subscribe_messages=True) as announcements:
                    await announcements.subscribe("+promoted-slave", "+switch-master")
                    while True:
                        if await announcements.get_message(timeout=SECONDS_BETWEEN_QUESTIONS):
                            self._announced.set()
            except (RedisError, OSError) as error:
                log.debug("a Sentinel cannot be listened to", extra={"service": self.name, "reason": str(error)})
                await asyncio.sleep(SECONDS_BETWEEN_QUESTIONS)

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
                log.debug("no Sentinel names the primary", extra={"service": self.name, "reason": str(error)})

    async def _ask_all(self) -> Address:
        """Ask all Sentinels at once; the answer with the highest epoch is that of the latest failover.

        A former primary that starts again is named by Sentinels that do not know of the failover yet, and what it accepts is lost.
        So an earlier epoch than before counts only if every Sentinel names it, or all that answer do for a while.
        """
        asked = [asyncio.create_task(self._ask(sentinel)) for sentinel in self._sentinels]
        try:
            found, reasons, waiting = list[tuple[int, Address]](), list[str](), set(asked)
            while waiting:
                done, waiting = await asyncio.wait(
                    waiting, timeout=GRACE_SECONDS if found else SENTINEL_SECONDS, return_when=asyncio.FIRST_COMPLETED
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
                task.cancel()
        if not found:
            why = "; ".join(sorted(set(reasons))) or "none answered in time"
            raise RedisConnectionError(f"no Sentinel names a primary for {self.name!r}: {why}")
        epoch, address = max(found)
        if epoch < self._epoch and self.address is not None and not self._believes(len(found)):
            return self.address
        self._epoch, self._doubted_since = epoch, None
        if address != self.address:
            if self.address is not None:
                log.warning(
                    "another server is the primary of Redis now",
                    extra={"service": self.name, "before": _text(self.address), "now": _text(address)},
                )
                self._change()
            self.address = address
        return address

    def _believes(self, answers: int) -> bool:
        """Return whether to accept a lower epoch than the known one: Sentinels that were reconfigured start from 0."""
        now = asyncio.get_running_loop().time()
        if self._doubted_since is None:
            self._doubted_since = now
        return answers == len(self._sentinels) or now - self._doubted_since > SECONDS_TO_DOUBT

    async def _ask(self, sentinel: "Redis") -> tuple[int, Address]:
        async with asyncio.timeout(SENTINEL_SECONDS):
            async with sentinel.pipeline(transaction=False) as pipe:
                pipe.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
                pipe.execute_command("SENTINEL", "MASTER", self.name)
                address, state = await pipe.execute(raise_on_error=False)
        if not address or isinstance(address, Exception):
            raise RedisConnectionError(str(address) if address else "it watches no service of this name")
        if isinstance(state, Exception):
            raise state
        details = dict(zip(state[::2], state[1::2], strict=False))
        return int(details.get(b"config-epoch", 0)), (address[0].decode(), int(address[1]))


def _sentinel_options(url: RedisUrl) -> dict[str, Any]:
    options = {**url.sentinel_options, "protocol": 2, "socket_timeout": SENTINEL_SECONDS}
    options["socket_connect_timeout"] = SENTINEL_SECONDS
    options["ssl"] = options.pop("connection_class", None) is not None
    return options


def _text(address: Address) -> str:
    return f"{address[0]}:{address[1]}"


def _retrieve(asking: "asyncio.Task[Address]") -> None:
    if not asking.cancelled():
        asking.exception()


_primaries: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[str, Primary]] = WeakKeyDictionary()


def primary_of(address: str, url: RedisUrl) -> Primary:
    """Return what this event loop knows about the primary behind an address."""
    known = _primaries.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    primary = known.get(address)
    if primary is None:
        primary = known[address] = Primary(url)
    return primary
