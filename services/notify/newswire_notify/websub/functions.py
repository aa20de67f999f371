"""The Redis functions of the hub."""

from typing import Any

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.redis_functions import FunctionLibrary, LuaSource
from newswire_notify.websub.keys import HubKeys

LUA = LuaSource("newswire_notify.websub", "hub")


class HubFunctions:
    """Calls the atomic steps of the hub in one namespace."""

    def __init__(self, redis: "Redis", keys: Keyspace) -> None:
        self._prefix = keys.deliveries.key("")
        self._library = FunctionLibrary.packaged(redis, keys.namespace, LUA, route=[HubKeys(keys).changed])

    async def call(self, function: str, **arguments: Any) -> Any:
        """Call a function with its named arguments."""
        return await self._library.call(function, [], {"prefix": self._prefix, **arguments})
