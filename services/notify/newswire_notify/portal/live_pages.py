"""Deliveries as they happen: a page that scripts keep up to date by server-sent events, and that is loaded again without them."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from newswire.concurrency.backoff import pause
from newswire.http.client_address import network_of_client
from newswire.http.problems import ProblemError
from newswire.http.server import mark_live
from newswire.http.templating import add_asset
from newswire.timestamps import from_epoch_ms
from newswire_notify.deliveries.queue import Queue
from newswire_notify.deliveries.service import State
from newswire_notify.portal.access import PATH, PortalAccess
from newswire_notify.portal.article_titles import ArticleTitles
from newswire_notify.portal.frame import PACKAGE, PortalFrame, endpoint_name
from newswire_notify.streaming.connection_limiter import ConnectionLimiter

SCRIPT = add_asset(PACKAGE, "portal_live.js")
STREAM_PATH = f"{PATH}/live/stream"
MAX_SUBSCRIPTIONS = 200
NEWEST_PER_SUBSCRIPTION = 20
MAX_ROWS = 100
POLL_SECONDS = 1.0
CHECK_SECONDS = 15.0
"""How often it is checked that the visitor may still look; also the time between comments that keep the connection open."""


@dataclass(frozen=True, slots=True)
class LiveDelivery:
    """A delivery in the list."""

    id: str
    subscription: str
    endpoint: str
    state: str
    attempts: int
    type: str
    """The last part of the event's type: ``published``, ``retracted`` or ``disabled``."""
    created_ms: int
    article: str
    version: int

    def document(self, title: str) -> dict[str, object]:
        """Return what the script reads."""
        moment = from_epoch_ms(self.created_ms).isoformat(timespec="seconds").replace("+00:00", "Z")
        return {
            "id": self.id,
            "path": f"{PATH}/subscriptions/{self.subscription}/deliveries/{self.id}",
            "endpoint": self.endpoint,
            "state": self.state,
            "attempts": self.attempts,
            "type": self.type,
            "title": title,
            "created": moment,
        }


class RecentDeliveries:
    """Reads the latest deliveries of an account."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def of(self, account: str, names: dict[str, str]) -> list[LiveDelivery]:
        """Return the latest deliveries, oldest first. ``names``: of the endpoints known so far, to which new ones are added."""
        rows = await self._queue.call(
            "recent_deliveries",
            account=account,
            subscriptions=MAX_SUBSCRIPTIONS,
            limit=NEWEST_PER_SUBSCRIPTION,
            rows=MAX_ROWS,
        )
        await self._add_names({row[1].decode() for row in rows} - names.keys(), names)
        found = [
            LiveDelivery(
                row[0].decode(),
                row[1].decode(),
                names[row[1].decode()],
                row[2].decode(),
                int(row[3]),
                row[4].decode().split(".")[-2],
                int(row[6]),
                row[5].decode(),
                int(row[7]),
            )
            for row in rows
        ]
        return sorted(found, key=lambda each: (each.created_ms, each.id))

    async def _add_names(self, unknown: set[str], names: dict[str, str]) -> None:
        async with self._queue.redis.pipeline(transaction=False) as pipe:
            for subscription in unknown:
                pipe.hget(self._queue.key("subscription", subscription), "url")
            urls = await pipe.execute()
        names |= {each: endpoint_name((url or b"").decode()) for each, url in zip(unknown, urls, strict=True)}


def router(
    access: PortalAccess, frame: PortalFrame, queue: Queue, titles: ArticleTitles, limiter: ConnectionLimiter
) -> APIRouter:
    """Return the page and its stream."""
    routes = frame.routes()
    recent = RecentDeliveries(queue)

    @routes.get(f"{PATH}/live")
    async def live_page(request: Request) -> Response:
        visitor = await access.visitor(request)
        rows = await recent.of(visitor.account.name, {})
        return frame.page(
            request,
            "portal_live.html",
            visitor,
            rows=rows[::-1],
            titles=await titles.of((each.article, each.version) for each in rows),
            at=from_epoch_ms,
            scripts=[SCRIPT],
            texts_of_script=_texts(frame.texts(request)),
        )

    @routes.get(STREAM_PATH)
    async def live_stream(request: Request) -> Response:
        visitor = await access.visitor(request)
        account = visitor.account.name

        async def may_look() -> bool:
            try:
                return (await access.visitor(request)).account.name == account
            except ProblemError:
                return False

        async def frames() -> AsyncIterator[bytes]:
            yield b"retry: 3000\n\n"
            stopping: asyncio.Event = request.app.state.stopping
            seen: Mapping[str, LiveDelivery] = {}
            names: dict[str, str] = {}
            checked_at = time.monotonic()
            while not stopping.is_set():
                found = {each.id: each for each in await recent.of(account, names)}
                changed = [each for each in found.values() if seen.get(each.id) != each]
                titled = await titles.of((each.article, each.version) for each in changed)
                for each in changed:
                    document = each.document(titled.get((each.article, each.version), ""))
                    yield b"event: delivery\ndata: %b\n\n" % orjson.dumps(document)
                seen = found
                if time.monotonic() - checked_at >= CHECK_SECONDS:
                    if not await may_look():
                        yield b"event: ended\ndata: {}\n\n"
                        return
                    checked_at = time.monotonic()
                    yield b": still here\n\n"
                await pause(stopping, POLL_SECONDS)

        return _LiveResponse(frames(), limiter)

    return routes


def _texts(texts: Mapping[str, str]) -> dict[str, object]:
    """Return the texts of the script."""
    return {
        "pause": texts["pause_live"],
        "go_on": texts["go_on_live"],
        "new_rows": texts["live_new"],
        "ended": texts["live_ended"],
        "states": {str(state): texts[f"state_{state}"] for state in State},
        "types": {name: texts[f"type_{name}"] for name in ("published", "retracted", "disabled")},
    }


class _LiveResponse(StreamingResponse):
    """Streams within the limits of live connections."""

    def __init__(self, frames: AsyncIterator[bytes], limiter: ConnectionLimiter) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(frames, 200, headers, "text/event-stream; charset=utf-8")
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        with self._limiter.admit(None, network_of_client(scope)):
            mark_live(scope)
            await super().__call__(scope, receive, send)
