"""Identifies a browser before a session exists, so that what was begun in it can only be finished in it."""

import hashlib
import re
import secrets

from starlette.requests import Request
from starlette.responses import Response

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class BrowserTokens:
    """Reads and writes the pre-session cookie, to which challenges of passkeys and the state of OpenID Connect are bound."""

    def __init__(self, *, secure: bool) -> None:
        self._secure = secure
        self._cookie = "__Host-newswire-browser" if secure else "newswire-browser"

    def find(self, request: Request) -> str:
        """Return the token of a browser, hashed; empty if it has none."""
        token = request.cookies.get(self._cookie, "")
        return hashlib.sha256(token.encode()).hexdigest() if _TOKEN.fullmatch(token) else ""

    def ensure(self, request: Request) -> tuple[str, str]:
        """Return the hashed token of a browser, and the token to set; the latter is empty if the browser has one."""
        if found := self.find(request):
            return found, ""
        token = secrets.token_urlsafe(32)
        return hashlib.sha256(token.encode()).hexdigest(), token

    def set(self, response: Response, token: str) -> None:
        """Give a browser its token, until the browser is closed."""
        if token:
            response.set_cookie(self._cookie, token, path="/", secure=self._secure, httponly=True, samesite="lax")
