"""Ends a server without failing a request: a balancer learns that a process stops when it is refused a connection, not before.

uvicorn closes the listening socket with the connections that wait in it, and closes each connection on which no request has arrived
yet. A balancer that had just opened one, or sent a request, gets no response, and must not repeat a POST: the reader sees a 502.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import uvicorn

FIRST_REQUEST_SECONDS = 0.5
"""Grace period after the stop signal for the first request of a connection."""


class DrainingServer(uvicorn.Server):
    """A server that serves every accepted connection before it exits, also those in the backlog of the listening socket.

    ``waiting`` is a duplicate of the listening socket that the event loop does not know: the last one to be closed.
    """

    def __init__(self, config: uvicorn.Config, waiting: socket.socket) -> None:
        super().__init__(config)
        self._waiting = waiting
        self._waiting.setblocking(False)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the process handles them, so that the streams stop before the server."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take the connections that wait in the system's queue, and refuse further ones; then shut down."""
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        accepted = []
        with contextlib.suppress(OSError):  # BlockingIOError: none is left
            while True:
                accepted.append(self._waiting.accept()[0])
        self._waiting.close()
        protocol = partial(
            cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class),
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        for connection in accepted:
            with contextlib.suppress(OSError):
                await asyncio.get_running_loop().connect_accepted_socket(protocol, connection)
        await super().shutdown(sockets)
