"""The pages of sign-in and account, put together."""

from collections.abc import Sequence

from fastapi import APIRouter
from redis.asyncio import Redis

from newswire.auth.signed_tokens import SignedTokens
from newswire.keys import Keyspace
from newswire.users.service import UserService
from newswire.workspace.browser_sessions import BrowserSessions
from newswire.workspace.frame import Workspace
from newswire_ingest.openid.client import OpenIdClient
from newswire_ingest.openid.service import OpenIdService
from newswire_ingest.passkeys.models import relying_party
from newswire_ingest.passkeys.service import PasskeyService
from newswire_ingest.settings import IngestSettings
from newswire_ingest.users import account_pages, openid_pages, passkey_pages, sign_in_pages
from newswire_ingest.users.account_pages import AccountView
from newswire_ingest.users.openid_pages import OPENID_PATH
from newswire_ingest.users.passkey_pages import BrowserTokens
from newswire_ingest.users.sign_in_pages import SignInForm


def sign_in_routers(
    users: UserService,
    browsers: BrowserSessions,
    workspace: Workspace,
    settings: IngestSettings,
    redis: "Redis",
    keys: Keyspace,
) -> Sequence[APIRouter]:
    """Return the routers of sign-in and account; those of passkeys where browsers can have them."""
    site = relying_party(settings.public_url, settings.site_name)
    tokens = BrowserTokens(secure=settings.public_url.scheme == "https")
    passkeys = PasskeyService(redis, keys, users, SignedTokens.of(redis, keys, settings), site) if site else None
    clients = {
        each.name: OpenIdClient(each, f"{settings.site}{OPENID_PATH}/{each.name}/callback")
        for each in settings.openid_providers
    }
    openid = OpenIdService(redis, keys, users, clients)
    form = SignInForm(workspace, browsers, site, settings.openid_providers)
    view = AccountView(users, passkeys, openid, workspace)
    own = [] if passkeys is None else [passkey_pages.router(passkeys, browsers, workspace, form, view, tokens)]
    return [
        *own,  # before the routes of one-time links, which begin alike
        openid_pages.router(openid, browsers, workspace, form, view, tokens),
        sign_in_pages.router(users, browsers, workspace, form),
        account_pages.router(users, browsers, workspace, view),
    ]
