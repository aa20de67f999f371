"""Events by the page over HTTP, for whoever cannot hold a stream open, or wants to mirror everything."""

import asyncio
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from newswire.auth.authentication import reader
from newswire.auth.credentials import Caller, find_caller
from newswire.auth.signed_tokens import InvalidTokenError, SignedTokens
from newswire.filters import filter_from_params
from newswire.http.client_address import client_address
from newswire.http.pagination import caller_identity, cursor_refused
from newswire.http.problem_responses import problems
from newswire.http.problems import invalid, unauthorised
from newswire.http.read_limits import Cost, charge_request
from newswire.http.request_parsing import limit_param, single_headers
from newswire_notify.settings import NotifySettings
from newswire_notify.streaming.broadcaster import LOST_ACCESS, StreamBroadcaster
from newswire_notify.streaming.connection_limiter import ConnectionLimiter
from newswire_notify.streaming.live_api import end_when_gone, parameters
from newswire_notify.streaming.pull import Page, Pull, PullPosition, read_cursor, write_cursor
from newswire_notify.streaming.stream_events import StreamFilter

DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 100, 1000
MAX_WAIT_SECONDS = 60
"""Seconds."""


class EventPage(BaseModel):
    """Events in the order in which they happened; those from the records in the order in which articles were made."""

    events: list[dict[str, Any]]
    """CloudEvents, as the live stream sends them."""
    next: str
    """The cursor to ask with for what follows: send it as ``after``."""
    more: bool
    """Whether something follows already."""
    restarted: bool
    """Whether the place asked for is gone: it begins anew with every article as it is now."""


def events_router(
    pull: Pull,
    broadcaster: StreamBroadcaster,
    limiter: ConnectionLimiter,
    tokens: SignedTokens,
    settings: NotifySettings,
) -> APIRouter:
    """Return the pages of events."""
    routes = APIRouter(tags=["live stream"])

    @routes.get(
        "/v1/events",
        dependencies=[Depends(single_headers)],
        response_model=EventPage,
        summary="Read events page by page, from the first article on or from a cursor",
        responses=problems("invalid-cursor", "cursor-expired", "too-many-streams"),
        openapi_extra=parameters(
            after="The `next` of the page before, or an id of the live stream; `0`: every article as it is now, then what"
            " follows. Absent: from now on.",
            limit=(
                "How many events at most.",
                {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE},
            ),
            wait=(
                "How many seconds to wait for an event where there is none.",
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
        place = await pull.newest() if after is None else after
        if wait:
            page = await _waited(request, caller, stream_filter, place, limit, wait)
        else:
            page = await pull.page(stream_filter, place, limit)
        return _answer(page, await write_cursor(page.next, tokens, bound_to))

    async def _waited(
        request: Request, caller: Caller | None, stream_filter: StreamFilter, place: PullPosition, limit: int, wait: int
    ) -> Page:
        stopping: asyncio.Event = request.app.state.stopping
        restarted = False
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        with (
            limiter.admit(caller, client_address(request.scope)),
            broadcaster.connect(
                stream_filter,
                limit=settings.live_queue,
                account=caller.account if caller else None,
                ends=caller.expires if caller else None,
            ) as client,
        ):
            watching = asyncio.create_task(end_when_gone(request.receive, client))
            try:
                # The key may have been revoked between its check and the moment from which changes are followed.
                changed = await access_changed(request, caller)
                while True:
                    client.waiting.clear()
                    client.wakeup.clear()
                    if client.ended in LOST_ACCESS:
                        await access_changed(request, caller)
                        changed = True
                    if changed:
                        return Page(place, restarted=restarted)  # it comes again, and is looked at again
                    page = await pull.page(stream_filter, place, limit)
                    if client.ended in LOST_ACCESS:
                        continue  # it ended while the page was read: nothing of that is for the caller any more
                    restarted = page.restarted = page.restarted or restarted
                    over = stopping.is_set() or client.ended is not None or loop.time() >= until
                    if page.events or page.more or over:
                        return page
                    place = page.next
                    try:
                        async with asyncio.timeout_at(until):
                            await client.wakeup.wait()
                    except TimeoutError:
                        return page
            finally:
                watching.cancel()

    return routes


async def access_changed(request: Request, caller: Caller | None) -> bool:
    """Return whether a caller may read something else by now.

    Raises:
        newswire.http.problems.ProblemError: 401, where its key is not valid any more.
    """
    if caller is None:
        return False
    current = await find_caller(request.app.state.redis, request.app.state.keys, caller.key_id)
    if current is None:
        raise unauthorised("the key sent is not valid any more")
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
    body = b"".join((b'{"events":[', *events, b"],", about[1:]))  # copied once: a page may have some MiB
    return Response(body, headers={"Cache-Control": "no-store"}, media_type="application/json")
