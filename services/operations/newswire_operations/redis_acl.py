"""The least that each service must be allowed in Redis: keys from the declared families, commands from the code.

A test compares the commands with those that the sources call, and runs the services under these permissions.
"""

import re
from collections.abc import Iterable

from newswire.key_families import KeyFamily
from newswire.keys import FAMILIES as SHARED
from newswire.keys import Keyspace
from newswire_notify.keys import FAMILIES as NOTIFY
from newswire_search.keys import FAMILIES as SEARCH

_CONNECTION = "ping info select multi exec fcall function|load client|setinfo client|setname"
"""What every connection does."""
_CLUSTER = "cluster|nodes cluster|slots"
"""What every connection to a cluster does."""
_SHARED = (
    "del eval_ro exists expire get getdel hdel hexists hget hgetall hincrby hlen hmget hset hsetnx hvals incr pexpireat "
    "publish pubsub|numsub sadd set subscribe time ttl unsubscribe wait xack xadd xautoclaim xclaim xdel xgroup xinfo xlen "
    "xpending xrange xread xreadgroup xrevrange xtrim zadd zcard zcount zrange zrangebylex zrangebyscore zrank zrem zrevrange"
)
_COMMANDS = {
    "ingest": "bgrewriteaof decrby incrby pexpire scan scard smembers srem xsetid zincrby zmscore zremrangebyrank zscore",
    "search": "sadd scan sismember srandmember srem",
    "notify": (
        "bgrewriteaof decr hscan hstrlen incrby lindex llen lpop lrange ltrim persist pexpire rename rpush scan scard "
        "sismember smembers spop srandmember srem type unlink zincrby zinter zintercard zremrangebyscore zrevrank zscan zscore "
        "zunionstore"
    ),
}
"""Of each service, beside those of the shared code."""
_ONLY_FOR_USERS = re.compile(r"users?\b|user-|sessions?:|one-time-link|password-mails|sign-in-failures|settings")
"""The shared families that search does not use: it must not see hashes of passwords."""
_READ = {
    "search": ("article:<article>", "articles", "articles:<status>:<account>", "preview:<digest>", "newsletters"),
    "notify": ("article:<article>", "articles", "articles:<status>:<account>", "preview:<digest>", "subscriptions:seq"),
}
"""The families of other services, and of earlier layouts, that a service reads."""


def service_commands(service: str, keys: Keyspace) -> frozenset[str]:
    """Return the commands that a service calls."""
    cluster = _CLUSTER if keys.in_one_slot else ""
    return frozenset(f"{_CONNECTION} {cluster} {_SHARED} {_COMMANDS[service]}".split())


def acl_rules(service: str, namespace: str) -> list[str]:
    """Return the rules of a service's user, without its password: keys, channels, commands."""
    keys = Keyspace(namespace)
    return [
        *_keys(service, keys),
        f"&{keys.key('')}*",
        "-@all",
        *(f"+{command}" for command in sorted(service_commands(service, keys))),
    ]


def operator_rules(namespace: str) -> list[str]:
    """Return the rules of the user of the commands: everything within the namespace."""
    keys = Keyspace(namespace)
    commands = (
        "+@read +@write +@pubsub +@transaction +@scripting +@connection +info +time +bgrewriteaof -function|flush"
    )
    if keys.in_one_slot:
        commands += "".join(f" +{command}" for command in _CLUSTER.split())
    return [f"~{keys.key('')}*", f"~{keys.deliveries.key('')}*", f"&{keys.key('')}*", "-@all", *commands.split()]


def _keys(service: str, keys: Keyspace) -> list[str]:
    match service:
        case "ingest":
            return [f"~{keys.key('')}*"]
        case "search":
            used = [family for family in SHARED if not _ONLY_FOR_USERS.match(family.pattern)]
            return [*_patterns(keys, (*used, *SEARCH)), *_readable(keys, service)]
        case _:
            own = [family for family in NOTIFY if family.store == "records"]
            public = f"~{keys.public_newsletters}"
            return [
                f"~{keys.deliveries.key('')}*",
                public,
                *_patterns(keys, (*SHARED, *own)),
                *_readable(keys, service),
            ]


def _patterns(keys: Keyspace, families: Iterable[KeyFamily]) -> list[str]:
    """Return few patterns: Redis tries them one after the other for each key of each command."""
    return sorted({f"~{keys.key(_pattern(family.pattern))}" for family in families})


def _readable(keys: Keyspace, service: str) -> list[str]:
    return [f"%R~{keys.key(_pattern(pattern))}" for pattern in _READ[service]]


def _pattern(family: str) -> str:
    return re.sub(r"<.*", "*", family) if not family.startswith("article:") else re.sub(r"<[a-z_]+>", "*", family)
