"""The Redis keys of the hub: in the Redis of the deliveries, owned by notify, without an expiry of their own."""

import hashlib

from newswire.key_families import KeyFamily, RedisType
from newswire.keys import Keyspace


def _family(pattern: str, type_: RedisType, holds: str, lifetime: str) -> KeyFamily:
    return KeyFamily(pattern, type_, holds, lifetime, "deliveries")


_WITH_TOPIC = "while the topic has a subscription"
FAMILIES = (
    _family("hub:topics", "set", "the topics of the hub that have subscriptions", _WITH_TOPIC),
    _family(
        "hub:topic:<digest>", "hash", "a topic's subscriptions: each callback to its lease and secret", _WITH_TOPIC
    ),
    _family("hub:etags", "hash", "topic to the ETag of the content that all its subscribers were sent", _WITH_TOPIC),
    _family(
        "hub:leases", "zset", "all subscriptions of the hub, scored by the end of their lease in s", "until it ends"
    ),
    _family("hub:host:<host>", "set", "the subscriptions with callbacks at one host", "while there is one"),
    _family("hub:changed", "zset", "topics whose feeds are to be fetched, scored by when, in ms", "until they are"),
    _family(
        "hub:claimed",
        "zset",
        "topics that a process fetches or pushes, scored by the end of its claim in ms",
        "until all subscribers were sent the content",
    ),
)


class HubKeys:
    """The names of the hub's keys in one namespace."""

    def __init__(self, keys: Keyspace) -> None:
        self._keys = keys.deliveries

    @property
    def topics(self) -> str:
        """Set: the topics that have subscriptions."""
        return self._keys.key("hub", "topics")

    @property
    def etags(self) -> str:
        """Hash: topic → the ETag of the content that all its subscribers were sent."""
        return self._keys.key("hub", "etags")

    @property
    def leases(self) -> str:
        """Sorted set: every subscription (`subscription_member`), scored by the end of its lease in seconds."""
        return self._keys.key("hub", "leases")

    @property
    def changed(self) -> str:
        """Sorted set: topics whose feeds must be fetched, scored by when, in ms."""
        return self._keys.key("hub", "changed")

    @property
    def claimed(self) -> str:
        """Sorted set: topics that a process is fetching or pushing, scored by the end of its claim in ms."""
        return self._keys.key("hub", "claimed")

    def subscriptions(self, topic: str) -> str:
        """Hash: the subscriptions of a topic, callback → JSON."""
        return self._keys.key("hub", "topic", topic_digest(topic))

    def host(self, host: str) -> str:
        """Set: the subscriptions whose callbacks are at one host."""
        return self._keys.key("hub", "host", host)


def subscription_member(topic: str, callback: str) -> str:
    """Return the name of a subscription in sets; neither URL contains a space."""
    return f"{topic} {callback}"


def from_subscription_member(member: str) -> tuple[str, str]:
    """Return the topic and the callback of `subscription_member`."""
    topic, _, callback = member.partition(" ")
    return topic, callback


def topic_digest(topic: str) -> str:
    """Return what stands for a topic in the name of a key."""
    return hashlib.sha256(topic.encode()).hexdigest()[:32]
