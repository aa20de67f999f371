"""ASGI middleware: requests that write are answered with success only when replicas of Redis have what was written."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from newswire.http.problems import redis_unavailable
from newswire.storage.redis_errors import REDIS_ERRORS
from newswire.storage.replication import ReplicationBarrier

CONFIRMS_PARTS = "newswire.confirms_parts"
"""In a request's scope: whether its response begins before the request has written anything, and each part of it is confirmed."""
_READING = frozenset(("GET", "HEAD", "OPTIONS"))


class ReplicationMiddleware:
    """Waits for the replicas before the response begins; 503 if too few have the write in time."""

    def __init__(self, app: ASGIApp, barrier: ReplicationBarrier) -> None:
        """Wrap the rest of the app."""
        self.app = app
        self._barrier = barrier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] in _READING:
            await self.app(scope, receive, send)
            return
        refused = False

        async def confirming(message: Message) -> None:
            nonlocal refused
            begins = message["type"] == "http.response.start" and message["status"] < 400
            if begins and not scope.get(CONFIRMS_PARTS):
                try:
                    await self._barrier.confirm(history)
                except REDIS_ERRORS as error:
                    refused = True
                    await self._refuse(error, scope, receive, send)
            if not refused:
                await send(message)

        try:
            history = await self._barrier.history()
        except REDIS_ERRORS as error:
            await self._refuse(error, scope, receive, send)
            return
        await self.app(scope, receive, confirming)

    async def _refuse(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        problem = redis_unavailable(error)
        if problem is None:
            raise error
        await problem.response()(scope, receive, send)
