"""Who is at the desk: the user, the account, and what the user may do there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from newswire.auth.credentials import Caller, Scope
from newswire.http.problems import invalid, not_found
from newswire.users.roles import Permission
from newswire.users.service import actor_of
from newswire.workspace.browser_sessions import BrowserSessions, SignedIn, check_permission, client_of_request
from newswire.workspace.frame import Workspace
from newswire.workspace.texts import texts
from newswire_ingest.desk import zones
from newswire_ingest.desk.assets import PACKAGE, STYLE_SHEET
from newswire_ingest.desk.remark_texts import RemarkText, remark_text
from newswire_ingest.drafts.models import DraftAct, DraftActor

PATH = "/desk"
NEEDED = {
    DraftAct.PUBLISH: Permission.PUBLISH,
    DraftAct.SCHEDULE: Permission.PUBLISH,
    DraftAct.UPDATE: Permission.PUBLISH,
    DraftAct.CORRECT: Permission.CORRECT,
    DraftAct.RETRACT: Permission.RETRACT,
}
"""The permission that each act needs."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a signed-in user to the desk of an account."""

    request: Request
    signed_in: SignedIn
    account: str
    accounts: Sequence[str]
    zone: str
    language: str

    @property
    def actor(self) -> DraftActor:
        """The user, as drafts name who works with them."""
        user = self.signed_in.user
        return DraftActor(actor_of(user, client_of_request(self.request), self.account), user.name)

    @property
    def caller(self) -> Caller:
        """The user as a caller of the service of articles."""
        return Caller(self.account, "", frozenset({Scope.PUBLISH}), user_id=self.signed_in.user.id)

    def may(self, act: DraftAct) -> bool:
        """Return whether the user may do this."""
        return NEEDED[act] in self.signed_in.user.permissions(self.account)

    def check(self, act: DraftAct) -> None:
        """Check that the user may do this; raises a problem (403) if not."""
        check_permission(self.signed_in, self.account, NEEDED[act])

    def path(self, *parts: str, **query: str | int) -> str:
        """Return an address of the desk of this account."""
        place = "/".join([PATH, *(quote(part, safe="") for part in parts)])
        return f"{place}?{urlencode({'account': self.account, **query})}"

    def time(self, at: datetime | str) -> str:
        """Return a time in the zone of the browser, and in UTC."""
        moment = datetime.fromisoformat(at) if isinstance(at, str) else at
        return zones.shown(moment, self.zone, self.language)

    def remark(self, remark: str) -> RemarkText:
        """Return a remark of an import in the language of the browser."""
        return remark_text(remark, self.language)

    @property
    def texts(self) -> Mapping[str, str]:
        """The texts in the language of the browser."""
        return texts(self.language, PACKAGE)


class Visits:
    """Lets users in, and makes their pages."""

    def __init__(self, browsers: BrowserSessions, workspace: Workspace, *, secure: bool) -> None:
        self.browsers = browsers
        self.workspace = workspace
        self.secure = secure

    async def begin(self, request: Request) -> Visit:
        """Return who visits which account: the one that the address names, else the first.

        Raises:
            newswire.http.problems.ProblemError: no user is signed in (401), or the user may not write in the account (403).
        """
        signed_in = await self.browsers.require(request)
        accounts = signed_in.user.accounts_with(Permission.WRITE_DRAFTS)
        account = request.query_params.get("account") or next(iter(accounts), "")
        check_permission(signed_in, account, Permission.WRITE_DRAFTS)
        language = self.workspace.language(request)
        return Visit(request, signed_in, account, accounts, zones.zone_of(request), language)

    def page(
        self, visit: Visit, template: str, *, scripts: Sequence[str] = (), status: int = 200, **values: Any
    ) -> Response:
        """Return a page of the desk."""
        return self.workspace.page(
            visit.request,
            template,
            visit.signed_in,
            package=PACKAGE,
            status=status,
            scripts=scripts,
            styles=[STYLE_SHEET],
            visit=visit,
            acts=DraftAct,
            **values,
        )


def act_named(name: str) -> DraftAct:
    """Return an act by its name in an address; a problem (404) if there is none."""
    if name not in set(DraftAct):
        raise not_found("page")
    return DraftAct(name)


def whole_number(text: str, field: str) -> int:
    """Return a number of a form or an address; a problem (422) if it is none."""
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise invalid(field, "is not a number", "go back to the desk and open the page again")
    return int(text)


def see_other(path: str) -> Response:
    """Return the answer to a form: the page to show next, so that reloading it does nothing again."""
    return RedirectResponse(path, 303)
