"""The dependency of every route that changes articles: the caller, within its limits."""

from fastapi import Request

from newswire.auth.authentication import authorised
from newswire.auth.credentials import Caller, Scope
from newswire.http.middleware import add_headers
from newswire.http.rate_limits import limit_headers
from newswire.timestamps import utc_now
from newswire_ingest.limits.limits import Limits

_publisher = authorised(Scope.PUBLISH, rechecked=True)


async def publishing(request: Request) -> Caller:
    """Admit publishers within their limits: the dependency of every route that changes articles.

    A retraction is accepted by a full store, since it frees memory.
    """
    caller = await _publisher(request)  # called directly: resolving it as a dependency costs more than the call
    limits: Limits = request.app.state.limits
    if request.method != "DELETE":
        limits.check_memory()
    if limits.apply_to(caller):
        standings = await limits.admit(caller, utc_now())
        add_headers(request.scope, limit_headers(standings))
    return caller


publishing.required_scopes = (Scope.PUBLISH,)  # type: ignore[attr-defined]
