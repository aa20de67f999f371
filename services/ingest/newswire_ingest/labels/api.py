"""The label API: lists categories and topics for readers, and merges them for operators."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from newswire.auth.authentication import reader, request_actor
from newswire.auth.credentials import Caller
from newswire.http.pagination import MAX_PAGE_SIZE, json_answer
from newswire.http.problem_responses import problems
from newswire.http.problems import not_found, problem
from newswire.http.read_limits import Cost, charged
from newswire.http.request_parsing import ParsedBody, json_body, query_params, single_headers
from newswire.validation.fields import Label
from newswire_ingest.accounts.keys_api import Admin
from newswire_ingest.labels.repository import Kind, Labels


class LabelView(BaseModel):
    """A category or topic, and the number of published articles with it."""

    value: str
    count: int


class LabelsView(BaseModel):
    """The most frequent categories and topics, the most frequent first."""

    categories: list[LabelView]
    topics: list[LabelView]


class LabelListParams(BaseModel):
    """The parameters of ``GET /v1/topics``."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE, description="the most categories, and the most topics")] = (
        MAX_PAGE_SIZE
    )


class LabelMergeRequest(BaseModel):
    """A label to replace by another one from now on."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind = "topic"
    old: Label
    new: Label


class LabelMerge(BaseModel):
    """The label that new versions have in place of the old one."""

    kind: Kind
    old: str
    new: str


def label_routes(labels: Labels) -> APIRouter:
    """Return the paths under ``/v1/topics``."""
    routes = APIRouter(prefix="/v1/topics", tags=["categories and topics"])

    @routes.get(
        "",
        response_model=LabelsView,
        dependencies=[Depends(single_headers), Depends(charged(Cost.LISTING))],
        summary="List categories and topics",
    )
    async def read(
        caller: Annotated[Caller | None, Depends(reader)],
        params: Annotated[LabelListParams, Depends(query_params(LabelListParams))],
    ) -> Response:
        if caller is not None and caller.entitlement is not None:
            # The counts cover all articles, and a restricted reader must not learn the labels of articles that it cannot read.
            detail = "this account can read only a part of the articles; the facets of GET /v1/search count the labels of that part"
            raise problem(403, "forbidden", detail, title="Forbidden")
        counts = await labels.counts(params.limit)
        found_labels = {kind: [asdict(label) for label in found] for kind, found in counts.items()}
        return json_answer({"categories": found_labels["category"], "topics": found_labels["topic"]})

    @routes.post(
        "/merge",
        response_model=LabelMerge,
        summary="Replace a category or topic by another one from now on",
        responses=problems("not-found"),
    )
    async def merge(
        request: Request,
        caller: Admin,
        sent: Annotated[ParsedBody[LabelMergeRequest], Depends(json_body(LabelMergeRequest))],
    ) -> Response:
        wanted = sent.model
        new = await labels.merge(wanted.kind, wanted.old, wanted.new, by=request_actor(caller, request))
        if new is None:
            raise not_found(wanted.kind)
        return json_answer({"kind": wanted.kind, "old": wanted.old, "new": new})

    return routes
