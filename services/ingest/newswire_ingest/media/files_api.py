"""Serves images to readers: originals and variants, under addresses whose content never changes.

Where public reading is disabled, users who are signed in see the images of their own accounts: the desk shows them.
"""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response, StreamingResponse

from newswire.auth.authentication import reader
from newswire.http.conditional_responses import knows_tag
from newswire.http.problem_responses import problems
from newswire.http.problems import not_found
from newswire.http.read_limits import Cost, charge_request
from newswire.http.request_parsing import NoParameters
from newswire.media import PATH, is_file, parse_name
from newswire.object_storage.storage import ObjectStorage
from newswire.users.roles import Permission
from newswire.workspace.browser_sessions import BrowserSessions
from newswire_ingest.media.models import CONTENT_TYPES, ImageFormat, MediaFile
from newswire_ingest.media.repository import MediaRepository
from newswire_ingest.media.variants import VariantMaker

_YEAR = "max-age=31536000, immutable"
_CONTENT = {content_type: {"schema": {"type": "string", "format": "binary"}} for content_type in CONTENT_TYPES.values()}


def router(
    records: MediaRepository, storage: ObjectStorage, variants: VariantMaker, browsers: BrowserSessions
) -> APIRouter:
    """Return the paths under ``/media``."""
    routes = APIRouter(prefix=PATH, tags=["media"])

    @routes.get(
        "/{file}/{name}",
        response_class=Response,
        operation_id="readImage",
        dependencies=[Depends(_charged(records, browsers))],
        summary="Read an image: 'original' with the suffix of its format, or a width such as '640.webp'",
        responses={
            200: {"description": "The image", "content": _CONTENT},
            304: {"description": "The client has it"},
            **problems("not-found"),
        },
    )
    async def read(request: Request, _: NoParameters, file: str, name: str) -> Response:
        stored = await records.file(file) if is_file(file) else None
        wanted = _wanted(stored, name) if stored else None
        if stored is None or wanted is None:
            raise not_found("image")
        width, format_ = wanted
        headers = _headers(f'"{file[:32]}-{name}"', public=request.app.state.settings.public_read)
        if knows_tag(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        found = await storage.open(f"{stored.path}/{name}")
        if found is not None:
            headers["Content-Length"] = str(found.size)
            return StreamingResponse(found.chunks, 200, headers, CONTENT_TYPES[format_])
        made = await variants.make(stored, width, format_) if width is not None else None
        if made is None:
            raise not_found("image")
        return Response(made, 200, headers, CONTENT_TYPES[format_])

    return routes


def _charged(records: MediaRepository, browsers: BrowserSessions) -> Callable[[Request], Awaitable[None]]:
    """Return the dependency that admits readers, and users to the images of their accounts, and charges the request."""

    async def charge(request: Request) -> None:
        caller = None if await is_of_own_account(request) else await reader(request)
        await charge_request(request, caller, Cost.RECORD)

    async def is_of_own_account(request: Request) -> bool:
        if request.app.state.settings.public_read or "authorization" in request.headers:
            return False
        signed_in, file = await browsers.find(request), request.path_params["file"]
        if signed_in is None or not is_file(file):
            return False
        accounts = signed_in.user.accounts_with(Permission.WRITE_DRAFTS)
        return not (await records.owners(file)).isdisjoint(accounts)

    charge.public_reading = True  # type: ignore[attr-defined]
    return charge


def _wanted(file: MediaFile, name: str) -> tuple[int | None, ImageFormat] | None:
    """Return width and format of what a name stands for; None unless there is such a variant."""
    parsed = parse_name(name)
    if parsed is None:
        return None
    width, format_ = parsed[0], ImageFormat(parsed[1])
    if width is None:
        return (None, format_) if format_ is file.format else None
    return (width, format_) if width in file.widths and format_ in file.variant_formats else None


def _headers(tag: str, *, public: bool) -> dict[str, str]:
    return {
        "ETag": tag,
        "Cache-Control": f"{'public' if public else 'private'}, {_YEAR}",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "X-Content-Type-Options": "nosniff",
    }
