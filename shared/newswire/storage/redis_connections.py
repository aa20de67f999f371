"""Connections to Redis with a DNS lookup that outlives its caller's cancellation.

An unreachable name server fails only after many seconds, and the caller must not wait for it. But uvloop reports the result of a
cancelled lookup as an unhandled error, so the lookup continues in the background and its result is retrieved.
"""

import asyncio
import socket
from ipaddress import ip_address

from redis.asyncio.connection import Connection, SSLConnection


class ResolvingConnection(Connection):  # type: ignore[misc] # redis is not followed, see pyproject.toml
    """A connection over TCP."""

    async def _connect(self) -> None:
        if _is_address(self.host):
            await super()._connect()
            return
        loop = asyncio.get_running_loop()
        looking_up = loop.create_task(loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM))
        looking_up.add_done_callback(_retrieve_result)
        _, late = await asyncio.wait({looking_up}, timeout=self.socket_connect_timeout)
        if late:
            raise TimeoutError
        looking_up.result()
        await super()._connect()


class ResolvingTLSConnection(ResolvingConnection, SSLConnection):  # type: ignore[misc]
    """A connection over TLS."""


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _retrieve_result(looking_up: "asyncio.Task[object]") -> None:
    if not looking_up.cancelled():
        looking_up.exception()
