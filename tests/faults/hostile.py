"""``python -m tests.faults.hostile``: hostile connections to each service while normal clients continue.

It passes if the memory of each process stays below twice its idle value, and every request of normal clients gets a response.
"""

import argparse
import asyncio
import contextlib
import logging
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil

from tests.cli.running import BARE, NEWSWIRE, newswire
from tests.polling import until
from tests.servers.valkey import embedded_valkey, free_port

MEMORY_FACTOR = 2.0
BIG = 900_000
"""Bytes of an article's text, so that responses are larger than what kernels buffer."""
HONEST_SECONDS = 60.0
"""Seconds within which a normal request must get a response, on a machine that also runs the attack."""
ATTACKERS = ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.1")
"""The last one is that of a trusted proxy, whose connections are not counted by address."""
HONEST = ("127.0.0.9", "127.0.0.2")
"""One address of its own, and one that is shared with attackers."""


class Aim(NamedTuple):
    """The target of an attack."""

    port: int
    large: str
    """A path with a large response."""


@dataclass
class Target:
    """A process under attack, and the paths that are requested."""

    name: str
    port: int
    process: psutil.Process
    honest: str
    """A path that normal clients request."""
    large: str
    """A path with a large response."""
    idle: int = 0
    largest: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    slowest: dict[str, float] = field(default_factory=lambda: dict.fromkeys(HONEST, 0.0))
    """Slowest response in seconds, by the normal client's address."""

    @property
    def aim(self) -> Aim:
        """Where attacks on it are sent."""
        return Aim(self.port, self.large)

    @property
    def clean(self) -> bool:
        """Whether the process withstood the attack."""
        return not self.failed and self.largest < MEMORY_FACTOR * self.idle and bool(self.answered)

    def verdict(self) -> str:
        """Return a line with the result."""
        memory = f"{self.idle / 2**20:.0f} → {self.largest / 2**20:.0f} MiB ({self.largest / self.idle:.2f} ×)"
        own, shared = (self.slowest[address] for address in HONEST)
        honest = (
            f"{sum(self.answered.values())} honest answers {dict(self.answered)},"
            f" the slowest after {own:.2f} s, after {shared:.2f} s from an attacker's address"
        )
        return f"{self.name:<9} {memory}, {honest}, {len(self.failed)} failed {self.failed[:3]}"


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Attack = Callable[[Aim, Connection], Awaitable[None]]


async def slow_head(_: Aim, connection: Connection) -> None:
    """Send one byte of a header per second."""
    connection[1].write(b"GET / HTTP/1.1\r\nx: ")
    while not connection[0].at_eof() and not connection[1].is_closing():
        connection[1].write(b"x")
        await asyncio.sleep(1)


async def endless_head(_: Aim, connection: Connection) -> None:
    """Send headers as fast as possible."""
    connection[1].write(b"GET / HTTP/1.1\r\n")
    while not connection[0].at_eof() and not connection[1].is_closing():
        connection[1].write(b"x: " + b"y" * 20_000 + b"\r\n")
        await connection[1].drain()
        await asyncio.sleep(0.01)


async def endless_value(_: Aim, connection: Connection) -> None:
    """Send one header that never ends."""
    connection[1].write(b"GET / HTTP/1.1\r\nx: ")
    while not connection[0].at_eof() and not connection[1].is_closing():
        connection[1].write(b"x" * 4000)
        await connection[1].drain()
        await asyncio.sleep(0.01)


async def slow_body(_: Aim, connection: Connection) -> None:
    """Announce a large body, send half of it, then one byte per second."""
    connection[1].write(
        b"POST /v1/articles HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n"
    )
    connection[1].write(b" " * 500_000)
    while not connection[0].at_eof() and not connection[1].is_closing():
        connection[1].write(b" ")
        await asyncio.sleep(1)


async def unread(aim: Aim, connection: Connection) -> None:
    """Request a large response repeatedly, and read nothing."""
    connection[1].transport.pause_reading()  # type: ignore[attr-defined]
    for _ in range(4):
        connection[1].write(f"GET {aim.large} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        await asyncio.sleep(1)
    await asyncio.sleep(30)


async def pipelined(aim: Aim, connection: Connection) -> None:
    """Send many requests at once."""
    connection[1].write(f"GET {aim.large} HTTP/1.1\r\nhost: a\r\n\r\n".encode() * 2000)
    await asyncio.sleep(5)


async def silent(_: Aim, connection: Connection) -> None:
    """Connect, and send nothing."""
    await connection[0].read(1)


ATTACKS: tuple[Attack, ...] = (slow_head, endless_head, endless_value, slow_body, unread, unread, pipelined, silent)


async def attack(aim: Aim, number: int, until_: float) -> None:
    """Keep one hostile connection open, and reopen it whenever it is closed."""
    chosen, address = ATTACKS[number % len(ATTACKS)], ATTACKERS[number % len(ATTACKERS)]
    await asyncio.sleep(random.uniform(0, 3))
    while (left := until_ - time.monotonic()) > 0:
        writer = None
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(left):
                reader, writer = await asyncio.open_connection("127.0.0.1", aim.port, local_addr=(address, 0))
                await chosen(aim, (reader, writer))
        if writer is not None:
            writer.transport.abort()
        await asyncio.sleep(random.uniform(1, 5))


def attack_all(aim: Aim, connections: int, seconds: float) -> None:
    """Keep a number of hostile connections open for some time."""

    async def attacks() -> None:
        end = time.monotonic() + seconds
        await asyncio.gather(*(attack(aim, number, end) for number in range(connections)))

    logging.getLogger("asyncio").setLevel(logging.ERROR)  # closed connections of attackers are expected
    asyncio.run(attacks())


async def ask(target: Target, address: str, until_: float) -> None:
    """Send requests as a normal client, each with a new connection."""
    while time.monotonic() < until_:
        began = time.monotonic()
        transport = httpx.AsyncHTTPTransport(local_address=address)
        try:
            async with httpx.AsyncClient(transport=transport, timeout=HONEST_SECONDS) as http:
                answer = await http.get(f"http://127.0.0.1:{target.port}{target.honest}")
        except httpx.HTTPError as error:
            target.failed.append(f"{address}: {error!r}")
        else:
            # A client that shares an address with attackers shares its rate limit, and gets 429.
            allowed = (200,) if address == HONEST[0] else (200, 429)
            target.answered[str(answer.status_code)] += 1
            if answer.status_code not in allowed:
                target.failed.append(f"{address}: {answer.status_code}")
            target.slowest[address] = max(target.slowest[address], time.monotonic() - began)
        await asyncio.sleep(0.2)


async def watch(target: Target, until_: float) -> None:
    """Record the maximum memory of a process."""
    while time.monotonic() < until_:
        target.largest = max(target.largest, target.process.memory_info().rss)
        await asyncio.sleep(0.25)


async def storm(target: Target, connections: int, seconds: float) -> None:
    """Attack one process for some time, and record the results."""
    transport = httpx.AsyncHTTPTransport(local_address=HONEST[0])
    async with httpx.AsyncClient(transport=transport, base_url=f"http://127.0.0.1:{target.port}", timeout=60) as http:
        for path in [target.honest, target.large] * 5:
            assert (await http.get(path)).status_code == 200, path
    target.idle = target.process.memory_info().rss
    # In a process of its own: otherwise normal clients would wait for the attackers, not for the service.
    attacking = multiprocessing.get_context("spawn").Process(
        target=attack_all, args=(target.aim, connections, seconds), daemon=True
    )
    attacking.start()
    end = time.monotonic() + seconds
    await asyncio.gather(watch(target, end), *(ask(target, address, end) for address in HONEST))
    await asyncio.to_thread(attacking.join)


@contextlib.contextmanager
def targets(folder: Path) -> Iterator[list[Target]]:
    """Run the three services with a store of their own, with one large and one small article."""
    with contextlib.ExitStack() as stack:
        valkey = stack.enter_context(embedded_valkey(folder / "store"))
        environment = {
            "NEWSWIRE_REDIS_URL": f"redis://127.0.0.1:{valkey.port}/0",
            "NEWSWIRE_DATA_DIR": str(folder / "data"),
            "NEWSWIRE_FEED_CONTENT": "full",
        }
        made = newswire("keys", "create", "--account", "Storm Watch", "--scope", "publish", **environment)
        key = {"Authorization": f"Bearer {made.stdout.strip()}"}
        ports = {name: _serve(stack, name, folder, environment) for name in ("ingest", "search", "notify")}
        body = "<p>" + "gale warning " * (BIG // 13) + "</p>"
        url = f"http://127.0.0.1:{ports['ingest'][0]}/v1/articles"
        for title, text in (("Harbour", "<p>Calm.</p>"), ("Gale", body)):
            sent = httpx.post(url, headers=key, json={"title": title, "body": text}, trust_env=False, timeout=60)
            assert sent.status_code == 201, sent.text
        search = f"http://127.0.0.1:{ports['search'][0]}"
        until(lambda: httpx.get(f"{search}/v1/search?q=gale", trust_env=False, timeout=60).json()["total"] == 1, 60)
        article = f"/v1/search/articles/{sent.json()['id']}"
        paths = {
            "ingest": ("/v1/topics", "/openapi.json"),
            "search": ("/v1/search?q=harbour", article),
            "notify": ("/v1/events?limit=1", "/v1/events?after=0"),
        }
        yield [Target(name, *ports[name], *paths[name]) for name in ports]


def _serve(
    stack: contextlib.ExitStack, name: str, folder: Path, environment: dict[str, str]
) -> tuple[int, psutil.Process]:
    port = free_port()
    log = stack.enter_context((folder / f"{name}.log").open("wb"))
    command = [*NEWSWIRE, "serve", name, "--port", str(port)]
    process = psutil.Popen(command, env=BARE | environment, stdout=log, stderr=log)
    stack.callback(process.wait, 30)
    stack.callback(process.terminate)

    def ready() -> bool:
        assert process.poll() is None, (folder / f"{name}.log").read_text()
        try:
            return httpx.get(f"http://127.0.0.1:{port}/status", trust_env=False, timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    until(ready, 90)
    return port, process


def main() -> int:
    """Attack each service in turn; the exit code is 0 if all withstood it."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.hostile", description=__doc__)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", default="", help="services whose name holds this")
    arguments = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 20_000), hard), hard))
    with tempfile.TemporaryDirectory(prefix="newswire-hostile-") as folder, targets(Path(folder)) as attacked:
        for target in (each for each in attacked if arguments.only in each.name):
            asyncio.run(storm(target, arguments.connections, arguments.seconds))
            sys.stdout.write(target.verdict() + "\n")
            sys.stdout.flush()
    return 0 if all(target.clean for target in attacked if target.idle) else 1


if __name__ == "__main__":
    sys.exit(main())
