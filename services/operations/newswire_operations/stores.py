"""The Redis servers of a running installation."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from newswire.keys import Keyspace


@dataclass(frozen=True, slots=True)
class Stores:
    """Clients of the record store and of the delivery store, which are often the same server, and the keyspace."""

    redis: "Redis"
    deliveries: "Redis"
    keys: "Keyspace"

    @property
    def by_name(self) -> "dict[str, tuple[Redis, Keyspace]]":
        """Each store with its keyspace, under the name that backup files use."""
        return {"records": (self.redis, self.keys), "deliveries": (self.deliveries, self.keys.deliveries)}
