"""The first page: the subscriptions of an account with the health of their endpoints."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from fastapi import APIRouter, Request
from starlette.responses import Response

from newswire.http.pagination import list_position, parse_list_position
from newswire.timestamps import from_epoch_ms
from newswire_notify.deliveries.queue import Queue
from newswire_notify.portal.access import PATH, PortalAccess
from newswire_notify.portal.frame import PortalFrame
from newswire_notify.subscriptions.models import Subscription
from newswire_notify.subscriptions.repository import Subscriptions

PAGE = 25


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """A subscription with the state of its queue."""

    subscription: Subscription
    waiting: int
    """Deliveries that are due, or held while it is paused or disabled."""
    in_flight: int
    next_at: datetime | None
    """When the next attempt is due; it may be past."""
    disabled_at: datetime | None
    """When its endpoint is disabled unless it recovers; None while it does not fail."""

    @property
    def at_risk(self) -> bool:
        """Whether the endpoint fails for so long that its owner is warned."""
        return self.disabled_at is not None and self.subscription.health.probe_at is not None


async def rows_of(queue: Queue, subscriptions: list[Subscription], disabled_after: timedelta) -> list[SubscriptionRow]:
    """Return the rows of subscriptions, in one round trip."""
    async with queue.redis.pipeline(transaction=False) as pipe:
        for each in subscriptions:
            pipe.zcard(queue.key("due", each.id))
            pipe.zcard(queue.key("paused", each.id))
            pipe.zcard(queue.key("in_flight", each.id))
            pipe.zrange(queue.key("due", each.id), 0, 0, withscores=True)
        found = await pipe.execute()
    rows = []
    for number, each in enumerate(subscriptions):
        due, held, in_flight, first = found[4 * number : 4 * number + 4]
        next_at = from_epoch_ms(max(first[0][1], (each.health.probe_at or 0) * 1000)) if first else None
        since = each.health.failing_since
        disabled_at = None if since is None else from_epoch_ms(since * 1000) + disabled_after
        rows.append(SubscriptionRow(each, due + held, in_flight, next_at, disabled_at))
    return rows


def router(
    access: PortalAccess, frame: PortalFrame, subscriptions: Subscriptions, queue: Queue, disabled_after: timedelta
) -> APIRouter:
    """Return the page."""
    routes = frame.routes()

    @routes.get(PATH)
    async def overview(request: Request) -> Response:
        visitor = await access.visitor(request)
        after = parse_list_position(request.query_params.get("after"))
        page: list[Subscription] = []
        async for found in subscriptions.of(visitor.account.name, after):
            page.append(found)
            if len(page) > PAGE:
                break
        rows = await rows_of(queue, page[:PAGE], disabled_after)
        last = page[PAGE - 1] if len(page) > PAGE else None
        return frame.page(
            request,
            "portal_overview.html",
            visitor,
            rows=rows,
            done=request.query_params.get("done"),
            total=await queue.redis.zcard(queue.key("subscriptions", visitor.account.name)),
            following=list_position(last.created_at, last.id) if last else None,
        )

    return routes
