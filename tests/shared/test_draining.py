"""A server that stops takes the connections that wait in the queue of the system, and answers them."""

import asyncio
import socket
from functools import partial
from typing import Any, cast

import uvicorn

from newswire.http.connection_limits import ConnectionLimits, ConnectionTracker
from newswire.http.draining import DrainingServer
from newswire.http.server import BoundedProtocol
from newswire.settings import Settings


async def app(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def test_connections_that_nobody_has_accepted_yet_are_answered() -> None:
    leaving = asyncio.Event()
    tracker = ConnectionTracker(ConnectionLimits.of(Settings()), ())
    protocol = cast("type[asyncio.Protocol]", partial(BoundedProtocol, tracker=tracker, leaving=leaving))
    config = uvicorn.Config(app, http=protocol, ws="none", lifespan="off", log_config=None)
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    server = DrainingServer(config, listener.dup())
    address = listener.getsockname()
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    async with asyncio.timeout(60):
        while not server.started:
            await asyncio.sleep(0.01)
    waiting = [socket.create_connection(address) for _ in range(20)]  # the loop gets no turn to accept them
    for client in waiting:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        client.setblocking(False)
    leaving.set()
    await server.shutdown([listener])
    loop = asyncio.get_running_loop()
    for client in waiting:
        assert (await asyncio.wait_for(loop.sock_recv(client, 1000), 60)).startswith(b"HTTP/1.1 204")
        client.close()
    server.should_exit = True
    await asyncio.wait_for(serving, 60)
