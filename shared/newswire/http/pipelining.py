"""The requests of one connection, answered in order: each once the answer before it was read, none for a client that left.

uvicorn begins the next request when the answer before it was written, whether or not it is read, so a client that reads nothing
would have its next answer made too, and kept waiting with all that the request holds. It also looks for the request that is being
answered in the newest one, so that losing the connection does not reach an earlier request.
"""

from typing import Any, TypeAlias

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

Begun: TypeAlias = tuple[RequestResponseCycle, ASGI3Application]


class OrderedProtocol(HttpToolsProtocol):
    """One connection; its requests are answered in order."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._running: RequestResponseCycle | None = None
        self._postponed: Begun | None = None
        """The next request, where the answer before it is still to be read."""

    def resume_writing(self) -> None:
        """Go on: with the answer, or with the next request."""
        super().resume_writing()
        if self._postponed is not None and not self.transport.is_closing():
            next_, self._postponed = self._postponed, None
            self._start_asgi_task(*next_)

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
        super()._start_asgi_task(cycle, app)
