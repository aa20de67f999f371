"""The servers that Outpost needs, from the packages of the operating system: RabbitMQ, Redis and PostgreSQL."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.peers.programs import UnavailableError, running
from tests.servers.valkey import free_port

_FOLDERS = ("/usr/lib/rabbitmq/bin", *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)))
_ROOTLESS = "postgres"
"""The account of PostgreSQL, which refuses to be run by root."""


@dataclass(frozen=True)
class Store:
    """A running server."""

    port: int
    process: psutil.Process


def needed() -> dict[str, str]:
    """Return the paths of the programs.

    Raises:
        UnavailableError: one is missing.
    """
    places = os.pathsep.join([*_FOLDERS, os.environ.get("PATH", os.defpath)])
    programs = {
        name: shutil.which(name, path=places)
        for name in ("rabbitmq-server", "epmd", "redis-server", "initdb", "postgres")
    }
    if missing := [name for name, path in programs.items() if path is None]:
        raise UnavailableError(f"Outpost needs {', '.join(missing)}: install RabbitMQ, Redis and PostgreSQL")
    return {name: path for name, path in programs.items() if path}


@contextmanager
def redis(folder: Path) -> Iterator[Store]:
    """Run Redis, with a log on disk like Newswire's."""
    port, program = free_port(), needed()["redis-server"]
    options = f"--port {port} --bind 127.0.0.1 --appendonly yes --appendfsync always --requirepass bench --dir {folder}"
    command = [program, *options.split(), "--save", ""]
    with running(command, folder / "outpost-redis.log", lambda: _listens(port)) as process:
        yield Store(port, process)


@contextmanager
def rabbitmq(folder: Path) -> Iterator[Store]:
    """Run RabbitMQ, with a node of its own."""
    port, ports, programs = free_port(), free_port(), needed()
    base = folder / "rabbitmq"
    base.mkdir()
    environment = os.environ | {
        "HOME": str(base),
        "ERL_EPMD_PORT": str(ports),
        "RABBITMQ_NODENAME": f"bench{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(base / "mnesia"),
        "RABBITMQ_LOG_BASE": str(base),
        "RABBITMQ_CONF_ENV_FILE": str(base / "none"),
        "RABBITMQ_CONFIG_FILE": str(base / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(base / "plugins"),
    }
    names = [programs["epmd"], "-port", str(ports)]
    with (
        running(names, folder / "outpost-epmd.log", lambda: _listens(ports)),
        running(
            [programs["rabbitmq-server"]], folder / "outpost-rabbitmq.log", lambda: _listens(port), environment
        ) as process,
    ):
        yield Store(port, process)


@contextmanager
def postgresql(log: Path) -> Iterator[Store]:
    """Run PostgreSQL with its defaults."""
    port, programs = free_port(), needed()
    user = _ROOTLESS if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="newswire-bench-postgresql-") as folder:
        if user:
            shutil.chown(folder, user, user)
        new = [programs["initdb"], "-D", f"{folder}/data", "-U", "bench", "-A", "trust"]
        made = subprocess.run(
            new, user=user, group=user, extra_groups=[] if user else None, cwd=folder, capture_output=True, text=True
        )
        if made.returncode:
            raise UnavailableError(f"initdb: {made.stderr[-500:]}")
        command = [programs["postgres"], "-D", f"{folder}/data", "-p", str(port), "-k", folder, "-h", "127.0.0.1"]
        with running(command, log, lambda: _listens(port), user=user) as process:
            yield Store(port, process)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
