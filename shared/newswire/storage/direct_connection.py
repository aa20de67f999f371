"""A connection to Redis that sends a command without the task and the timer that redis-py makes for each.

redis-py encodes the commands of asynchronous connections in Python (hiredis does it at a twentieth of the cost), waits in a task of
its own, with a timer, until the socket has taken a command, which it nearly always does at once, and sets a timer for each reply of
a pipeline, all of which usually arrive with the first.
"""

from collections.abc import Iterable
from typing import Any

import hiredis
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio.connection import AbstractConnection, Connection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

MAX_UNSENT_BYTES = 65_536
"""Bytes that may be left to be sent before a caller waits for the socket: what the event loop's transports allow by default."""
MAX_JOINED_BYTES = 65_536
"""Commands of a pipeline up to so many bytes are joined: writing one part costs less than copying."""


class DirectCommands(AbstractConnection):  # type: ignore[misc] # redis is not followed, see pyproject.toml
    """A connection whose commands are encoded by hiredis and written at once."""

    def pack_command(self, *args: Any) -> list[bytes]:
        """Return the bytes of a command."""
        name = args[0]
        if (b" " if isinstance(name, bytes) else " ") in name:  # such as CONFIG GET, which are two arguments
            args = (*name.split(), *args[1:])
        try:
            return [hiredis.pack_command(args)]
        except TypeError:  # redis-py takes a few more types, and names the argument that has none of them
            packed: list[bytes] = super().pack_command(*args)
            return packed

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        """Return the bytes of several commands."""
        parts = [part for command in commands for part in self.pack_command(*command)]
        return [b"".join(parts)] if sum(map(len, parts)) <= MAX_JOINED_BYTES else parts

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Write a command; wait only where the socket does not take more, or the connection has to be opened or checked.

        An error of the socket is reported by the read of the reply, which follows.
        """
        if self.is_connected and isinstance(command, list):
            if check_health:
                await self.check_health()
            writer = self._writer
            if writer is not None and not writer.is_closing():
                try:
                    writer.writelines(command)
                except BaseException:
                    await self.disconnect(nowait=True)
                    raise
                if writer.transport.get_write_buffer_size() <= MAX_UNSENT_BYTES:
                    return
                command, check_health = [], False
        await super().send_packed_command(command, check_health)

    async def read_response(
        self,
        disable_decoding: bool = False,
        timeout: float | None = None,
        *,
        disconnect_on_error: bool = True,
        push_request: bool | None = False,
    ) -> Any:
        """Read a reply; wait, with redis-py's timer, only where it has not arrived yet."""
        if timeout is None and not disable_decoding and not push_request and self._parser._connected:
            reply = self._parser._reader.gets()
            if isinstance(reply, hiredis.PushNotification):  # it is no reply: that one follows
                await self._parser.handle_push_response(reply)
            elif reply is not NOT_ENOUGH_DATA:
                first = reply[0] if isinstance(reply, list) and reply else reply
                if isinstance(first, RedisConnectionError):
                    if disconnect_on_error:
                        await self.disconnect(nowait=True)
                    raise first
                if isinstance(reply, ResponseError):
                    raise reply from None
                return reply
        return await super().read_response(
            disable_decoding, timeout, disconnect_on_error=disconnect_on_error, push_request=push_request
        )


class DirectConnection(DirectCommands, Connection):  # type: ignore[misc]
    """Such a connection over TCP."""


class DirectSocketConnection(DirectCommands, UnixDomainSocketConnection):  # type: ignore[misc]
    """Such a connection to the socket of a server on this machine."""
