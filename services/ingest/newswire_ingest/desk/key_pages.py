"""The page of an account's API keys, for admins who have proven recently who they are.

Keys with the scope ``admin`` act on every account: they are listed, but only operators create or revoke them.
"""

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from redis.asyncio import Redis
from starlette.responses import Response

from newswire.auth.api_keys import create_key, find_key, list_keys, revoke_key
from newswire.auth.credentials import Scope
from newswire.auth.form_keys import FORM_FIELD, MAX_KEYS, is_key_label, new_form_id, token_of
from newswire.http.problem_handlers import ProblemMakers
from newswire.http.problems import not_found
from newswire.keys import Keyspace
from newswire.users.roles import Permission
from newswire.workspace.browser_sessions import check_permission
from newswire_ingest.desk.visit import PATH, Visit, Visits, see_other
from newswire_ingest.users.account_pages import prove_address

KEYS_PATH = f"{PATH}/keys"
PAGE = 50
OFFERED = (Scope.PUBLISH, Scope.READ, Scope.SUBSCRIBE)
"""The scopes that a key can be given here."""
_MAX_KEY_CHARS = 40


def router(visits: Visits, problems: ProblemMakers, redis: "Redis", keys: Keyspace) -> APIRouter:
    """Return the page."""
    routes = visits.workspace.routes(problems)

    async def begin(request: Request) -> Visit:
        visit = await visits.begin(request)
        check_permission(visit.signed_in, visit.account, Permission.MANAGE_KEYS)
        return visit

    async def page(
        visit: Visit,
        *,
        status: int = 200,
        token: str | None = None,
        error: str = "",
        label: str = "",
        chosen: frozenset[Scope] = frozenset({Scope.PUBLISH}),
    ) -> Response:
        after = visit.request.query_params.get("after", "")[:_MAX_KEY_CHARS]
        found = await list_keys(redis, keys, account=visit.account, after=after, limit=PAGE + 1)
        now = datetime.now(UTC)
        return visits.page(
            visit,
            "keys.html",
            status=status,
            keys=[(key, key.state(now), Scope.ADMIN not in key.scopes) for key in found[:PAGE]],
            following=visit.path("keys", after=found[PAGE - 1].id) if len(found) > PAGE else None,
            token=token,
            error=error,
            label=label,
            scopes=OFFERED,
            chosen=chosen,
            form_field=FORM_FIELD,
            form_id=new_form_id(),
            proven=visits.browsers.is_fresh(visit.signed_in),
            prove=prove_address(visit.path("keys")),
        )

    @routes.get(KEYS_PATH)
    async def keys_page(request: Request) -> Response:
        return await page(await begin(request))

    @routes.post(KEYS_PATH)
    async def change(request: Request) -> Response:
        visit = await begin(request)
        sent = await visits.browsers.read_form(request, visit.signed_in)
        if not visits.browsers.is_fresh(visit.signed_in):
            return see_other(prove_address(visit.path("keys")))
        if wanted := sent.one("revoke"):
            return await revoke(visit, wanted[:_MAX_KEY_CHARS])
        label = sent.one("label").strip()
        scopes = frozenset(scope for scope in OFFERED if scope.value in sent.all("scopes"))
        token = token_of(request.cookies.get(visits.browsers.cookie, ""), sent.one(FORM_FIELD))
        error, status = "", 422
        if not is_key_label(label):
            error = "key_label_wrong"
        elif not scopes:
            error = "key_without_scope"
        elif token is None:
            error = "form_too_old"
        elif await redis.zcard(keys.key("keys", "of", visit.account)) >= MAX_KEYS:
            error, status = "too_many_keys", 409
        if error or token is None:
            return await page(visit, status=status, error=visit.texts[error], label=label, chosen=scopes)
        by = visit.actor.audit
        created = await create_key(redis, keys, visit.account, scopes, label=label or None, token=token, by=by)
        return await page(visit, status=201, token=created.token)

    async def revoke(visit: Visit, key_id: str) -> Response:
        key = await find_key(redis, keys, key_id)
        if key is None or key.account != visit.account or Scope.ADMIN in key.scopes:
            raise not_found("key")
        if key.revoked_at is None:
            await revoke_key(redis, keys, key_id, by=visit.actor.audit)
        return see_other(visit.path("keys"))

    return routes
