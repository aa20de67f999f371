"""The request that is being handled, for log lines: its id, and the trace that it belongs to."""

import re
import secrets
from collections.abc import MutableMapping
from contextvars import ContextVar, Token
from typing import Any

from newswire.observability import tracing

REQUEST_ID_HEADER = b"x-request-id"
_ID = "newswire.request_id"
_GIVEN = re.compile(rb"[A-Za-z0-9._=+/-]{1,64}")
_request: ContextVar[MutableMapping[str, Any] | None] = ContextVar("request", default=None)


class RequestContext:
    """Notes the request that is handled inside, by its ASGI scope. A generator would cost three times as much."""

    __slots__ = ("_scope", "_token")

    def __init__(self, scope: MutableMapping[str, Any]) -> None:
        self._scope = scope
        self._token: Token[MutableMapping[str, Any] | None]

    def __enter__(self) -> None:
        self._token = _request.set(self._scope)

    def __exit__(self, *_: object) -> None:
        _request.reset(self._token)


def given_id(scope: MutableMapping[str, Any]) -> bytes | None:
    """Return the id that the client, or a proxy in front, has given the request; None if there is none, or an odd one."""
    for name, value in scope["headers"]:
        if name == REQUEST_ID_HEADER:
            return bytes(value) if _GIVEN.fullmatch(value) else None
    return None


def request_id(scope: MutableMapping[str, Any]) -> str:
    """Return the id of a request: the given one, or a random one, made when it is first needed."""
    known: str | None = scope.get(_ID)
    if known is None:
        given = given_id(scope)
        known = scope[_ID] = given.decode() if given else secrets.token_hex(8)
    return known


def log_members() -> dict[str, str]:
    """Return what log lines say about the request and the span that they belong to."""
    scope, members = _request.get(), {}
    if scope is not None:
        members["request_id"] = request_id(scope)
    if ids := tracing.current_ids():
        members["trace_id"], members["span_id"] = ids
    elif scope is not None:
        header = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), None)
        if trace_id := tracing.trace_id_of(header):
            members["trace_id"] = trace_id
    return members
