"""The nodes of a Redis Cluster: which of them is the primary of the slot that all keys are in.

All keys share one hash tag, and so one slot, which one primary has at a time: a client of that primary does what a client of a
single server does. Nodes disagree for a moment about who it is after a failover or while a slot is moved. The one with the
highest config epoch is right; that is also how they agree.
"""

import asyncio
import random
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError

from newswire.storage.redis_url import Address
from newswire.storage.resolving_connections import client_of

NODES_ASKED = 4
"""How many nodes are asked at a time, beside the known primary and one that the address names: answers grow with the cluster."""


class ClusterNodes:
    """The nodes of one cluster."""

    def __init__(self, named: Sequence[Address], tag: str, options: Mapping[str, Any]) -> None:
        """``named``: nodes that the address names; the others are learned from them. ``tag``: the hash tag of all keys."""
        self.name = tag
        self._slot = key_slot(tag.encode())
        self.nobody_knows = f"no node of the cluster names the primary of slot {self._slot}"
        self._named = named
        self._others: set[Address] = set()
        self._options = options
        self._by_name = options.get("connection_class") is SSLConnection and options.get("ssl_check_hostname", True)
        self._clients: dict[Address, Redis] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def members(self, primary: Address | None) -> "Sequence[Redis]":
        """Return the known primary and some other nodes, among them one that the address names: it may lead elsewhere by now."""
        others = [*self._others] or [*self._named]
        asked = {
            random.choice(self._named),
            *random.sample(others, min(NODES_ASKED, len(others))),
            *([primary] if primary is not None else []),
        }
        # Where a node that restarts has another address, as in Kubernetes, the former one is asked no more.
        for left in self._clients.keys() - {*asked, *self._named, *others}:
            closing = asyncio.create_task(self._clients.pop(left).aclose())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        return [self._client(address) for address in asked]

    async def ask(self, member: "Redis") -> tuple[int, Address]:
        """Return the config epoch and the address of the slot's primary, as one node knows them."""
        async with member.pipeline(transaction=False) as pipe:
            pipe.execute_command("CLUSTER", "SLOTS")  # names the addresses for clients
            pipe.execute_command("CLUSTER", "NODES")  # has the epochs
            ranges, lines = await pipe.execute()
        asked = str(member.connection_pool.connection_kwargs["host"])
        self._others = {_address(node, asked, self._by_name) for found in ranges for node in found[2:]}
        for found in ranges:
            if found[0] <= self._slot <= found[1]:
                return _epochs(lines).get(found[2][2], 0), _address(found[2], asked, self._by_name)
        raise RedisConnectionError("the slot is on no node")

    def listeners(self, announced: asyncio.Event) -> list[Coroutine[Any, Any, None]]:
        """Nodes announce nothing; they answer ``MOVED``."""
        return []

    async def aclose(self) -> None:
        """Close all connections."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()
        await asyncio.gather(*self._closing)

    def _client(self, address: Address) -> "Redis":
        if address not in self._clients:
            self._clients[address] = client_of(address, self._options)
        return self._clients[address]


def _address(node: Sequence[Any], asked: str, by_name: bool) -> Address:
    """Return the address of a node in ``CLUSTER SLOTS``. Without a host, or with an unknown one, it is that of the node asked.

    ``by_name``: prefer the name that a node announces beside its IP address, which is what its certificate is usually for.
    """
    host = node[0].decode() if node[0] else ""
    if by_name and len(node) > 3:
        announced = dict(zip(node[3][::2], node[3][1::2], strict=False))
        host = announced.get(b"hostname", b"").decode() or host
    return (asked if host in ("", "?") else host), int(node[1])


def _epochs(lines: bytes) -> dict[bytes, int]:
    """Return the config epoch of each node in ``CLUSTER NODES``."""
    return {fields[0]: int(fields[6]) for fields in map(bytes.split, lines.splitlines()) if len(fields) > 7}
