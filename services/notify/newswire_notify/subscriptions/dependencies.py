"""Who may read, and who may change subscriptions: the dependencies of their routes."""

from typing import Annotated

from fastapi import Depends, Request

from newswire.auth.authentication import authorised
from newswire.auth.credentials import Caller, Scope
from newswire.http.middleware import add_headers
from newswire.http.rate_limits import limit_headers
from newswire_notify.subscriptions.write_limit import WriteLimit

_subscriber = authorised(Scope.SUBSCRIBE)
Subscriber = Annotated[Caller, Depends(_subscriber)]


async def _writing(request: Request) -> Caller:
    """Admit subscribers within their rate, and show it in the headers of the response."""
    caller = await _subscriber(request)  # called directly: resolving it as a dependency costs more than the call
    limit: WriteLimit = request.app.state.subscription_write_limit
    if standing := limit.spend(caller.account):
        add_headers(request.scope, limit_headers([standing]))
    return caller


_writing.required_scopes = (Scope.SUBSCRIBE,)  # type: ignore[attr-defined]
_writing.problem_names = ("rate-limited",)  # type: ignore[attr-defined]
SubscriptionWriter = Annotated[Caller, Depends(_writing)]
