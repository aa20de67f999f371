"""Calls endpoints without the layers of the framework, which cost more than most endpoints.

FastAPI declares and describes the routes. For each request it searches all routers for the route, opens three exit stacks, wraps
the app in two handlers of exceptions, and interprets the tree of dependencies. Here, the routes are found in a table, and the
dependencies of each are a list of calls, made once.

A route is called directly if its dependencies and its endpoint are coroutine functions whose parameters are the request, other
dependencies, and parts of the path that are strings, and if the endpoint returns a response. All other routes, addresses
without a route, and wrong methods are left to the framework.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, get_type_hints

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from fastapi.telemetry._api import _route_selected
from starlette.convertors import Convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Handler = Callable[[Request], Awaitable[Response]]
_UNSUPPORTED = (
    "query_params",
    "header_params",
    "cookie_params",
    "body_params",
    "websocket_param_name",
    "http_connection_param_name",
    "response_param_name",
    "background_tasks_param_name",
    "security_scopes_param_name",
    "own_oauth_scopes",
    "parent_oauth_scopes",
    "concurrency",
)
"""What a dependency may need that only the framework provides."""


class WrappedRoute(APIRoute):
    """A route whose handler is wrapped, by the framework and by `DirectRoutes` alike."""

    def wrapped(self, handle: Handler) -> Handler:
        """Return the handler around another one."""
        raise NotImplementedError

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return the wrapped handler of the framework."""
        return self.wrapped(super().get_route_handler())


@dataclass(frozen=True, slots=True)
class _Step:
    """One call: a dependency, or at the end the endpoint."""

    call: Callable[..., Awaitable[Any]]
    request: str | None
    """The parameter that takes the request."""
    results: tuple[tuple[str, int], ...]
    """The parameters that take results of earlier steps."""
    path_parts: tuple[tuple[str, str], ...]
    """The parameters that take parts of the path."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A route in the table."""

    path: str
    name: str
    """The path with names of its parts alone, for spans."""
    pattern: Any
    convertors: Mapping[str, Convertor[Any]]
    methods: frozenset[str] | None
    segment: str | None
    """The first segment of its path; None if it varies."""
    route: Any
    endpoint: Any
    handle: Handler | None
    """None: the framework calls it."""


class DirectRoutes:
    """Middleware, the innermost of an app, that calls the endpoints of an app directly."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the rest of the framework."""
        self.app = app
        self._table: _Table | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and not scope.get("root_path"):
            if self._table is None:  # the first request: all routes are known
                self._table = _Table(_entries(scope["app"]))
            entry = self._table.find(scope)
            if entry is not None and entry.handle is not None:
                _route_selected(scope=scope, path=entry.name)  # names the span of the request, if there is one
                await _respond(entry.handle, scope, receive, send)
                return
        await self.app(scope, receive, send)


def directly_called(app: FastAPI) -> Iterator[tuple[RouteContext, bool]]:
    """Yield the routes of an app, and whether each is called directly."""
    for context in iter_route_contexts(app.routes):
        yield context, _handler(context) is not None


class _Table:
    """The routes by method: those of one address by its path, the others in order by the first segment of their paths."""

    def __init__(self, entries: Sequence[_Entry]) -> None:
        methods = {method for entry in entries for method in entry.methods or ()}
        segments = {entry.segment for entry in entries}
        self._by_segment = {
            (method, segment): [
                entry
                for entry in entries
                if (entry.methods is None or method in entry.methods) and entry.segment in (None, segment)
            ]
            for method in methods
            for segment in segments
        }
        self._by_path: dict[tuple[str, str], _Entry] = {}
        for path in {entry.path for entry in entries if not entry.convertors}:
            for method in methods:  # an earlier route with a pattern may have the same address
                if (found := self._search(method, path, {})) and not found.convertors:
                    self._by_path[method, path] = found

    def find(self, scope: Scope) -> _Entry | None:
        """Return the route of a request, and note it in its scope as the framework does; None if there is none."""
        method, path = scope["method"], scope["path"]
        parts: dict[str, Any] = {}
        known = self._by_path.get((method, path))
        entry = self._search(method, path, parts) if known is None else known
        if entry is not None and entry.handle is not None:
            scope["route"], scope["endpoint"], scope["path_params"] = entry.route, entry.endpoint, parts
        return entry

    def _search(self, method: str, path: str, parts: dict[str, Any]) -> _Entry | None:
        segment = path[1:].partition("/")[0]
        candidates = self._by_segment.get((method, segment)) or self._by_segment.get((method, None))
        for entry in candidates or ():
            if found := entry.pattern.match(path):
                parts.update({name: entry.convertors[name].convert(part) for name, part in found.groupdict().items()})
                return entry
        return None


async def _respond(handle: Handler, scope: Scope, receive: Receive, send: Send) -> None:
    """Respond to a request; errors are handled by the handlers of the app, as the framework does."""
    request = Request(scope, receive, send)
    started = False

    async def sender(message: Message) -> None:
        nonlocal started
        started = True
        await send(message)

    try:
        response = await handle(request)
        await response(scope, receive, sender)
    except Exception as error:
        handlers = scope["app"].exception_handlers
        known = takewhile(lambda kind: kind is not Exception, type(error).__mro__)
        answer = next((handlers[kind] for kind in known if kind in handlers), None)
        if answer is None:
            raise
        if started:
            raise RuntimeError("the response had begun when an error occurred") from error
        response = await answer(request, error)
        await response(scope, receive, sender)


def _entries(app: FastAPI) -> list[_Entry]:
    """Return the routes of an app in the order in which the framework tries them."""
    entries = []
    for context in iter_route_contexts(app.routes):
        path = context.path or ""
        first = path[1:].partition("/")[0]
        entries.append(
            _Entry(
                path,
                context.path_format or path,
                context.path_regex,
                context.param_convertors,
                frozenset(context.methods) if context.methods else None,
                None if "{" in first or not path else first,
                context.original_route,
                context.endpoint,
                _handler(context),
            )
        )
    return entries


def _handler(context: RouteContext) -> Handler | None:
    """Return the function that responds to the requests of a route; None if only the framework can."""
    route = context.original_route
    own = type(route).get_route_handler if isinstance(route, APIRoute) else None
    if own not in (APIRoute.get_route_handler, WrappedRoute.get_route_handler):
        return None
    returned = get_type_hints(context.endpoint).get("return")
    if context.max_body_size is not None or not (inspect.isclass(returned) and issubclass(returned, Response)):
        return None
    steps: list[_Step] = []
    if not _add_steps(context.dependant, {}, steps):
        return None
    handle = _calling(steps)
    return route.wrapped(handle) if isinstance(route, WrappedRoute) else handle


def _add_steps(dependant: Dependant, places: dict[Any, int], steps: list[_Step]) -> bool:
    """Add the calls of a dependency, those that it depends on first, each once; return whether all can be made directly."""
    call = dependant.call
    if call is None or not inspect.iscoroutinefunction(call) or any(getattr(dependant, name) for name in _UNSUPPORTED):
        return False
    if any(part.field_info.annotation is not str or part.field_info.metadata for part in dependant.path_params):
        return False
    for needed in dependant.dependencies:
        if not needed.use_cache or not _add_steps(needed, places, steps):
            return False
    if call not in places:
        results = [(needed.name, places[needed.call]) for needed in dependant.dependencies if needed.name is not None]
        path_parts = [(part.name, part.alias) for part in dependant.path_params]
        places[call] = len(steps)
        steps.append(_Step(call, dependant.request_param_name, tuple(results), tuple(path_parts)))
    return True


def _calling(steps: Sequence[_Step]) -> Handler:
    """Return the function that makes all calls."""

    async def handle(request: Request) -> Any:
        results: list[Any] = []
        for step in steps:
            values: dict[str, Any] = {} if step.request is None else {step.request: request}
            for name, place in step.results:
                values[name] = results[place]
            if step.path_parts:
                parts = request.scope["path_params"]
                values |= {name: parts[alias] for name, alias in step.path_parts}
            results.append(await step.call(**values))
        return results[-1]

    return handle
