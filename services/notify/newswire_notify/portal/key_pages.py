"""The page of an account's API keys. It is for users alone: access by a link ends with it, and must leave no key behind.

A key has the scope to subscribe, and only such keys are revoked here; the desk has all keys of an account.
"""

from datetime import UTC, datetime
from urllib.parse import quote

from fastapi import APIRouter, Request
from redis.asyncio import Redis
from starlette.responses import Response

from newswire.auth.api_keys import create_key, find_key, list_keys, revoke_key
from newswire.auth.credentials import Scope
from newswire.auth.form_keys import FORM_FIELD, MAX_KEYS, is_key_label, new_form_id, token_of
from newswire.http.problems import not_found, problem
from newswire.keys import Keyspace
from newswire_notify.portal.access import PATH, PortalAccess, Visitor
from newswire_notify.portal.frame import PortalFrame, see

KEYS_PATH = f"{PATH}/keys"
PAGE = 50
_PROVE = "/account/prove"
"""Where users prove again who they are."""


def router(access: PortalAccess, frame: PortalFrame, records: "Redis", keys: Keyspace) -> APIRouter:
    """Return the page."""
    routes = frame.routes()

    async def user(request: Request) -> Visitor:
        """Return a visitor who is a user."""
        visitor = await access.visitor(request)
        if visitor.signed_in is None:
            raise problem(403, "not-permitted", "keys are managed by users who sign in", title="Not permitted")
        return visitor

    def is_proven(visitor: Visitor) -> bool:
        return visitor.signed_in is not None and access.sessions.is_fresh(visitor.signed_in.session)

    async def page(
        request: Request,
        visitor: Visitor,
        *,
        status: int = 200,
        token: str | None = None,
        error: str = "",
        label: str = "",
    ) -> Response:
        after = request.query_params.get("after", "")[:40]
        found = await list_keys(records, keys, account=visitor.account.name, after=after, limit=PAGE + 1)
        return frame.page(
            request,
            "portal_keys.html",
            visitor,
            status=status,
            keys=[(key, key.state(datetime.now(UTC)), is_own(key.scopes)) for key in found[:PAGE]],
            following=found[PAGE - 1].id if len(found) > PAGE else None,
            token=token,
            error=error,
            label=label,
            form_id=new_form_id(),
            act_field=FORM_FIELD,
            proven=is_proven(visitor),
            prove=prove_address(visitor),
        )

    @routes.get(KEYS_PATH)
    async def keys_page(request: Request) -> Response:
        return await page(request, await user(request))

    @routes.post(KEYS_PATH)
    async def act(request: Request) -> Response:
        visitor = await user(request)
        sent = await access.read_form(request, visitor)
        if not is_proven(visitor):
            return see(prove_address(visitor))
        if wanted := sent.one("revoke"):
            return await revoke(visitor, wanted[:40])
        label = sent.one("label").strip()
        texts = frame.texts(request)
        if not is_key_label(label):
            return await page(request, visitor, status=422, error=texts["key_label_wrong"], label=label)
        token = token_of(visitor.token, sent.one(FORM_FIELD))
        if token is None:
            return await page(request, visitor, status=422, error=texts["form_too_old"], label=label)
        if await records.zcard(keys.key("keys", "of", visitor.account.name)) >= MAX_KEYS:
            return await page(request, visitor, status=409, error=texts["too_many_keys"], label=label)
        created = await create_key(
            records, keys, visitor.account.name, {Scope.SUBSCRIBE}, label=label or None, token=token, by=visitor.actor
        )
        return await page(request, visitor, status=201, token=created.token)

    async def revoke(visitor: Visitor, key_id: str) -> Response:
        key = await find_key(records, keys, key_id)
        if key is None or key.account != visitor.account.name or not is_own(key.scopes):
            raise not_found("key")
        if key.revoked_at is None:
            await revoke_key(records, keys, key_id, by=visitor.actor)
        return see(KEYS_PATH if len(visitor.accounts) < 2 else f"{KEYS_PATH}?account={quote(key.account, safe='')}")

    return routes


def is_own(scopes: frozenset[Scope]) -> bool:
    """Return whether a key is of the kind that is created here."""
    return scopes == {Scope.SUBSCRIBE}


def prove_address(visitor: Visitor) -> str:
    """Return where a user proves again who it is, and comes back from."""
    following = f"{KEYS_PATH}?account={quote(visitor.account.name, safe='')}"
    return f"{_PROVE}?next={quote(following, safe='')}"
