"""Connections to Redis whose host is looked up first, by a look-up that nobody breaks off.

A name server that is gone answers after many seconds. The caller is not kept waiting for it; but uvloop reports as an error
nobody took care of what becomes of a look-up that was cancelled, so the look-up goes on by itself and its end is taken note of.
"""

import asyncio
import socket

from redis.asyncio.connection import Connection, SSLConnection


class ResolvingConnection(Connection):  # type: ignore[misc] # redis is not followed, see pyproject.toml
    """A connection over TCP."""

    async def _connect(self) -> None:
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


def _retrieve_result(looking_up: "asyncio.Task[object]") -> None:
    if not looking_up.cancelled():
        looking_up.exception()
