"""Handles pipelined requests: starts a request only after the client has read the previous response, and cancels all on disconnect.

uvicorn starts the next pipelined request as soon as the previous response is written, even if the client has not read it. A client
that reads nothing would make the server keep another response, and everything that its request holds, in memory. uvicorn also
reports a lost connection only to the newest request, so that a running earlier one would not notice it.
"""

import asyncio
from typing import Any, TypeAlias, cast

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from newswire.http.joined_head import JoinedHead

Begun: TypeAlias = tuple[RequestResponseCycle, ASGI3Application]


class PipeliningProtocol(HttpToolsProtocol):
    """One connection, whose requests run one after the other."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._running: RequestResponseCycle | None = None
        self._postponed: Begun | None = None
        """The next request, while the previous response has not been read."""

    def resume_writing(self) -> None:
        """Continue with the current response, or start the postponed request."""
        super().resume_writing()
        if self._postponed is not None and not self.transport.is_closing():
            next_, self._postponed = self._postponed, None
            self._start_asgi_task(*next_)

    def on_response_complete(self) -> None:
        """Write what is left of the response, such as the head of one without a body, and go on."""
        if self._running is not None:
            cast("JoinedHead", self._running.transport).flush()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the request in progress, and drop those queued behind it."""
        self._postponed = None
        self.pipeline.clear()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self.flow.write_paused:
            self._postponed = (cycle, app)
            return
        self._running = cycle
        cycle.transport = cast("asyncio.Transport", JoinedHead(self.transport, self.loop))
        super()._start_asgi_task(cycle, app)
