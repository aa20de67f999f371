"""The folder by which the notify processes of a host find each other: a lock and a socket.

Processes that may share an installation's stream use the same two names; those of another installation or release have others.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
import socket
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_FOLDER_BYTES = 72
"""The path of a Unix socket has at most 103 bytes (Linux: 107), of which the name takes up to 30."""
_CREDENTIALS = struct.Struct("3i")


class RelayFolderError(ValueError):
    """The folder cannot be used; the message says why, and what to do."""


def check_folder(folder: Path) -> Path:
    """Return the folder's absolute path; create it if it is missing.

    Raises:
        RelayFolderError: its path is too long, or other users could use it: they would read articles, or invent some.
    """
    path = folder.absolute()
    if len(os.fsencode(path)) > MAX_FOLDER_BYTES:
        raise RelayFolderError(f"{path} is longer than {MAX_FOLDER_BYTES} bytes, which the path of a socket allows")
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise RelayFolderError(f"{path} cannot be created: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise RelayFolderError(f"{path} is not a folder")
    if found.st_uid != os.geteuid():
        raise RelayFolderError(f"{path} belongs to another user (uid {found.st_uid})")
    if found.st_mode & 0o077:
        raise RelayFolderError(f"{path} can be used by others (mode {found.st_mode & 0o777:o}): chmod 700 {path}")
    return path


def is_own_peer(connection: socket.socket) -> bool:
    """Return whether a process of the same user is at the other end."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # where the kernel does not tell, the folder's permissions alone keep others away
    sent = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(sent)[1] == os.geteuid())


@dataclass(frozen=True)
class RelayLock:
    """The lock of the process that is the relay. The kernel releases it when the process ends."""

    path: Path
    descriptor: int

    def held(self) -> bool:
        """Return whether no other process has replaced the lock because this one did not respond."""
        try:
            return self.path.stat().st_ino == os.fstat(self.descriptor).st_ino
        except OSError:
            return False

    def release(self) -> None:
        """Let another process become the relay."""
        os.close(self.descriptor)


class RelayFolder:
    """The lock and the socket of one installation and release."""

    def __init__(self, folder: Path, *identity: str) -> None:
        """Name them by ``identity``, which all processes that may share a stream have in common."""
        name = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:12]
        self.lock_path = folder / f"{name}.lock"
        self.socket_path = folder / f"{name}.sock"

    def try_lock(self) -> RelayLock | None:
        """Lock, unless another process has."""
        descriptor = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        return self._locked(descriptor, self.lock_path)

    def replace_lock(self) -> RelayLock | None:
        """Lock instead of a process that does not respond, which stops being the relay when it responds again."""
        temporary = _temporary(self.lock_path)
        lock = self._locked(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), temporary)
        temporary.replace(self.lock_path)
        return lock

    def _locked(self, descriptor: int, path: Path) -> RelayLock | None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        if path.stat().st_ino != os.fstat(descriptor).st_ino:  # replaced since it was opened
            os.close(descriptor)
            return None
        return RelayLock(self.lock_path, descriptor)

    @contextlib.contextmanager
    def listening(self) -> Iterator[socket.socket]:
        """Yield a socket that listens under the name of the relay's, in place of one left by another process."""
        temporary = _temporary(self.socket_path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(os.fspath(temporary))
            temporary.chmod(0o600)
            listener.listen(128)
            listener.setblocking(False)
            temporary.replace(self.socket_path)
            own = self.socket_path.stat().st_ino
            try:
                yield listener
            finally:
                with contextlib.suppress(OSError):
                    if self.socket_path.stat().st_ino == own:
                        self.socket_path.unlink()


def _temporary(path: Path) -> Path:
    """Return an unused name; processes in containers may have the same process id."""
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}")
