"""The pages of sign-in and account, put together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastapi import APIRouter
from redis.asyncio import Redis

from newswire.auth.signed_tokens import SignedTokens
from newswire.keys import Keyspace
from newswire.users.models import UsableCredentials
from newswire.users.service import UserService
from newswire.workspace.browser_sessions import SIGN_IN_PATH, BrowserSessions
from newswire.workspace.browser_tokens import BrowserTokens
from newswire.workspace.frame import Workspace
from newswire_ingest.openid.service import OpenIdService
from newswire_ingest.passkeys.models import relying_party
from newswire_ingest.passkeys.service import PasskeyService
from newswire_ingest.settings import IngestSettings
from newswire_ingest.users import account_pages, credential_pages, openid_pages, passkey_pages, sign_in_pages
from newswire_ingest.users.account_pages import AccountView
from newswire_ingest.users.openid_pages import OPENID_PATH
from newswire_ingest.users.sign_in_pages import SignInForm

if TYPE_CHECKING:
    from newswire_ingest.openid.client import OpenIdClient


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
    usable = usable_credentials(settings)
    signed = SignedTokens.of(redis, keys, settings)
    passkeys = PasskeyService(redis, keys, users, signed, site, usable=usable) if site else None
    openid = OpenIdService(redis, keys, users, _openid_clients(settings), usable)
    form = SignInForm(workspace, browsers, site, settings.openid_providers)
    view = AccountView(users, passkeys, openid, workspace, usable)
    own = [] if passkeys is None else [passkey_pages.router(passkeys, browsers, workspace, form, view, tokens)]
    return [
        *own,  # before the routes of one-time links, which begin alike
        openid_pages.router(openid, browsers, workspace, form, view, tokens),
        sign_in_pages.router(users, browsers, workspace, form, openid),
        account_pages.router(users, browsers, workspace, view),
        credential_pages.router(users, passkeys, openid, browsers, view),
    ]


def _openid_clients(settings: IngestSettings) -> "dict[str, OpenIdClient]":
    """Return a client for each provider. Their libraries are imported only if there is one."""
    if not settings.openid_providers:
        return {}
    from newswire_ingest.openid.client import OpenIdClient

    return {
        each.name: OpenIdClient(
            each, f"{settings.site}{OPENID_PATH}/{each.name}/callback", f"{settings.site}{SIGN_IN_PATH}"
        )
        for each in settings.openid_providers
    }


def usable_credentials(settings: IngestSettings) -> UsableCredentials:
    """Return the kinds of credentials that an installation accepts. Issuers differ in the slash at the end."""
    issuers = [each.issuer.rstrip("/") for each in settings.openid_providers]
    spellings = tuple(f"{each}{end}" for each in issuers for end in ("", "/"))
    return UsableCredentials(relying_party(settings.public_url, settings.site_name) is not None, spellings)
