"""The declared access: the first row whose pattern matches a route counts. A route without a row fails the tests."""

import re
from dataclasses import dataclass
from enum import Enum, auto

from newswire.auth.credentials import Scope
from newswire.users.roles import Permission


class Reach(Enum):
    """Whose objects a caller reaches."""

    OWN = auto()
    """Those of its account; others do not exist for it."""
    ALL = auto()
    """Those of every account: operators, and what is public."""


@dataclass(frozen=True)
class ApiRow:
    """The access to routes of the API. ``scopes``: None for everyone, also without a key."""

    routes: str
    scopes: frozenset[Scope] | None
    reach: Reach


@dataclass(frozen=True)
class PageRow:
    """The access to pages. ``needs``: None for everyone, ``True`` for every user, else the permission in the account."""

    routes: str
    needs: Permission | bool | None
    forms_from_elsewhere: bool = False
    """Whether forms of other sites are accepted: only for readers of newsletters, who have no session to misuse."""


def _scopes(*scopes: Scope) -> frozenset[Scope]:
    """Return these scopes, and the one of operators, which allows everything except publishing."""
    return frozenset(scopes) if scopes == (Scope.PUBLISH,) else frozenset({*scopes, Scope.ADMIN})


API = (
    ApiRow(r"GET /v1/articles/.+/outcomes", _scopes(Scope.PUBLISH, Scope.READ), Reach.OWN),
    ApiRow(r"GET /v1/articles\b.*", _scopes(Scope.PUBLISH, Scope.READ), Reach.ALL),
    ApiRow(r"\w+ /v1/(articles|drafts|media)\b.*", _scopes(Scope.PUBLISH), Reach.OWN),
    ApiRow(r"GET /media/.*", None, Reach.ALL),
    ApiRow(r"GET /v1/topics", None, Reach.ALL),
    ApiRow(r"\w+ /v1/(keys|accounts|users|audit-log|admin|dead-letters|topics)\b.*", _scopes(Scope.ADMIN), Reach.ALL),
    ApiRow(r"POST /v1/subscriptions/preview", _scopes(Scope.SUBSCRIBE), Reach.ALL),
    ApiRow(r"\w+ /v1/(subscriptions|newsletters)\b.*", _scopes(Scope.SUBSCRIBE), Reach.OWN),
    ApiRow(r"POST /v1/portal-links", _scopes(Scope.SUBSCRIBE), Reach.OWN),
    ApiRow(r"POST /v1/stream/tokens", _scopes(Scope.READ), Reach.OWN),
    ApiRow(r"GET /v1/(stream|events)", None, Reach.ALL),
    ApiRow(r"POST /hub", None, Reach.ALL),
)
PAGES = (
    PageRow(r"\w+ /(sign-in|sign-out|invitation|reset-password|forgot-password)\b.*", None),
    PageRow(r"\w+ /account\b.*", True),
    PageRow(r"\w+ /users\b.*", Permission.MANAGE_USERS),
    PageRow(r"\w+ /newsletters\b.*", None, forms_from_elsewhere=True),
    PageRow(r"GET /mail\b.*", None),
    PageRow(r"GET /desk/session", True),
    PageRow(r"\w+ /desk/drafts/\{draft_id\}/\{act\}", Permission.PUBLISH),
    PageRow(r"\w+ /desk/articles/.*/retract", Permission.RETRACT),
    PageRow(r"\w+ /desk/keys", Permission.MANAGE_KEYS),
    PageRow(r"\w+ /desk/labels", Permission.MERGE_LABELS),
    PageRow(r"\w+ /desk/imports\b.*", Permission.IMPORT),
    PageRow(r"\w+ /desk\b.*", Permission.WRITE_DRAFTS),
    PageRow(r"\w+ /portal/open\b.*", None),
    PageRow(r"\w+ /portal\b.*", Permission.MANAGE_SUBSCRIPTIONS),
)


def api_row(route: str) -> ApiRow | None:
    """Return the row of a route of the API, written as ``GET /v1/articles``."""
    return next((row for row in API if re.fullmatch(row.routes, route)), None)


def page_row(route: str) -> PageRow | None:
    """Return the row of a page."""
    return next((row for row in PAGES if re.fullmatch(row.routes, route)), None)
