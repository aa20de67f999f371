"""The Sentinels that watch a Redis: where its primary is, as they say when asked, and that they announce a failover."""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from newswire.storage.redis_url import Address
from newswire.storage.resolving_connections import client_of

log = logging.getLogger(__name__)

SECONDS_BETWEEN_TRIES = 0.5


class Sentinels:
    """The Sentinels of one service."""

    def __init__(self, addresses: Sequence[Address], service: str, options: Mapping[str, Any]) -> None:
        self.name = service
        self.nobody_knows = f"no Sentinel names a primary for {service!r}"
        self._sentinels = [client_of(address, options) for address in addresses]

    def members(self, primary: Address | None) -> "Sequence[Redis]":
        """Return all Sentinels."""
        return self._sentinels

    async def ask(self, member: "Redis") -> tuple[int, Address]:
        """Return the config epoch and the address of the primary, as one Sentinel knows them."""
        async with member.pipeline(transaction=False) as pipe:
            pipe.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
            pipe.execute_command("SENTINEL", "MASTER", self.name)
            address, state = await pipe.execute(raise_on_error=False)
        if not address or isinstance(address, Exception):
            raise RedisConnectionError(str(address) if address else "it watches no service of this name")
        if isinstance(state, Exception):
            raise state
        details = dict(zip(state[::2], state[1::2], strict=False))
        return int(details.get(b"config-epoch", 0)), (address[0].decode(), int(address[1]))

    def listeners(self, announced: asyncio.Event) -> list[Coroutine[Any, Any, None]]:
        """Return a listener for each Sentinel."""
        return [self._listen(sentinel, announced) for sentinel in self._sentinels]

    async def aclose(self) -> None:
        """Close all connections."""
        for sentinel in self._sentinels:
            await sentinel.aclose()

    async def _listen(self, sentinel: "Redis", announced: asyncio.Event) -> None:
        """Note what a Sentinel announces, until cancelled."""
        while True:
            try:
                async with sentinel.pubsub(ignore_subscribe_messages=True) as announcements:
                    await announcements.subscribe("+promoted-slave", "+switch-master")
                    while True:
                        if await announcements.get_message(timeout=SECONDS_BETWEEN_TRIES):
                            announced.set()
            except (RedisError, OSError) as error:
                log.debug("a Sentinel cannot be listened to", extra={"service": self.name, "reason": str(error)})
                await asyncio.sleep(SECONDS_BETWEEN_TRIES)
