"""The session of a browser in its cookie, and the checks of the forms that it sends."""

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from newswire.http.client_address import client_address, client_of
from newswire.http.forms import MAX_FORM_BYTES, FormData, read_form
from newswire.http.problem_types import problem_type
from newswire.http.problems import problem
from newswire.settings import Settings
from newswire.users.models import Session, StartedSession, User
from newswire.users.roles import Permission
from newswire.users.service import Client
from newswire.users.sessions import LIFETIME, Sessions, csrf_token, is_csrf_token

CSRF_FIELD = "csrf"
SIGN_IN_PATH = "/sign-in"
SIGN_IN_REQUIRED = problem_type("sign-in-required")
_MAX_NEXT_CHARS = 1000


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The user of a browser, and the token that its forms carry."""

    user: User
    session: Session
    csrf: str


class BrowserSessions:
    """Reads and writes the cookie of a session."""

    def __init__(self, sessions: Sessions, settings: Settings) -> None:
        self._sessions = sessions
        self._secure = settings.public_url.scheme == "https"
        # Browsers accept the prefix from https alone: with it, no other host and no plain connection can set the cookie.
        self.cookie = "__Host-newswire-session" if self._secure else "newswire-session"

    async def find(self, request: Request) -> SignedIn | None:
        """Return the user who is signed in, or None."""
        token = request.cookies.get(self.cookie, "")
        found = await self._sessions.find(token) if token else None
        return SignedIn(found[1], found[0], csrf_token(token)) if found else None

    async def require(self, request: Request) -> SignedIn:
        """Return the user who is signed in.

        Raises:
            newswire.http.problems.ProblemError: no user is signed in (401).
        """
        found = await self.find(request)
        if found is None:
            raise problem(401, "sign-in-required", "this page needs a user who is signed in", title="Sign in first")
        return found

    def is_fresh(self, signed_in: SignedIn) -> bool:
        """Return whether the user has proven recently who it is."""
        return self._sessions.is_fresh(signed_in.session)

    async def read_form(self, request: Request, signed_in: SignedIn, max_bytes: int = MAX_FORM_BYTES) -> FormData:
        """Read a form that this session's own page sent.

        Raises:
            newswire.http.problems.ProblemError: 403 if another site or another session sent it.
        """
        return await read_form_of_session(request, request.cookies.get(self.cookie, ""), signed_in.user.name, max_bytes)

    async def start(self, request: Request, response: Response, started: StartedSession) -> None:
        """Put a new session into a browser. The session that it had ends: its cookie may have been copied."""
        if (former := await self.find(request)) is not None:
            await self._sessions.end(former.user.id, former.session.id)
        response.set_cookie(
            self.cookie,
            started.token,
            max_age=int(LIFETIME.total_seconds()),
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def clear(self, response: Response) -> None:
        """Remove the session from a browser."""
        response.delete_cookie(self.cookie, path="/", secure=self._secure, httponly=True, samesite="lax")


async def read_form_of_session(request: Request, token: str, whose: str, max_bytes: int = MAX_FORM_BYTES) -> FormData:
    """Read a form that a page of a session sent. ``token``: of the session; ``whose``: who is signed in, for the error.

    Raises:
        newswire.http.problems.ProblemError: 403 if another site or another session sent it.
    """
    check_origin(request)
    sent = await read_form(request, max_bytes)
    if not is_csrf_token(token, sent.one(CSRF_FIELD)):
        detail = f"{whose} signed in again since this form was opened; load the page again"
        raise problem(403, "form-expired", detail, title="This form is too old")
    return sent


def client_of_request(request: Request) -> Client:
    """Return the browser of a request."""
    return Client(client_address(request.scope), client_of(request.scope), request.headers.get("user-agent", ""))


def check_origin(request: Request) -> None:
    """Check that a form was sent by a page of this site, also before anyone is signed in.

    Raises:
        newswire.http.problems.ProblemError: 403 if the browser says that another site sent it.
    """
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    foreign = site is not None and site not in ("same-origin", "none")
    if origin is not None and origin != "null":
        foreign = foreign or urlsplit(origin).netloc != request.headers.get("host", "")
    if foreign or origin == "null":
        detail = "another site sent this form; open the page here and send it from there"
        raise problem(403, "foreign-form", detail, title="This form is not from here")


def check_permission(signed_in: SignedIn, account: str, permission: Permission) -> None:
    """Check that a user may do something in an account.

    Raises:
        newswire.http.problems.ProblemError: 403 if not.
    """
    if permission not in signed_in.user.permissions(account):
        detail = f"your roles in {account} do not include the permission to {permission}"
        if account in signed_in.user.disabled_accounts:
            detail = f"the account {account} is disabled, and so are your roles in it; an operator can enable it again"
        raise problem(403, "not-permitted", detail, title="Not permitted")


def local_path(path: str, default: str) -> str:
    """Return a path to go to after the sign-in, if it is one of this site; else the default. It never leads to another site."""
    if len(path) > _MAX_NEXT_CHARS or not path.startswith("/") or path.startswith("//"):
        return default
    if any(char in path for char in "\\\r\n\t\0") or urlsplit(path).netloc:
        return default
    return path


def sign_in_address(request: Request) -> str:
    """Return the address of the sign-in that leads back to the page of this request."""
    query = request.url.query
    path = f"{request.url.path}?{query}" if query else request.url.path
    return f"{SIGN_IN_PATH}?next={quote(path, safe='')}" if len(path) <= _MAX_NEXT_CHARS else SIGN_IN_PATH
