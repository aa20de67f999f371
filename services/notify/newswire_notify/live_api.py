"""The readers' API: the live stream."""

from collections.abc import AsyncIterator

from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse

from newswire.accounts import reader
from newswire.filters import filter_from_params
from newswire.problems import invalid
from newswire.requests import single_headers
from newswire_notify.live import Tail, position
from newswire_notify.settings import NotifySettings

LAST_EVENT_ID = "Last-Event-ID"


def router(tail: Tail, settings: NotifySettings) -> APIRouter:
    """Return the live stream."""
    routes = APIRouter(tags=["live stream"])

    @routes.get(
        "/v1/stream",
        dependencies=[Depends(reader), Depends(single_headers)],
        response_class=StreamingResponse,
        summary="Follow what is published, as it happens (server-sent events)",
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def stream(request: Request) -> StreamingResponse:
        filter_ = filter_from_params(request.query_params)
        after = _last_event_id(request)
        stopping = request.app.state.stopping
        frames: AsyncIterator[bytes] = tail.follow(
            filter_,
            after,
            limit=settings.live_queue,
            heartbeat=settings.live_heartbeat,
            stopped=lambda: stopping.is_set() or tail.ended,
        )
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(frames, media_type="text/event-stream", headers=headers)

    return routes


def _last_event_id(request: Request) -> str | None:
    sent = request.headers.get(LAST_EVENT_ID, "").strip()
    if not sent:
        return None
    try:
        position(sent)
    except ValueError:
        raise invalid(
            LAST_EVENT_ID, "is not an id of this stream", "send the id of the last event you saw, or leave it out"
        ) from None
    return sent
