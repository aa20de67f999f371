"""Every page for every role, in its own and another account, and for those who are not signed in; and every form."""

import re
from dataclasses import dataclass
from datetime import timedelta

import httpx

from newswire.observability.audit import COMMAND_LINE
from newswire.timestamps import epoch_ms, utc_now
from newswire.users.roles import Permission, Role, permissions_of
from newswire.users.service import Client
from newswire.users.sessions import IDLE_LIFETIME, csrf_token
from tests.access.conftest import MARK, OTHER, OWN, SITE, Installation, Route
from tests.access.table import PageRow, page_row

COOKIE = "__Host-newswire-session"
BROWSER = Client("192.0.2.7", "192.0.2.7", "Firefox/150")
PAGE = {"Accept": "text/html", "Accept-Language": "en"}


@dataclass(frozen=True)
class Visitor:
    """A browser, by its cookie. ``role`` and ``account``: None for those who are not signed in."""

    name: str
    token: str
    role: Role | None = None
    account: str | None = None

    def may(self, row: PageRow) -> bool:
        """Return whether the table admits this visitor to pages about the first account."""
        if row.needs is None:
            return True
        if self.role is None:
            return False
        if row.needs is True:
            return True
        return self.account == OWN and isinstance(row.needs, Permission) and row.needs in permissions_of([self.role])


def pages(installation: Installation) -> list[tuple[Route, PageRow]]:
    found = [(route, page_row(str(route))) for route in installation.routes if not route.is_api]
    assert [str(route) for route, row in found if row is None] == [], "pages without a row in the table"
    return [(route, row) for route, row in found if row is not None]


async def signed_in(installation: Installation, email: str, account: str, role: Role) -> str:
    user = await installation.user(email, account, role)
    return (await installation.users.start_session(user, BROWSER, method="password")).token


async def visitors(installation: Installation) -> list[Visitor]:
    found = [Visitor("nobody", ""), Visitor("a forged cookie", "nws_" + "a" * 43)]
    for account in (OWN, OTHER):
        for role in Role:
            email = f"{role}@{account.split()[0].lower()}.example"
            found.append(Visitor(email, await signed_in(installation, email, account, role), role, account))
    expired = await signed_in(installation, "late@harbour.example", OWN, Role.ADMIN)
    found_session = await installation.users.sessions.find(expired)
    assert found_session is not None
    long_ago = str(epoch_ms(utc_now() - IDLE_LIFETIME - timedelta(minutes=1)))
    await installation.redis.hset(installation.keys.key("session", found_session[0].id), "seen", long_ago)
    disabled = await signed_in(installation, "gone@harbour.example", OWN, Role.ADMIN)
    user = await installation.users.users.find_by_email("gone@harbour.example")
    assert user is not None
    await installation.users.users.disable(user, utc_now())
    return [*found, Visitor("an expired session", expired), Visitor("a disabled user", disabled)]


async def visit(
    installation: Installation, route: Route, token: str, *, csrf: str | None = None, origin: str = SITE
) -> httpx.Response:
    """Open a page of the first account, or send its form, with the token of the session unless another one is given."""
    headers = PAGE | ({"Cookie": f"{COOKIE}={token}"} if token else {})
    path = f"{installation.path(route)}?account={OWN.replace(' ', '%20')}"
    if route.method != "POST":
        if route.path.endswith("/stream"):
            return await installation.opened(path, headers)
        return await installation.http.request(route.method, path, headers=headers)
    form = {"csrf": csrf_token(token) if csrf is None else csrf}
    sent = headers | {"Origin": origin, "X-Form-Token": form["csrf"]}  # scripts that send a file have no form
    return await installation.http.post(path, headers=sent, data=form)


def admitted(answer: httpx.Response) -> bool:
    leads_to_sign_in = answer.headers.get("location", "").startswith("/sign-in?")
    return answer.status_code not in (401, 403) and not leads_to_sign_in


async def test_pages_open_for_those_whom_the_table_admits(installation: Installation) -> None:
    found = pages(installation)
    everyone = await visitors(installation)
    wrong = []
    for route, row in found:
        for visitor in everyone:
            if route.method == "POST" and (row.needs is None or (row.needs is True and visitor.role is not None)):
                continue  # forms that need no role: some end the session, and others answer 403 to a wrong password
            answer = await visit(installation, route, visitor.token)
            if admitted(answer) != visitor.may(row):
                wrong.append(f"{route} for {visitor.name}: {answer.status_code}")
            if not visitor.may(row) and MARK in answer.text:
                wrong.append(f"{route} shows {visitor.name} what it may not see")
    assert wrong == []


async def test_forms_are_refused_without_the_token_of_their_session_and_from_other_sites(
    installation: Installation,
) -> None:
    token = await signed_in(installation, "boss@harbour.example", OWN, Role.ADMIN)
    other = await signed_in(installation, "eve@tide.example", OTHER, Role.ADMIN)
    before = await installation.records()
    wrong = []
    for route, row in pages(installation):
        if route.method != "POST" or row.forms_from_elsewhere:
            continue
        answers = {"another site": await visit(installation, route, token, origin="https://evil.example")}
        if row.needs is not None:
            answers["no token"] = await visit(installation, route, token, csrf="")
            answers["the token of another session"] = await visit(installation, route, token, csrf=csrf_token(other))
            answers["no session"] = await visit(installation, route, "")
        for name, answer in answers.items():
            if answer.status_code not in (401, 403):
                wrong.append(f"{route} with {name}: {answer.status_code}")
    assert wrong == []
    assert await installation.records() == before


async def test_no_page_can_be_framed_or_kept(installation: Installation) -> None:
    token = await signed_in(installation, "boss@harbour.example", OWN, Role.ADMIN)
    for route, row in pages(installation):
        if route.method != "GET":
            continue
        for answer in (await visit(installation, route, token), await visit(installation, route, "")):
            policy = answer.headers.get("content-security-policy", "")
            assert "frame-ancestors 'none'" in policy, route
            assert "unsafe-eval" not in policy, route
            assert not re.search(r"script-src[^;]*unsafe-inline", policy), route
            if row.needs is not None:
                assert "no-store" in answer.headers["cache-control"] or "immutable" in answer.headers["cache-control"]


async def test_a_role_that_is_taken_away_counts_no_more_at_the_next_request(installation: Installation) -> None:
    await installation.user("boss@harbour.example", OWN, Role.ADMIN)  # an account keeps an admin
    token = await signed_in(installation, "jon@harbour.example", OWN, Role.ADMIN)
    user = await installation.users.users.find_by_email("jon@harbour.example")
    assert user is not None
    await installation.users.change(user, memberships={OTHER: frozenset({Role.ADMIN})}, by=COMMAND_LINE)
    for route, row in pages(installation):
        if isinstance(row.needs, Permission):
            assert not admitted(await visit(installation, route, token)), route
