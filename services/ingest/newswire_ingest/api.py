"""The publishers' API."""

import re
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response
from ulid import ULID

from newswire import telemetry
from newswire.accounts import Caller, Scope, authorised
from newswire.article import Article, ArticleDraft, Retraction, Status, Tombstone
from newswire.events import ArticlePublished
from newswire.problems import FieldError, Problem, invalid, not_found, problem, unauthorised, unavailable
from newswire.records import Head
from newswire.requests import Sent, idempotency_key, json_body, single_headers
from newswire_ingest.limits import Limits, publishing
from newswire_ingest.publish import answer, fingerprint, first_version, retraction_event, tombstone, utc_now
from newswire_ingest.settings import IngestSettings
from newswire_ingest.store import ArticleStore, Repeatable
from newswire_ingest.taxonomy import Taxonomy

PATH = "/v1/articles"
TRIES = 10
_ID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")
_ARTICLE = {"model": Article, "description": "The article"}
_AS_IT_IS = {"model": Article | Tombstone, "description": "The article as it is now"}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes this request repeatable without harm for 24 hours: send the same key with the same content again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}

Publisher = Annotated[Caller, Depends(publishing)]
Owner = Annotated[Caller, Depends(authorised(Scope.PUBLISH, Scope.READ))]
ArticleId = Annotated[str, Path(description="The id that publishing answered.")]


def router(store: ArticleStore, settings: IngestSettings, limits: Limits, taxonomy: Taxonomy) -> APIRouter:
    """Make the routes over a store."""
    routes = APIRouter(prefix=PATH, tags=["publishing"])

    @routes.post(
        "",
        status_code=201,
        response_class=Response,
        summary="Publish an article",
        responses={
            201: _ARTICLE,
            200: {**_AS_IT_IS, "description": "This was published before: the article as it is now"},
        },
        openapi_extra={"parameters": [_IDEMPOTENCY_KEY]},
    )
    async def publish(
        request: Request, caller: Publisher, sent: Annotated[Sent[ArticleDraft], Depends(json_body(ArticleDraft))]
    ) -> Response:
        key = idempotency_key(request)
        now = utc_now()
        repeatable = Repeatable(caller.account, "POST", PATH, key) if key else None
        quota = limits.counter(caller, now), limits.quota(caller)
        id_, trace = str(ULID()).lower(), telemetry.traceparent(request.headers.get("traceparent"))
        for attempt in range(TRIES):
            version = first_version(
                await taxonomy.spelt(sent.model, anew=attempt > 0),
                id_=id_,
                publisher=caller.account,
                site=settings.site,
                now=now,
                traceparent=trace,
            )
            outcome = await store.publish(version, caller, fingerprint(sent.raw), now, repeatable, quota)
            match outcome.verdict:
                case "OK":
                    telemetry.published.labels("published").inc()
                    return _answer(201, answer(version.document), location=version.id)
                case "REPEAT":
                    telemetry.repeated.inc()
                    return await _as_it_is(store, outcome.article_id)
                case "KEY_MISMATCH":
                    raise _key_mismatch()
                case "EXTERNAL_TAKEN":
                    raise _external_taken(f"{settings.site}{PATH}/{outcome.article_id}")
                case "REVOKED":
                    raise unauthorised("the key sent is not valid")
                case "OVER_QUOTA":
                    raise limits.over_quota(caller, now)
                case "MISSPELT":  # a label was used first, or merged, since this process looked
                    continue
                case _:
                    break
        raise unavailable("the article's id is taken; send the request again")

    @routes.get(
        "/{article_id}",
        response_class=Response,
        summary="Read one of your own articles",
        responses={200: {**_AS_IT_IS, "description": "The article, or its tombstone once it was retracted"}},
    )
    async def read(caller: Owner, article_id: ArticleId, _: Annotated[None, Depends(single_headers)]) -> Response:
        head, document = await _own(store, caller, article_id)
        return _answer(200, _view(head, document))

    @routes.delete(
        "/{article_id}",
        response_class=Response,
        summary="Retract an article: its text is erased everywhere",
        responses={200: {"model": Tombstone, "description": "What remains of it"}},
    )
    async def retract(
        request: Request,
        caller: Publisher,
        sent: Annotated[Sent[Retraction], Depends(json_body(Retraction, optional=True))],
        article_id: ArticleId,
    ) -> Response:
        trace = telemetry.traceparent(request.headers.get("traceparent"))
        for _ in range(TRIES):
            head, document = await _own(store, caller, article_id)
            if document is None:
                return _answer(200, _view(head, None))
            now = utc_now()
            remains = tombstone(ArticlePublished.model_validate_json(document), sent.model.reason, now)
            told = retraction_event(remains, site=settings.site, traceparent=trace)
            outcome = await store.retract(head, caller, _json(remains), told, now)
            if outcome.verdict == "REVOKED":
                raise unauthorised("the key sent is not valid")
            if outcome.verdict == "OK":
                telemetry.published.labels("retracted").inc()
                return Response(_json(remains), media_type="application/json", headers=_HEADERS)
        raise unavailable("the article is being changed; send the request again")

    return routes


_HEADERS = {"Cache-Control": "private, no-store"}


def _answer(status: int, document: dict[str, Any], *, location: str | None = None) -> Response:
    headers = {**_HEADERS, "Location": f"{PATH}/{location}"} if location else _HEADERS
    return Response(orjson.dumps(document), status, headers, "application/json")


async def _as_it_is(store: ArticleStore, article_id: str) -> Response:
    found = await store.find(article_id)
    if found is None:
        raise unavailable("the article is not there yet; send the request again")
    return _answer(200, _view(*found), location=article_id)


async def _own(store: ArticleStore, caller: Caller, article_id: str) -> tuple[Head, bytes | None]:
    found = await store.find(article_id) if _ID.fullmatch(article_id) else None
    if found is None or found[0].publisher != caller.account:
        raise not_found("article of yours")
    return found


def _view(head: Head, document: bytes | None) -> dict[str, Any]:
    if document is not None:
        return answer(orjson.loads(document))
    if head.status is Status.RETRACTED and head.tombstone is not None:
        return head.tombstone.model_dump(mode="json", exclude_none=True)
    raise unavailable("the article is being changed; send the request again")


def _json(remains: Tombstone) -> bytes:
    return remains.model_dump_json(exclude_none=True).encode()


def _key_mismatch() -> Problem:
    return invalid(
        "Idempotency-Key",
        "was used with other content within the last 24 hours",
        "send the same content again to repeat that request, or a fresh key for new content",
    )


def _external_taken(url: str) -> Problem:
    what = f"belongs already to {url}, which was created with other content"
    fix = f"change that article with PUT {url}, or send another external_id"
    error = FieldError("external_id", what, fix)
    detail = f"external_id: {what}"
    return problem(409, "external-id-taken", detail, title="Already published", errors=[error], extra={"article": url})
