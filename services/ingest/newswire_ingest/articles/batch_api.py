"""The publishers' API: many articles in one request."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from newswire.auth.authentication import authorised
from newswire.auth.credentials import Caller
from newswire.auth.credentials import Scope as KeyScope
from newswire.http.problem_responses import problems
from newswire.http.replication import CONFIRMS_PARTS
from newswire.http.request_parsing import check_media_type, check_single_headers, idempotency_key, query_params
from newswire.observability import tracing
from newswire.storage.replication import ReplicationBarrier
from newswire_ingest.articles.api import IDEMPOTENCY_KEY
from newswire_ingest.articles.batch import Batch, BatchLineResult
from newswire_ingest.articles.disk_buffer import DiskBuffer
from newswire_ingest.articles.dry_run import DryRun
from newswire_ingest.articles.models import PATH, WriteCommand
from newswire_ingest.articles.ndjson import MEDIA_TYPE
from newswire_ingest.articles.service import ArticleService
from newswire_ingest.limits.limits import Limits

_BODY = {
    "required": True,
    "description": "One article per line, each of at most 1 MiB; blank lines are counted but skipped",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ArticleDraft"}}},
}
_ANSWERS = {
    "description": "One result line for each line that is not blank, in the same order",
    "content": {MEDIA_TYPE: {"schema": BatchLineResult.model_json_schema()}},
}


class BatchParams(BaseModel):
    """The parameters of a batch."""

    model_config = ConfigDict(extra="forbid")

    silent: Annotated[bool, Field(description="the default of `silent` for lines without it")] = False
    dry_run: Annotated[bool, Field(description="report what each line would do, and write nothing")] = False


async def _ndjson(request: Request) -> None:
    check_media_type(request, MEDIA_TYPE)
    check_single_headers(request)


def router(articles: ArticleService, limits: Limits, barrier: ReplicationBarrier) -> APIRouter:
    """Return the route. The lines count towards the limits, not the request, and each waits for the replicas of Redis."""
    routes = APIRouter(prefix=PATH, tags=["publishing"])

    @routes.post(
        "/batch",
        response_class=Response,
        summary="Publish many articles, one per line",
        responses={200: _ANSWERS, **problems("unsupported-media-type")},
        openapi_extra={"parameters": [IDEMPOTENCY_KEY], "requestBody": _BODY},
    )
    async def batch(
        request: Request,
        caller: Annotated[Caller, Depends(authorised(KeyScope.PUBLISH, rechecked=True))],
        _: Annotated[None, Depends(_ndjson)],
        wanted: Annotated[BatchParams, Depends(query_params(BatchParams))],
    ) -> Response:
        command = WriteCommand(caller, "", tracing.traceparent(request.headers.get("traceparent")))
        dry_run = DryRun(articles, limits) if wanted.dry_run else None
        key = idempotency_key(request)
        request.scope[CONFIRMS_PARTS] = True
        return _Answers(request, Batch(articles, limits, command, key, wanted.silent, dry_run, barrier))

    return routes


class _Answers(Response):
    """Sends results while the request body is still being received.

    The framework's streaming response cannot do that: it listens for the client's disconnection, and would consume the body.
    """

    media_type = MEDIA_TYPE

    def __init__(self, request: Request, batch: Batch) -> None:
        super().__init__(headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._request = request
        self._batch = batch

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        answers = DiskBuffer()
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._batch.publish(self._request.stream(), answers))
                while data := await answers.read():
                    await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except* ClientDisconnect:
            pass  # the client has disconnected; it can send the lines without a result again
        finally:
            answers.close()
