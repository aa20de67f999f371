"""The address that a command serves on."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from newswire.http.listening import bind
from newswire_cli.terminal.console import fail


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket that holds the address, for port 0 an available one. If it is taken, end the command with the reason."""
    try:
        listener = bind(host, port)
    except OverflowError:
        fail(f"{port} is not a port; a port is a number from 0 to 65535")
    except OSError as error:
        _fail_to_listen(host, port, error)
    with listener:
        try:
            yield listener
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            _fail_to_listen(host, port, error)  # another process, started at the same time, listened first


def _fail_to_listen(host: str, port: int, error: OSError) -> NoReturn:
    fail(f"cannot listen on {host} port {port}: {error.strerror or error}; give another one by --port")
