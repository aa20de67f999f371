"""The floor of the live stream: a bare ASGI app that writes what is posted to ``/send`` to every reader. ``PORT``."""

import asyncio
import sys
from typing import Any

import uvicorn

from newswire.http.application import run

Message = dict[str, Any]
END = b"\n\n"


class Broadcast:
    """Sends each posted event to all connected readers, one by one."""

    def __init__(self) -> None:
        self._readers: set[asyncio.Queue[bytes]] = set()

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """Handle one request."""
        if scope["method"] == "POST":
            body, more = b"", True
            while more:
                message = await receive()
                body, more = body + message.get("body", b""), message.get("more_body", False)
            for frame in body.split(END)[:-1]:
                for reader in self._readers:
                    reader.put_nowait(frame + END)
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        if scope["path"] != "/v1/stream":
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        waiting: asyncio.Queue[bytes] = asyncio.Queue()
        self._readers.add(waiting)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"retry: 2000\n", "more_body": True})
        while True:
            await send({"type": "http.response.body", "body": await waiting.get(), "more_body": True})


async def serve(port: int) -> None:
    """Serve until stopped."""
    config = uvicorn.Config(
        Broadcast(),
        port=port,
        log_level="error",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
        backlog=2048,
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    run(serve(int(sys.argv[1])))
