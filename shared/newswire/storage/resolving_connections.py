"""Connections to Redis servers and Sentinels, with a DNS lookup that outlives its caller's cancellation.

An unreachable name server fails only after many seconds, and the caller must not wait for it. But uvloop reports the result of a
cancelled lookup as an unhandled error, so the lookup continues in the background and its result is retrieved.
"""

import asyncio
import socket
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError

from newswire.concurrency.unawaited_tasks import retrieve_result
from newswire.storage.direct_connection import DirectConnection, DirectSocketConnection
from newswire.storage.redis_url import Address


class ResolvingConnection(DirectConnection):
    """A connection over TCP. It ends when the server is a replica: its name may lead to another server now."""

    async def _connect(self) -> None:
        if _is_address(self.host):
            await super()._connect()
            return
        loop = asyncio.get_running_loop()
        looking_up = loop.create_task(loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM))
        looking_up.add_done_callback(retrieve_result)
        _, late = await asyncio.wait({looking_up}, timeout=self.socket_connect_timeout)
        if late:
            raise TimeoutError
        looking_up.result()
        await super()._connect()

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Read a reply. The error of a replica becomes one of the connection, so that the call is repeated with another one."""
        try:
            return await super().read_response(*args, **kwargs)
        except ReadOnlyError as error:
            await self.disconnect(nowait=True)
            raise RedisConnectionError(str(error), status_code="READONLY") from None


class ResolvingTLSConnection(ResolvingConnection, SSLConnection):  # type: ignore[misc]
    """A connection over TLS."""


def resolving(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of connections, with the classes of Newswire in place of redis-py's own."""
    of_redis = options.get("connection_class", Connection)
    classes = {
        Connection: ResolvingConnection,
        SSLConnection: ResolvingTLSConnection,
        UnixDomainSocketConnection: DirectSocketConnection,
    }
    return {**options, "connection_class": classes.get(of_redis, of_redis)}


def client_of(address: Address, options: Mapping[str, Any]) -> "Redis":
    """Return a client of a Sentinel, or of a node of a cluster."""
    host, port = address
    return Redis.from_pool(ConnectionPool(host=host, port=port, **resolving(options)))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
