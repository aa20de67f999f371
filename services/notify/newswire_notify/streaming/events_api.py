"""Pull: events by page over HTTP, for clients that cannot keep a stream open, or mirror everything."""

import asyncio
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from newswire.auth.authentication import reader
from newswire.auth.credentials import Caller, find_caller
from newswire.auth.signed_tokens import InvalidTokenError, SignedTokens
from newswire.http.client_address import network_of_client
from newswire.http.filter_params import filter_from_params
from newswire.http.middleware import UNTIMED
from newswire.http.pagination import caller_identity, cursor_refused
from newswire.http.problem_responses import problems
from newswire.http.problems import invalid, unauthorised
from newswire.http.read_limits import Cost, charge_request
from newswire.http.request_parsing import limit_param, single_headers
from newswire_notify.settings import NotifySettings
from newswire_notify.streaming.broadcaster import StreamBroadcaster
from newswire_notify.streaming.connection_limiter import ConnectionLimiter
from newswire_notify.streaming.live_api import end_when_gone, parameters
from newswire_notify.streaming.pull import Page, Pull, PullPosition, read_cursor, write_cursor
from newswire_notify.streaming.sse_client import LOST_ACCESS
from newswire_notify.streaming.stream_events import StreamFilter

DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 100, 1000
MAX_WAIT_SECONDS = 60
"""Seconds."""


class EventPage(BaseModel):
    """Events in stream order; events from the records in the order of the creation of their articles."""

    events: list[dict[str, Any]]
    """CloudEvents, as the live stream sends them."""
    next: str
    """The cursor of the next page: send it as ``after``."""
    more: bool
    """Whether more events follow now."""
    restarted: bool
    """Whether the cursor's position no longer exists: the events start again with the current state of every article."""


def events_router(
    pull: Pull,
    broadcaster: StreamBroadcaster,
    limiter: ConnectionLimiter,
    tokens: SignedTokens,
    settings: NotifySettings,
) -> APIRouter:
    """Return the path of pull."""
    routes = APIRouter(tags=["live stream"])

    @routes.get(
        "/v1/events",
        dependencies=[Depends(single_headers)],
        response_model=EventPage,
        summary="Read events page by page, from the first article or from a cursor",
        responses=problems("invalid-cursor", "cursor-expired", "too-many-streams"),
        openapi_extra=parameters(
            after="The `next` of the previous page, or an id of the live stream; `0`: the current state of every article, then"
            " what follows. Absent: from now on.",
            limit=(
                "Maximum number of events.",
                {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE},
            ),
            wait=(
                "Seconds to wait for an event where there is none.",
                {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_SECONDS, "default": 0},
            ),
        ),
    )
    async def events(request: Request, caller: Annotated[Caller | None, Depends(reader)]) -> Response:
        params = request.query_params
        await charge_request(request, caller, Cost.SEARCH, lasting=bool(params.get("wait")))
        filter_ = filter_from_params(params, ("after", "limit", "wait"))
        limit = limit_param(params.get("limit"), DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        wait = _wait(params.get("wait"))
        bound_to = [request.scope["path"], filter_.canonical(), caller_identity(caller)]
        after = await _after(params.get("after"), tokens, bound_to)
        stream_filter = StreamFilter.combine([filter_], caller.entitlement if caller else None)
        position = await pull.newest() if after is None else after
        if wait:
            page = await _waited(request, caller, stream_filter, position, limit, wait)
        else:
            page = await pull.page(stream_filter, position, limit)
        return _answer(page, await write_cursor(page.next, tokens, bound_to))

    async def _waited(
        request: Request,
        caller: Caller | None,
        stream_filter: StreamFilter,
        position: PullPosition,
        limit: int,
        wait: int,
    ) -> Page:
        request.scope[UNTIMED] = True
        stopping: asyncio.Event = request.app.state.stopping
        restarted = False
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        with (
            limiter.admit(caller, network_of_client(request.scope)),
            broadcaster.connect(
                stream_filter,
                limit=settings.live_queue,
                account=caller.account if caller else None,
                ends=caller.expires if caller else None,
            ) as client,
        ):
            watching = asyncio.create_task(end_when_gone(request.receive, client))
            try:
                # The key may have been revoked after its check and before changes are followed.
                changed = await access_changed(request, caller)
                await broadcaster.resume(client, None)  # later events wake it
                while True:
                    client.waiting.clear()
                    client.wakeup.clear()
                    if client.ended in LOST_ACCESS:
                        await access_changed(request, caller)
                        changed = True
                    if changed:
                        return Page(
                            position, restarted=restarted
                        )  # the client asks again, and its access is checked again
                    page = await pull.page(stream_filter, position, limit)
                    if client.ended in LOST_ACCESS:
                        continue  # access ended while the page was read: do not return it
                    restarted = page.restarted = page.restarted or restarted
                    over = stopping.is_set() or client.ended is not None or loop.time() >= until
                    if page.events or page.more or over:
                        return page
                    position = page.next
                    try:
                        async with asyncio.timeout_at(until):
                            await client.wakeup.wait()
                    except TimeoutError:
                        return page
            finally:
                watching.cancel()

    return routes


async def access_changed(request: Request, caller: Caller | None) -> bool:
    """Return whether the entitlement of a caller has changed.

    Raises:
        newswire.http.problems.ProblemError: 401 where its key is no longer valid.
    """
    if caller is None:
        return False
    current = await find_caller(request.app.state.redis, request.app.state.keys, caller.key_id)
    if current is None:
        raise unauthorised("the API key is revoked or expired")
    return current.entitlement != caller.entitlement


async def _after(sent: str | None, tokens: SignedTokens, bound_to: Any) -> PullPosition | None:
    if sent is None:
        return None
    try:
        return await read_cursor(sent, tokens, bound_to)
    except InvalidTokenError as error:
        raise cursor_refused(error, "after") from None


def _wait(sent: str | None) -> int:
    if sent is None:
        return 0
    if not (sent.isascii() and sent.isdigit() and int(sent[:9]) <= MAX_WAIT_SECONDS):
        raise invalid("wait", f"is not a whole number from 0 to {MAX_WAIT_SECONDS}", "send for example 30")
    return int(sent)


def _answer(page: Page, following: str) -> Response:
    about = orjson.dumps({"next": following, "more": page.more, "restarted": page.restarted})
    events = [part for event in page.events for part in (b",", event)][1:]
    body = b"".join((b'{"events":[', *events, b"],", about[1:]))  # copied once: a page may have several MiB
    return Response(body, headers={"Cache-Control": "no-store"}, media_type="application/json")
