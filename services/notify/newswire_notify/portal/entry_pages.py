"""Opening a one-time link, and leaving. GET uses no link up; afterwards no address contains the token."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from newswire.http.forms import read_form
from newswire.workspace.browser_sessions import check_origin, client_of_request
from newswire_notify.portal.access import PATH, PortalAccess
from newswire_notify.portal.frame import PortalFrame, see

_PRIVATE = {"Referrer-Policy": "strict-origin"}
"""Of pages whose address holds a token. With ``no-referrer`` browsers would send the form without the origin that is checked."""


def router(access: PortalAccess, frame: PortalFrame) -> APIRouter:
    """Return the pages."""
    routes = frame.routes()

    @routes.get(f"{PATH}/open/{{token}}")
    async def link_page(request: Request, token: str) -> Response:
        link = await access.links.peek(token)
        if link is None:
            return ended(request)
        return frame.page(request, "portal_open.html", None, headers=_PRIVATE, link=link, token=token)

    @routes.post(f"{PATH}/open")
    async def open_link(request: Request) -> Response:
        check_origin(request)
        sent = await read_form(request)
        opened = await access.links.open(sent.one("token"), client_of_request(request).address)
        if opened is None:
            return ended(request)
        response = see(PATH)
        access.start(response, opened[0])
        return response

    @routes.post(f"{PATH}/leave")
    async def leave(request: Request) -> Response:
        await access.read_form(request, await access.visitor(request))
        response = frame.page(request, "portal_message.html", None, heading="left", detail="left_detail")
        await access.leave(request, response)
        return response

    def ended(request: Request) -> Response:
        page = {"heading": "link_ended", "detail": "link_ended_detail"}
        return frame.page(request, "portal_message.html", None, status=404, headers=_PRIVATE, **page)

    return routes
