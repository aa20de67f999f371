"""`/mail`: shows the mails in the data folder, for trying out Newswire without a mail server.

The pages exist only if no mail server is configured, and only for requests from this machine with a loopback `Host`: mails
contain links that confirm and unsubscribe.
"""

import asyncio
import email
import email.policy
import re
from email.message import EmailMessage
from pathlib import Path
from typing import cast

from fastapi import APIRouter, Request, Response
from starlette.responses import HTMLResponse

from newswire.http.client_address import client_address
from newswire.http.problems import not_found
from newswire_notify.newsletters.mail_folder import MAIL_FOLDER
from newswire_notify.newsletters.page_rendering import NewsletterFrame

MAX_LISTED = 100
_NAME = re.compile(r"[A-Za-z0-9]{1,64}")
_LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
_LOCAL_CLIENTS = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
_HTML_POLICY = (
    "sandbox allow-popups; default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; frame-ancestors 'none'"
)
"""The HTML of a mail runs no script and has no origin."""


def router(data_dir: Path, frame: NewsletterFrame) -> APIRouter:
    """Return the pages of written mails."""
    routes = frame.routes("/mail")
    folder = data_dir / MAIL_FOLDER

    async def read(request: Request, name: str) -> EmailMessage:
        _check_local(request)
        if not _NAME.fullmatch(name):
            raise not_found("mail")
        try:
            return _parsed(await asyncio.to_thread((folder / f"{name}.eml").read_bytes))
        except OSError:
            raise not_found("mail") from None

    @routes.get("")
    async def list_mails(request: Request) -> Response:
        _check_local(request)
        mails = await asyncio.to_thread(_newest, folder)
        return frame.page("mail_list.html", "en", mails=mails, folder=str(folder))

    @routes.get("/{name}")
    async def show(request: Request, name: str) -> Response:
        found = await read(request, name)
        headers = [(header, str(value)) for header, value in found.items()]
        text = found.get_body(("plain",))
        content = cast("EmailMessage", text).get_content() if text else ""
        return frame.page(
            "mail_show.html", "en", subject=str(found["Subject"]), headers_shown=headers, text=content, mail=name
        )

    @routes.get("/{name}/html")
    async def show_html(request: Request, name: str) -> Response:
        html = (await read(request, name)).get_body(("html",))
        if html is None:
            raise not_found("HTML part")
        headers = {"Content-Security-Policy": _HTML_POLICY, "Cache-Control": "no-store"}
        return HTMLResponse(cast("EmailMessage", html).get_content(), headers=headers)

    return routes


def _check_local(request: Request) -> None:
    """Refuse requests from elsewhere, and those of a page elsewhere whose name was made to mean this machine."""
    host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
    if client_address(request.scope) not in _LOCAL_CLIENTS or host not in _LOCAL_HOSTS:
        raise not_found("page")


def _newest(folder: Path) -> list[dict[str, str]]:
    if not folder.is_dir():
        return []
    found = sorted(folder.glob("*.eml"), key=lambda path: path.stat().st_mtime, reverse=True)[:MAX_LISTED]
    mails = []
    for path in found:
        parsed = _parsed(path.read_bytes())
        mails.append({name.lower(): str(parsed[name]) for name in ("Subject", "To", "Date")} | {"name": path.stem})
    return mails


def _parsed(data: bytes) -> EmailMessage:
    return email.message_from_bytes(data, policy=email.policy.default)
