"""The pages of deliveries: the list, a delivery with its attempts, and the sheets that replay."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha1
from typing import Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Request
from starlette.datastructures import QueryParams
from starlette.responses import Response

from newswire.http.forms import FormData
from newswire.http.pagination import parse_list_position
from newswire.http.problem_handlers import ProblemMakers, as_problem
from newswire.http.problems import not_found
from newswire.storage.document_archive import DocumentUnavailableError
from newswire.timestamps import epoch_ms, from_epoch_ms
from newswire_notify.deliveries.history import removed_early
from newswire_notify.deliveries.owner_replays import OwnerReplays
from newswire_notify.deliveries.queue import Queue
from newswire_notify.deliveries.service import MAX_EXAMINED, Deliveries, DeliveryFilter, State
from newswire_notify.portal.access import PortalAccess, Visitor
from newswire_notify.portal.acts import FIELD, Acts
from newswire_notify.portal.article_titles import ArticleTitles
from newswire_notify.portal.frame import PortalFrame, see
from newswire_notify.portal.reasons import reason_of
from newswire_notify.portal.requests_sent import DeliveryFacts, SentRequests
from newswire_notify.portal.subscription_pages import address_of
from newswire_notify.subscriptions.models import Subscription

PAGE = 25
MAX_SHOWN_BYTES = 16 * 1024
"""Of the body of a request."""
MAX_TIME_CHARS, MAX_ID_CHARS = 40, 200
PATTERN = "/portal/subscriptions/{subscription_id}"


@dataclass(frozen=True, slots=True)
class DeliveryParts:
    """What the pages use of notify."""

    deliveries: Deliveries
    replays: OwnerReplays
    requests: SentRequests
    titles: ArticleTitles
    queue: Queue
    acts: Acts
    makers: ProblemMakers


@dataclass(frozen=True, slots=True)
class DeliveryQuery:
    """Which deliveries a page lists, as the address says; what cannot be read is left out, and named in ``unread``."""

    state: State | None = None
    since: datetime | None = None
    until: datetime | None = None
    event: str = ""
    unread: tuple[str, ...] = ()

    @classmethod
    def read(cls, params: QueryParams) -> "DeliveryQuery":
        """Read the parameters of a list."""
        state, unread = params.get("state", ""), []
        times: dict[str, datetime | None] = {}
        for name in ("since", "until"):
            text = params.get(name, "").strip()
            times[name] = read_time(text)
            if text and times[name] is None:
                unread.append(name)
        return cls(
            State(state) if state in set(State) else None,
            times["since"],
            times["until"],
            params.get("event", "").strip()[:MAX_ID_CHARS],
            tuple(unread),
        )

    def filter(self, after: tuple[int, str] | None) -> DeliveryFilter:
        """Return the filter of the list."""
        since = None if self.since is None else epoch_ms(self.since)
        until = None if self.until is None else epoch_ms(self.until)
        return DeliveryFilter(self.state, None, since, until, after)


def read_time(text: str) -> datetime | None:
    """Return a time as forms send it, in UTC unless it names an offset; None if it is none."""
    try:
        moment = datetime.fromisoformat(text[:MAX_TIME_CHARS])
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment if 0 <= moment.timestamp() < 10**11 else None
    except (ValueError, OverflowError):
        return None


def router(access: PortalAccess, frame: PortalFrame, parts: DeliveryParts) -> APIRouter:
    """Return the pages."""
    routes = frame.routes()

    @routes.get(f"{PATTERN}/deliveries")
    async def list_page(request: Request, subscription_id: str) -> Response:
        visitor, found = await access.owner(request, subscription_id)
        params = request.query_params
        wanted = DeliveryQuery.read(params)
        if wanted.event:
            rows, following = await of_event(found, wanted.event), None
        else:
            page = await parts.deliveries.of(found.id, PAGE, wanted.filter(parse_list_position(params.get("after"))))
            rows, following = page.rows, page.next
        kept = [(name, value) for name, value in params.items() if name in ("state", "since", "until")]
        after = f"{following[0]}-{following[1]}" if following else ""
        return frame.page(
            request,
            "portal_deliveries.html",
            visitor,
            found=found,
            rows=[row | {"why": reason_of(row["attempts"][-1]) if row["attempts"] else None} for row in rows],
            titles=await parts.titles.of((row["article"], row["version"]) for row in rows),
            wanted=wanted,
            sent=params,
            states=list(State),
            examined=MAX_EXAMINED,
            following=urlencode([*kept, ("after", after)]) if after else None,
            removed=await removed_early(parts.queue, found.id),
            replayed=_count(params.get("replayed")),
        )

    async def of_event(found: Subscription, event: str) -> list[dict[str, Any]]:
        """Return the delivery with this id, or of this event."""
        ids = (event, f"msg_{sha1(f'{event}|{found.id}'.encode(), usedforsecurity=False).hexdigest()}")
        rows = [await parts.deliveries.get(found.id, each) for each in ids]
        return [row for row in rows if row is not None][:1]

    @routes.get(f"{PATTERN}/deliveries/{{delivery_id}}")
    async def delivery_page(request: Request, subscription_id: str, delivery_id: str) -> Response:
        visitor, found = await access.owner(request, subscription_id)
        return await shown(request, visitor, found, delivery_id)

    async def shown(
        request: Request, visitor: Visitor, found: Subscription, delivery_id: str, error: str = ""
    ) -> Response:
        row = await parts.deliveries.get(found.id, delivery_id)
        attempts = await parts.deliveries.attempts(found.id, delivery_id)
        if row is None or attempts is None:
            raise not_found("delivery")
        facts = DeliveryFacts(row["id"], row["event"], row["type"], row["article"], row["version"], row["reason"])
        body, away = None, False
        try:
            body = await parts.requests.body(found, facts)
        except DocumentUnavailableError:
            away = True
        return frame.page(
            request,
            "portal_delivery.html",
            visitor,
            status=409 if error else 200,
            found=found,
            row=row,
            away=away,
            attempts=[each | {"why": reason_of(each)} for each in reversed(attempts)],
            title=_title(body),
            next_at=_next_at(found, row),
            body=None if body is None else body[:MAX_SHOWN_BYTES].decode("utf-8", "replace"),
            body_bytes=len(body or b""),
            shortened=body is not None and len(body) > MAX_SHOWN_BYTES,
            error=error,
        )

    @routes.post(f"{PATTERN}/deliveries/{{delivery_id}}")
    async def act(request: Request, subscription_id: str, delivery_id: str) -> Response:
        visitor, found = await access.owner(request, subscription_id)
        sent = await access.read_form(request, visitor)
        path = f"{address_of(found.id)}/deliveries/{delivery_id}"

        async def replay() -> str:
            if not await parts.replays.one(found, delivery_id, by=visitor.actor):
                raise not_found("delivery")
            return path

        try:
            if sent.one("do") == "cancel":
                await parts.replays.cancel(found, delivery_id, by=visitor.actor)
            else:
                await parts.acts.once(visitor.token, sent.one(FIELD), replay)
        except Exception as error:
            known = as_problem(error, parts.makers)
            if known is None or known.status != 409:
                raise
            return await shown(request, visitor, found, delivery_id, frame.problem_text(request, known))
        return see(path)

    @routes.get(f"{PATTERN}/replay")
    async def replay_page(request: Request, subscription_id: str) -> Response:
        visitor, found = await access.owner(request, subscription_id)
        return await sheet(request, visitor, found)

    async def sheet(
        request: Request, visitor: Visitor, found: Subscription, sent: FormData | None = None, error: str = ""
    ) -> Response:
        typed = sent.one("since") if sent else request.query_params.get("since", "")
        since = read_time(typed.strip())
        return frame.page(
            request,
            "portal_replay.html",
            visitor,
            status=409 if error else 200,
            found=found,
            dead=await parts.replays.count_failed(found.id),
            since=since,
            typed=typed[:MAX_TIME_CHARS],
            unread=bool(typed.strip()) and since is None,
            counted=None if since is None else await parts.replays.count_since(found.id, epoch_ms(since)),
            error=error,
        )

    @routes.post(f"{PATTERN}/replay")
    async def replay(request: Request, subscription_id: str) -> Response:
        visitor, found = await access.owner(request, subscription_id)
        sent = await access.read_form(request, visitor)
        since = read_time(sent.one("since").strip())

        async def do() -> str:
            if sent.one("do") == "failed":
                upto = sent.one("upto")
                moment = int(upto) if upto.isascii() and upto.isdigit() and len(upto) <= 15 else 0
                count = await parts.replays.failed(found, moment, by=visitor.actor)
                return f"{address_of(found.id)}/deliveries?replayed={count}"
            if since is None:
                raise not_found("time")
            await parts.replays.since(found, epoch_ms(since), by=visitor.actor)
            return address_of(found.id)

        try:
            return see(await parts.acts.once(visitor.token, sent.one(FIELD), do))
        except Exception as error:
            known = as_problem(error, parts.makers)
            if known is None or known.status != 409:
                raise
            return await sheet(request, visitor, found, sent, frame.problem_text(request, known))

    return routes


def _title(body: bytes | None) -> str:
    """Return the title of the article in a body; empty where it has none."""
    data = orjson.loads(body).get("data") if body else None
    return str(data.get("title") or "") if isinstance(data, dict) else ""


def _next_at(found: Subscription, row: dict[str, Any]) -> datetime | None:
    """Return when a waiting delivery is attempted: not before the next probe of its endpoint."""
    if row["due_at"] is None:
        return None
    return max(datetime.fromisoformat(row["due_at"]), from_epoch_ms((found.health.probe_at or 0) * 1000))


def _count(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 9 else None
