"""The check before a credential is looked up, and the audit entry for a burst of failed authentication.

The first process that throttles an address writes one entry per minute, regardless of the number of requests.
"""

import logging

from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.requests import Request

from newswire.auth.authentication_failures import WINDOW_SECONDS, AuthenticationFailures
from newswire.http.client_address import client_address, client_of
from newswire.http.problems import ProblemError
from newswire.keys import Keyspace
from newswire.observability.audit import Act, Actor, ActorType, record

log = logging.getLogger(__name__)


async def check_credential(request: Request, sent: str) -> None:
    """Check whether a credential of a request may be looked up.

    Raises:
        newswire.http.problems.ProblemError: 429, its network failed too often, and the credential was not valid a short while ago.
    """
    failures: AuthenticationFailures = request.app.state.authentication_failures
    client = client_of(request.scope)
    try:
        failures.check(client, sent)
    except ProblemError:
        if failures.begins_burst(client):
            await _record_burst(request.app.state.redis, request.app.state.keys, client, client_address(request.scope))
        raise


async def _record_burst(redis: "Redis", keys: Keyspace, client: str, address: str | None) -> None:
    """Append an audit entry about a network, unless another process did so in the same minute."""
    try:
        if not await redis.set(keys.authentication_burst(client), 1, nx=True, ex=WINDOW_SECONDS):
            return
        actor = Actor(ActorType.SYSTEM, address=(address or client)[:100])
        await record(redis, keys, actor, Act.AUTHENTICATION_SLOWED_DOWN, "address", client)
    except (RedisError, OSError) as error:
        log.warning("could not record a burst of failed authentication in the audit log", extra={"reason": repr(error)})
