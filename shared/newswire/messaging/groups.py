"""The consumer groups of Newswire: retention, dead letters and their commands use this list."""

from dataclasses import dataclass
from typing import Literal

from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire.storage.redis_functions import FunctionLibrary, LuaSource

Stream = Literal["articles", "outcomes"]
LUA = LuaSource("newswire.messaging", "consumer_group")


@dataclass(frozen=True, slots=True)
class ConsumerGroup:
    """A consumer group and the stream that it reads."""

    name: str
    stream: Stream

    def stream_key(self, keys: Keyspace) -> str:
        """Return the Redis key of the stream that the group reads."""
        return stream_key(keys, self.stream)


def group_functions(redis: "Redis", keys: Keyspace) -> FunctionLibrary:
    """Return the atomic functions of consumer groups."""
    return FunctionLibrary.packaged(redis, keys.namespace, LUA)


def stream_key(keys: Keyspace, stream: Stream) -> str:
    """Return the Redis key of a stream."""
    return {"articles": keys.stream, "outcomes": keys.outcomes}[stream]


SEARCH = ConsumerGroup("search", "articles")
NOTIFY = ConsumerGroup("notify", "articles")
OUTCOMES = ConsumerGroup("outcomes", "outcomes")
WEBSUB = ConsumerGroup("websub", "outcomes")
GROUPS = (SEARCH, NOTIFY, OUTCOMES, WEBSUB)


def group_named(name: str) -> ConsumerGroup:
    """Return the group of this name.

    Raises:
        KeyError: there is no such group.
    """
    return {group.name: group for group in GROUPS}[name]


def groups_of(stream: Stream) -> tuple[ConsumerGroup, ...]:
    """Return the groups that read a stream."""
    return tuple(group for group in GROUPS if group.stream == stream)
