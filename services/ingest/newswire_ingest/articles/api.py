"""The publishers' API for one article, by its id or its external id."""

from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from newswire.article import ArticleDraft, RetractionRequest, Tombstone
from newswire.auth.authentication import authorised, request_actor
from newswire.auth.credentials import Caller, Scope
from newswire.http.encoded_response import EncodedResponse
from newswire.http.operation_ids import operation_id
from newswire.http.preconditions import IF_MATCH, IF_NONE_MATCH, ONLY_IF_NEW, requested_preconditions
from newswire.http.problem_responses import problems
from newswire.http.problems import from_validation_error, invalid
from newswire.http.request_parsing import JSON, NoParameters, ParsedBody, idempotency_key, json_body, single_headers
from newswire.http.sent_headers import sent_header
from newswire.merge_patch import MEDIA_TYPE
from newswire.observability import metrics, tracing
from newswire.preconditions import UNCONDITIONAL, Preconditions, etag
from newswire.validation.fields import ExternalId
from newswire_ingest.articles.models import PATH, Find, WriteCommand, WriteResult
from newswire_ingest.articles.negotiation import JSON_LD, NINJS, OFFERED, accepted
from newswire_ingest.articles.patch import ArticlePatch
from newswire_ingest.articles.publishing import fingerprint
from newswire_ingest.articles.results import view
from newswire_ingest.articles.schemas import Cancelled, PublisherArticle
from newswire_ingest.articles.service import ArticleService
from newswire_ingest.articles.write_context import IdempotencyScope
from newswire_ingest.limits.dependencies import publishing
from newswire_ingest.settings import IngestSettings

_AS_IT_IS = {"model": PublisherArticle | Tombstone, "description": "The article as it is now"}
_REPRESENTED = {
    **_AS_IT_IS,
    "description": "The article, or its tombstone once it was retracted",
    "content": {NINJS: {"schema": {"type": "object"}}, JSON_LD: {"schema": {"type": "object"}}},
}
_CREATED = {"model": PublisherArticle, "description": "Published, or scheduled"}
_WITHDRAWN = {"model": Tombstone | Cancelled, "description": "Its tombstone; nothing remains of a scheduled article"}
_CHANGE_REFUSED = problems(
    "older-version",
    "retracted",
    "republished",
    "cancelled",
    "precondition-failed",
    "if-match-needed",
    "rate-limited",
    "quota-exceeded",
)
_UNCHANGED = {"description": "Its state still has the ETag that was sent"}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes the request idempotent for 24 hours: repeat it with the same key and the same content.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}

Publisher = Annotated[Caller, Depends(publishing)]
Owner = Annotated[Caller, Depends(authorised(Scope.PUBLISH, Scope.READ))]
Draft = Annotated[ParsedBody[ArticleDraft], Depends(json_body(ArticleDraft))]
Patch = Annotated[ParsedBody[BaseModel], Depends(json_body(ArticlePatch, media_types=(MEDIA_TYPE, JSON)))]
Reason = Annotated[ParsedBody[RetractionRequest], Depends(json_body(RetractionRequest, optional=True))]
Form = Annotated[str, Depends(accepted)]
NoBody = Annotated[None, Depends(single_headers)]
ArticleId = Annotated[str, Path(description="The id from the response to publishing.")]
TheirId = Annotated[str, Path(description="The `external_id` under which you sent it; slashes need no escaping.")]


class _Identity(BaseModel):
    external_id: ExternalId


def router(articles: ArticleService, settings: IngestSettings) -> APIRouter:
    """Return the routes for articles."""
    routes = APIRouter(prefix=PATH, tags=["publishing"], generate_unique_id_function=operation_id)
    of = partial(requested_preconditions, must_match=settings.require_if_match)

    @routes.post(
        "",
        status_code=201,
        response_class=Response,
        summary="Publish an article, or schedule it",
        responses={
            201: _CREATED,
            200: {**_AS_IT_IS, "description": "A repeat of an earlier request: the article as it is now"},
            **problems("external-id-taken", "cancelled", "rate-limited", "quota-exceeded"),
        },
        openapi_extra={"parameters": [IDEMPOTENCY_KEY]},
    )
    async def publish(request: Request, caller: Publisher, sent: Draft) -> Response:
        result = await articles.create(sent.model, _change(request, caller, sent.raw, UNCONDITIONAL))
        if not result.created:
            metrics.idempotent_repeats.inc()
        return _answer(result, location=True)

    @routes.put(
        "/by-external-id/{external_id:path}",
        status_code=200,
        response_class=Response,
        summary="Publish an article under your own id, or replace its content",
        responses={201: _CREATED, 200: _AS_IT_IS, **_CHANGE_REFUSED},
        openapi_extra={"parameters": [IDEMPOTENCY_KEY, IF_MATCH, ONLY_IF_NEW]},
    )
    async def put_external(request: Request, caller: Publisher, sent: Draft, external_id: TheirId) -> Response:
        named = _same_external_id(external_id, sent.model)
        raw = {**sent.raw, "external_id": named}
        return _answer(await articles.put_external(named, sent.model, _change(request, caller, raw, of(request))))

    async def by_external_id(external_id: TheirId) -> Find:
        return partial(articles.find_external, external_id)

    async def by_id(article_id: ArticleId) -> Find:
        return partial(articles.find, article_id)

    for path, found in (("/by-external-id/{external_id:path}", by_external_id), ("/{article_id}", by_id)):
        article = Annotated[Find, Depends(found)]
        how = "" if found is by_id else ", by your own id"

        @routes.get(
            path,
            response_class=Response,
            summary=f"Read one of your own articles{how}",
            responses={
                200: _REPRESENTED,
                304: _UNCHANGED,
                **problems("not-acceptable"),
            },
            openapi_extra={"parameters": [IF_NONE_MATCH]},
        )
        async def read(request: Request, caller: Owner, _: NoParameters, form: Form, find: article) -> Response:
            conditions = requested_preconditions(request)
            found = await find(caller)
            if form != JSON:  # an ETag identifies one representation; changes are conditional on this one
                return Response(orjson.dumps(OFFERED[form](view(found))), 200, {**_HEADERS, "Vary": "Accept"}, form)
            headers = {**_HEADERS, "Vary": "Accept", "ETag": etag(found.state.revision_tag)}
            if conditions.known(found.state.revision_tag):
                return Response(status_code=304, headers=headers)
            return Response(orjson.dumps(view(found)), 200, headers, JSON)

        @routes.patch(
            path,
            response_class=Response,
            summary=f"Change some members of an article{how}",
            responses={200: _AS_IT_IS, **_CHANGE_REFUSED},
            openapi_extra={"parameters": [IDEMPOTENCY_KEY, IF_MATCH]},
        )
        async def patch(request: Request, caller: Publisher, sent: Patch, find: article) -> Response:
            return _answer(await articles.patch(find, sent.raw, _change(request, caller, sent.raw, of(request))))

        @routes.delete(
            path,
            response_class=Response,
            summary=f"Retract an article: its text is erased everywhere; or cancel one that is scheduled{how}",
            responses={200: _WITHDRAWN, **_CHANGE_REFUSED},
            openapi_extra={"parameters": [IDEMPOTENCY_KEY, IF_MATCH]},
        )
        async def withdraw(request: Request, caller: Publisher, sent: Reason, find: article) -> Response:
            change = replace(_change(request, caller, sent.raw, of(request)), actor=request_actor(caller, request))
            return _answer(await articles.withdraw(find, sent.model.reason, change))

    @routes.put(
        "/{article_id}",
        response_class=Response,
        summary="Replace the content of an article; a retracted one is published again",
        responses={200: _AS_IT_IS, **_CHANGE_REFUSED},
        openapi_extra={"parameters": [IDEMPOTENCY_KEY, IF_MATCH]},
    )
    async def put(request: Request, caller: Publisher, sent: Draft, article_id: ArticleId) -> Response:
        return _answer(await articles.put(article_id, sent.model, _change(request, caller, sent.raw, of(request))))

    return routes


_HEADERS = {"Cache-Control": "private, no-store"}
_NOT_STORED = (b"cache-control", b"private, no-store")


def _change(request: Request, caller: Caller, raw: dict[str, Any], conditions: Preconditions) -> WriteCommand:
    key = idempotency_key(request)
    return WriteCommand(
        caller,
        fingerprint(raw),
        tracing.traceparent(sent_header(request.scope, b"traceparent")),
        IdempotencyScope(caller.account, request.method, request.url.path, key) if key else None,
        conditions,
    )


def _answer(result: WriteResult, *, location: bool = False) -> Response:
    headers = [_NOT_STORED]
    if result.revision_tag:
        headers.append((b"etag", etag(result.revision_tag).encode()))
    if result.created or location:
        headers.append((b"location", f"{PATH}/{result.article_id}".encode()))
    return EncodedResponse(orjson.dumps(result.view), 201 if result.created else 200, headers)


def _same_external_id(named: str, draft: ArticleDraft) -> str:
    try:
        _Identity(external_id=named)
    except ValidationError as error:
        raise from_validation_error(error, _Identity) from None
    if draft.external_id not in (None, named):
        raise invalid("external_id", f"differs from '{named}' in the address", "send the same value, or omit it")
    return named
