"""The live stream over HTTP, and tokens for browsers."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from newswire.auth.authentication import authorised, reader
from newswire.auth.authentication_failures import AuthenticationFailures
from newswire.auth.credential_checks import check_credential
from newswire.auth.credentials import Caller, Scope, find_caller
from newswire.filter_input import FilterInput
from newswire.filters import PARAMETERS, Filter
from newswire.http.client_address import client_address, client_of, network_of_client
from newswire.http.filter_params import filter_from_params
from newswire.http.pagination import DATE_TIME, document_parameters
from newswire.http.problem_responses import problems
from newswire.http.problems import forbidden, invalid, malformed, unauthorised
from newswire.http.read_limits import Cost, charge_request
from newswire.http.request_parsing import ParsedBody, json_body, single_headers
from newswire.http.server import direct_body, mark_live
from newswire.messaging.stream_position import Position, format_position, parse_position
from newswire.validation.fields import WHOLE, Moment
from newswire_notify.settings import NotifySettings
from newswire_notify.streaming.broadcaster import StreamBroadcaster
from newswire_notify.streaming.connection_limiter import ConnectionLimiter
from newswire_notify.streaming.sse_client import ACCESS_CHANGED, ResumeFrom, SseClient
from newswire_notify.streaming.stream_events import StreamFilter
from newswire_notify.streaming.tokens import MAX_LIFETIME_SECONDS, StreamTokens, TokenTooLongError

LAST_EVENT_ID = "Last-Event-ID"
RESUMED_FROM = b"newswire-resumed-from"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)
_QUERY = "The query language of search, without `prefix*` and dates."
_FILTERS = {
    "publisher": "Repeatable: any of these; a leading `-` excludes.",
    "category": "Repeatable, as `publisher`.",
    "topic": "Repeatable, as `publisher`.",
    "author": "Repeatable, as `publisher`.",
    "language": "Repeatable, as `publisher`.",
}


class TokenDraft(BaseModel):
    """The body of a request for a token."""

    model_config = ConfigDict(extra="forbid")

    filter: FilterInput = Field(default_factory=Filter)
    """The most that a holder of the token can read."""
    expires_in: Annotated[int, Field(ge=1, le=MAX_LIFETIME_SECONDS), WHOLE] = MAX_LIFETIME_SECONDS
    """Lifetime in seconds: afterwards it opens no streams, and those it opened end."""


class CreatedToken(BaseModel):
    """A token for the live stream."""

    token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AdmittedReader:
    """An authenticated or anonymous reader: caller, token filter and end of access."""

    caller: Caller | None = None
    token_filter: Filter | None = None
    ends: float | None = None

    def stream_filter(self, filter_: Filter) -> StreamFilter:
        """Return the filters that apply to a request."""
        return StreamFilter.combine([filter_, self.token_filter], self.caller.entitlement if self.caller else None)

    @property
    def account(self) -> str | None:
        """The account of the reader."""
        return self.caller.account if self.caller else None


def parameters(**others: str | tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the filter parameters of live stream and pull, and others, for an operation's ``openapi_extra``."""
    members = Filter.model_json_schema()["properties"]
    filters = {name: (text, members[PARAMETERS[name]]) for name, text in _FILTERS.items()}
    return document_parameters(q=(_QUERY, {"type": "string", "maxLength": 1000}), **filters, **others)


def live_router(
    broadcaster: StreamBroadcaster, limiter: ConnectionLimiter, tokens: StreamTokens, settings: NotifySettings
) -> APIRouter:
    """Return the paths of the live stream and its tokens."""
    routes = APIRouter(tags=["live stream"])

    async def admitted(request: Request) -> AdmittedReader:
        admitted_reader = await authenticated(request)
        await charge_request(request, admitted_reader.caller, Cost.SEARCH, lasting=True)
        return admitted_reader

    async def authenticated(request: Request) -> AdmittedReader:
        token = request.query_params.get("token")
        if token is None:
            caller = await reader(request)
            return AdmittedReader(caller, None, caller.expires if caller else None)
        if "authorization" in request.headers:
            raise malformed("token", "was sent together with a key in a header", "send only one of them")
        failures: AuthenticationFailures = request.app.state.authentication_failures
        client = client_of(request.scope)
        await check_credential(request, token)
        bearer = await tokens.read(token)
        if bearer is None:
            failures.failed(client, token, client_address(request.scope))
            raise unauthorised("the token is invalid or expired; request a new one")
        failures.succeeded(token)
        if not settings.public_read and not bearer.caller.may(Scope.READ):
            raise forbidden(Scope.READ)
        ends = min(bearer.ends, bearer.caller.expires or bearer.ends)
        return AdmittedReader(bearer.caller, bearer.filter, ends)

    admitted.public_reading = True  # type: ignore[attr-defined]

    @routes.get(
        "/v1/stream",
        dependencies=[Depends(single_headers)],
        response_class=StreamingResponse,
        summary="Follow articles as they are published (server-sent events)",
        responses={
            200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
            **problems("too-many-streams"),
        },
        openapi_extra=parameters(
            since=(
                "A stream id or an RFC 3339 time: start after it. `Last-Event-ID` takes precedence.",
                {"anyOf": [DATE_TIME, {"type": "string", "pattern": "^[0-9]+-[0-9]+$"}]},
            ),
            token="A token from `POST /v1/stream/tokens`, for clients that cannot send headers.",  # noqa: S106 (a description)
        ),
    )
    async def stream(request: Request, admitted_reader: Annotated[AdmittedReader, Depends(admitted)]) -> Response:
        filter_ = filter_from_params(request.query_params, ("since", "token"))
        return _LiveResponse(
            broadcaster,
            limiter,
            settings,
            admitted_reader,
            admitted_reader.stream_filter(filter_),
            _start(request),
            request,
        )

    @routes.post(
        "/v1/stream/tokens",
        status_code=201,
        response_model=CreatedToken,
        summary="Create a token for the live stream, for a browser's EventSource",
    )
    async def make_token(
        caller: Annotated[Caller, Depends(authorised(Scope.READ))],
        sent: Annotated[ParsedBody[TokenDraft], Depends(json_body(TokenDraft, optional=True))],
    ) -> Response:
        try:
            token, ends = await tokens.make(caller, sent.model.filter, sent.model.expires_in)
        except TokenTooLongError:
            raise invalid("filter", "is too large for a token", "use fewer values") from None
        expires_at = datetime.fromtimestamp(ends, UTC).isoformat().replace("+00:00", "Z")
        body = orjson.dumps({"token": token, "expires_at": expires_at})
        return Response(body, 201, {"Cache-Control": "no-store"}, "application/json")

    return routes


class _LiveResponse(Response):
    """Streams events until either side ends the connection."""

    def __init__(
        self,
        broadcaster: StreamBroadcaster,
        limiter: ConnectionLimiter,
        settings: NotifySettings,
        admitted_reader: AdmittedReader,
        stream_filter: StreamFilter,
        start: ResumeFrom | None,
        request: Request,
    ) -> None:
        self._broadcaster = broadcaster
        self._limiter = limiter
        self._settings = settings
        self._admitted_reader = admitted_reader
        self._stream_filter = stream_filter
        self._start = start
        self._stopping: asyncio.Event = request.app.state.stopping
        self._redis = request.app.state.redis
        self._keys = request.app.state.keys
        self.background = None

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        broadcaster, admitted_reader, stream_filter = self._broadcaster, self._admitted_reader, self._stream_filter
        mark_live(scope)
        with (
            self._limiter.admit(admitted_reader.caller, network_of_client(scope)),
            broadcaster.connect(
                stream_filter,
                limit=self._settings.live_queue,
                account=admitted_reader.account,
                ends=admitted_reader.ends,
            ) as client,
        ):
            # The key may have been revoked after its check and before changes are followed.
            if (
                admitted_reader.caller is not None
                and await find_caller(self._redis, self._keys, admitted_reader.caller.key_id) != admitted_reader.caller
            ):
                client.end(ACCESS_CHANGED)
            resumed = await broadcaster.resume(client, self._start)
            await send({"type": "http.response.start", "status": 200, "headers": _headers(resumed.after)})
            client.body = direct_body(scope)
            watching = asyncio.create_task(end_when_gone(receive, client))
            frames = broadcaster.follow(
                client,
                stream_filter,
                resumed,
                stopped=lambda: self._stopping.is_set() or broadcaster.ended,
            )
            try:
                async with aclosing(frames):
                    async for frame in frames:
                        await send({"type": "http.response.body", "body": frame, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            finally:
                watching.cancel()


def _headers(after: Position) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),
        (RESUMED_FROM, format_position(after).encode()),
    ]


async def end_when_gone(receive: Receive, client: SseClient) -> None:
    """End a client when its connection is closed."""
    while (await receive())["type"] != "http.disconnect":
        pass
    client.leave()


def _start(request: Request) -> ResumeFrom | None:
    """Read where a client wants to resume. A reconnecting browser sends ``Last-Event-ID`` to its original URL."""
    if sent := request.headers.get(LAST_EVENT_ID, "").strip():
        return ResumeFrom(stream_id(LAST_EVENT_ID, sent))
    since = request.query_params.get("since")
    if since is None:
        return None
    if "-" in since[1:] and since.replace("-", "").isdecimal() and since.count("-") == 1:
        return ResumeFrom(stream_id("since", since))
    try:
        moment = _MOMENT.validate_python(since)
    except ValidationError:
        raise invalid(
            "since",
            "is neither an id of this stream nor an RFC 3339 date-time",
            "send 2026-03-01T09:30:00Z, for example",
        ) from None
    return ResumeFrom(last_id_before(moment), by_time=True)


def last_id_before(moment: datetime) -> Position:
    """Return the last position before a time."""
    milliseconds = max((moment - _EPOCH) // timedelta(milliseconds=1), 0)
    return (milliseconds - 1, 2**64 - 1) if milliseconds else (0, 0)


def stream_id(field: str, sent: str) -> Position:
    """Parse the id of an event as a client sends it (422 where it is invalid)."""
    try:
        return parse_position(sent)
    except ValueError:
        raise invalid(
            field, "is not an id of this stream", "send the id of the last event that you received, or omit it"
        ) from None
