"""The page of an article: what became of it, its versions, and its retraction."""

from typing import Any, get_args

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from newswire.article import Status
from newswire.http.problem_handlers import ProblemMakers
from newswire.preconditions import PreconditionError
from newswire_ingest.articles.article_reader import StoredArticle
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.articles.results import listed_view
from newswire_ingest.articles.service import ArticleService
from newswire_ingest.desk import assets
from newswire_ingest.desk.visit import PATH, Visit, Visits, see_other
from newswire_ingest.drafts.audience import Audiences
from newswire_ingest.drafts.models import DraftAct
from newswire_ingest.drafts.service import DraftService
from newswire_ingest.drafts.zoned_time import Note
from newswire_ingest.outcomes.repository import Outcomes

ARTICLE = f"{PATH}/articles/{{article_id}}"
MAX_VERSIONS = 50
MAX_REASON_CHARS = 1000
_SHOWN = ("title", "url", "published_at", "embargo_until", "retracted_at", "held", "reason")
_VERSION = ("version", "updated_at", "correction_note")


def router(
    drafts: DraftService,
    audiences: Audiences,
    articles: ArticleService,
    store: ArticleStore,
    outcomes: Outcomes,
    visits: Visits,
    problems: ProblemMakers,
) -> APIRouter:
    """Return the pages."""
    routes = visits.workspace.routes(problems)

    async def versions(found: StoredArticle) -> list[dict[str, Any]]:
        """Return the newest versions with their outcomes, newest first; of a retracted article, that of the retraction alone."""
        state = found.state
        by_event = {(each["version"], each["type"]): each for each in await outcomes.of(state)}
        if state.status is Status.RETRACTED:
            outcome = by_event.get((state.version, "retracted"))
            return [{**dict.fromkeys(_VERSION), "kind": "retracted", "outcome": outcome}]
        if state.status is Status.SCHEDULED:
            return []
        oldest = max(state.version - MAX_VERSIONS, 0) + 1
        return [
            {**dict.fromkeys(_VERSION), **each, "outcome": by_event.get((each["version"], "published"))}
            for each in await store.list_versions(state.id, state.version, oldest)
        ]

    async def page(visit: Visit, found: StoredArticle, template: str, *, status: int = 200, **values: Any) -> Response:
        return visits.page(
            visit,
            template,
            scripts=[assets.FORMS, assets.OUTCOMES],
            status=status,
            article=dict.fromkeys(_SHOWN) | listed_view(found),
            away=found.unavailable is not None,
            revision=found.state.revision_tag,
            state=found.state.status.value,
            versions=await versions(found),
            **values,
        )

    @routes.get(ARTICLE)
    async def article_page(request: Request, article_id: str) -> Response:
        visit = await visits.begin(request)
        found = await articles.find(article_id, visit.caller)
        done = request.query_params.get("done", "")
        clocks = request.query_params.get("clocks", "")
        return await page(
            visit,
            found,
            "article.html",
            done=done if done in set(DraftAct) else "",
            clocks=clocks if clocks in get_args(Note) else "",
        )

    @routes.post(f"{ARTICLE}/draft")
    async def edit(request: Request, article_id: str) -> Response:
        visit = await visits.begin(request)
        await visits.browsers.read_form(request, visit.signed_in)
        draft = await drafts.editing.create(visit.account, visit.actor, article_id=article_id)
        return see_other(visit.path("drafts", draft.id))

    @routes.get(f"{ARTICLE}/versions/{{number}}")
    async def version(request: Request, article_id: str, number: int) -> Response:
        visit = await visits.begin(request)
        found = await articles.find(article_id, visit.caller)
        document = await store.version(article_id, number) if 0 < number <= found.state.version else None
        text = orjson.loads(document) if document else None
        return await page(visit, found, "version.html", status=200 if text else 410, text=text, number=number)

    async def retraction(visit: Visit, found: StoredArticle, **values: Any) -> Response:
        audience = await audiences.of_retraction(found.state.id)
        return await page(visit, found, "retract.html", audience=audience, **values)

    @routes.get(f"{ARTICLE}/retract")
    async def retraction_sheet(request: Request, article_id: str) -> Response:
        visit = await visits.begin(request)
        visit.check(DraftAct.RETRACT)
        found = await articles.find(article_id, visit.caller)
        return await retraction(visit, found, reason="", changed=False)

    @routes.post(f"{ARTICLE}/retract")
    async def retract(request: Request, article_id: str) -> Response:
        visit = await visits.begin(request)
        visit.check(DraftAct.RETRACT)
        sent = await visits.browsers.read_form(request, visit.signed_in)
        reason = sent.one("reason").strip()[:MAX_REASON_CHARS] or None
        try:
            await drafts.retract(
                visit.account, article_id, revision=sent.one("revision"), actor=visit.actor, reason=reason
            )
        except PreconditionError:
            found = await articles.find(article_id, visit.caller)
            return await retraction(visit, found, status=409, reason=reason or "", changed=True)
        if sent.one("scheduled") == "yes":
            return see_other(visit.path(show="scheduled"))
        return see_other(visit.path("articles", article_id, done=DraftAct.RETRACT.value))

    return routes
