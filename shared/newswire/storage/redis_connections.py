"""Connections to Redis that follow its primary, and the pools of them."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError

from newswire.storage.redis_primary import Primary, primary_of
from newswire.storage.redis_url import RedisUrl
from newswire.storage.resolving_connections import ResolvingConnection, ResolvingTLSConnection


class PrimaryConnection(ResolvingConnection):
    """A connection to the primary, as Sentinels or nodes of a cluster say. `PrimaryPool` ends it when another one is."""

    def __init__(self, *, pool: "PrimaryPool", **kwargs: Any) -> None:
        self._pool = pool
        super().__init__(**kwargs)

    async def _connect(self) -> None:
        self.host, self.port = await self._pool.primary.locate()
        await super()._connect()

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Check that the server is a primary: Sentinels or other nodes may not know yet that it is not."""
        await super().on_connect_check_health(check_health=check_health)
        await self.send_command("INFO", "replication", check_health=False)
        facts = dict(line.split(b":", 1) for line in _as_bytes(await self.read_response()).splitlines() if b":" in line)
        if facts.get(b"role", b"master") != b"master":
            raise RedisConnectionError(f"{self.host}:{self.port} is a replica", status_code="READONLY")
        self._pool.primary.observe(facts.get(b"master_replid", b"").decode(), spare=self)

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Read a reply. If another node of a cluster has the keys now, the call is repeated there."""
        try:
            return await super().read_response(*args, **kwargs)
        except MovedError as error:
            await self.disconnect(nowait=True)
            raise RedisConnectionError(str(error), status_code="MOVED") from None

    async def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        """Send a command. uvloop raises a RuntimeError on a connection that was aborted meanwhile."""
        try:
            await super().send_packed_command(*args, **kwargs)
        except RuntimeError as error:
            await self.disconnect(nowait=True)
            raise RedisConnectionError(f"the connection ended: {error}") from None

    def abort(self) -> None:
        """End the connection at once; a call that waits for its reply gets an error."""
        if self._writer is not None:
            self._writer.transport.abort()


class PrimaryTLSConnection(PrimaryConnection, ResolvingTLSConnection):
    """A connection to the primary over TLS."""


class ReusingPool(BlockingConnectionPool):  # type: ignore[misc]
    """A pool that hands out an idle connection at once.

    redis-py takes a lock, a condition and a timer, and reports to a telemetry that Newswire does not use, for each command: up to
    half of the processor time of a command. All of that is only needed while callers wait for a connection.
    """

    def __init__(self, **options: Any) -> None:
        """Open no connection yet."""
        super().__init__(**options)
        self._waiting = 0

    async def get_connection(self, *args: Any, **options: Any) -> Any:
        """Return a connection that is ready for a command; wait for one if all are in use."""
        if self._available_connections and not self._waiting and not self._in_maintenance:
            connection = self.get_available_connection()
            try:
                await self.ensure_connection(connection)
            except BaseException:
                await self.release(connection)
                raise
            return connection
        self._waiting += 1  # who comes later must not take the connection for which this caller waits
        try:
            return await super().get_connection(*args, **options)
        finally:
            self._waiting -= 1

    def release(self, connection: Any) -> Awaitable[None]:
        """Take a connection back.

        What is returned has ended already, nearly always: redis-py would make a task of a coroutine after each pipeline.
        """
        if self._waiting or self._in_maintenance or connection.should_reconnect():
            releasing: Awaitable[None] = super().release(connection)
            return releasing
        self._in_use_connections.remove(connection)
        self._available_connections.append(connection)
        released = asyncio.get_running_loop().create_future()
        released.set_result(None)
        return released


class PrimaryPool(ReusingPool):
    """Connections to the primary. When another server becomes the primary, all of them end."""

    def __init__(self, address: str, url: RedisUrl, tag: str = "", **options: Any) -> None:
        """``tag``: the hash tag of all keys, in a cluster."""
        options = {**url.options, **options}
        encrypted = options.pop("connection_class", None) is SSLConnection
        super().__init__(connection_class=PrimaryTLSConnection if encrypted else PrimaryConnection, **options)
        self.connection_kwargs["pool"] = self
        self._address, self._url, self._tag = address, url, tag
        self._primary: Primary | None = None

    @property
    def service(self) -> str:
        """What the Sentinels call the server; in a cluster the hash tag of the keys."""
        return self._url.service or self._tag

    @property
    def primary(self) -> Primary:
        """What the process knows about the primary; known from the first connection on."""
        if self._primary is None:
            self._primary = primary_of(self._address, self._url, self._tag)
            self._primary.add_pool(self)
        return self._primary

    def drop_all(self, spare: object = None) -> None:
        """End all connections, except one to the new primary."""
        for connection in (*self._available_connections, *self._in_use_connections):
            if connection is not spare:
                connection.abort()

    async def aclose(self) -> None:
        """Close the pool."""
        await super().aclose()
        if self._primary is not None:
            await self._primary.remove_pool(self)
            self._primary = None


def _as_bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
