"""The first page of the desk: the list, new drafts, and the time zone."""

from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import Response

from newswire.http.problem_handlers import ProblemMakers
from newswire.users.roles import Permission
from newswire.workspace.browser_sessions import local_path
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.desk import assets, zones
from newswire_ingest.desk.listing import TABS, read_page, selection_of
from newswire_ingest.desk.visit import PATH, Visit, Visits, see_other
from newswire_ingest.drafts.service import DraftService
from newswire_ingest.media.service import MediaService


def router(
    drafts: DraftService, store: ArticleStore, media: MediaService, visits: Visits, problems: ProblemMakers
) -> APIRouter:
    """Return the pages."""
    routes = visits.workspace.routes(problems)

    @routes.get(PATH)
    async def desk(request: Request) -> Response:
        visit = await visits.begin(request)
        chosen = selection_of(request.query_params)
        page = await read_page(drafts, store, visit.account, chosen, request.query_params.get("cursor"))
        following = visit.path(**chosen.query(), cursor=page.next_cursor) if page.next_cursor else None
        return visits.page(
            visit,
            "desk.html",
            scripts=[assets.LIST],
            chosen=chosen,
            tabs=TABS,
            entries=page.entries,
            following=following,
            zones=zones.zone_names(),
            tools=_tools(visit),
            image_bytes=await media.records.bytes_of(visit.account),
            image_space=media.space_bytes,
            size_of=size_of,
        )

    @routes.post(f"{PATH}/drafts")
    async def new_draft(request: Request) -> Response:
        visit = await visits.begin(request)
        await visits.browsers.read_form(request, visit.signed_in)
        draft = await drafts.editing.create(visit.account, visit.actor)
        return see_other(visit.path("drafts", draft.id))

    @routes.post(f"{PATH}/zone")
    async def choose_zone(request: Request) -> Response:
        visit = await visits.begin(request)
        sent = await visits.browsers.read_form(request, visit.signed_in)
        response = see_other(local_path(sent.one("next"), PATH))
        if sent.one("zone") in zones.zone_names():
            zones.keep_zone(response, sent.one("zone"), secure=visits.secure)
        return response

    return routes


def size_of(count: int) -> str:
    """Return a number of bytes as people write it."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _tools(visit: Visit) -> list[tuple[str, str]]:
    """Return the further pages of an account that a user may open: address and name of the text."""
    permitted = visit.signed_in.user.permissions(visit.account)
    people = f"/users?account={quote(visit.account, safe='')}"
    tools = [
        (Permission.MERGE_LABELS, visit.path("labels"), "labels"),
        (Permission.IMPORT, visit.path("imports"), "imports"),
        (Permission.MANAGE_KEYS, visit.path("keys"), "api_keys"),
        (Permission.MANAGE_USERS, people, "users"),
    ]
    return [(path, text) for needed, path, text in tools if needed in permitted]
