"""Descriptions of problem types and event schemas: ``/problems/{name}`` and ``/schemas/{type}``."""

from functools import cache
from typing import Any

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from newswire.events import SCHEMA_URN, SCHEMAS
from newswire.http import templating as pages
from newswire.http.problem_types import PATH, PROBLEM_TYPES, PROBLEM_URN, ProblemType
from newswire.http.problems import not_found

SCHEMAS_PATH = "/schemas"
_SCHEMA_TYPE = "application/schema+json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_CACHED = {"Cache-Control": "public, max-age=3600"}

reference = APIRouter(include_in_schema=False)


@reference.get(PATH)
async def problem_types(request: Request) -> Response:
    """List the problem types, as a page or as JSON."""
    if _wants_page(request):
        return pages.render("problem_types.html", headers=_PAGE, types=PROBLEM_TYPES, urn=PROBLEM_URN)
    return _json({"problems": [_described(name, kind) for name, kind in PROBLEM_TYPES.items()]})


@reference.get(PATH + "/{name}")
async def problem_kind(name: str, request: Request) -> Response:
    """Describe one problem type, by the last part of its URN or by the whole URN."""
    name = name.removeprefix(PROBLEM_URN)
    kind = PROBLEM_TYPES.get(name)
    if kind is None:
        raise not_found("problem type")
    if _wants_page(request):
        return pages.render("problem_types.html", headers=_PAGE, types={name: kind}, urn=PROBLEM_URN)
    return _json(_described(name, kind))


@reference.get(SCHEMAS_PATH)
async def schemas() -> Response:
    """List the schemas of event data."""
    return _json({"schemas": [{"id": SCHEMA_URN + type_, "href": f"{SCHEMAS_PATH}/{type_}"} for type_ in SCHEMAS]})


@reference.get(SCHEMAS_PATH + "/{type_}")
async def schema(type_: str) -> Response:
    """Return the JSON Schema of an event's data, by the event's type or by the whole URN."""
    type_ = type_.removeprefix(SCHEMA_URN)
    model = SCHEMAS.get(type_)
    if model is None:
        raise not_found("schema")
    return Response(_schema(type_, model), headers=_CACHED, media_type=_SCHEMA_TYPE)


_PAGE = {**_CACHED, "Vary": "Accept"}


@cache
def _schema(type_: str, model: type[BaseModel]) -> bytes:
    found = model.model_json_schema(mode="serialization")
    return orjson.dumps({"$schema": _DIALECT, "$id": SCHEMA_URN + type_, **found})


def _described(name: str, kind: ProblemType) -> dict[str, Any]:
    return {
        "type": PROBLEM_URN + name,
        "status": kind.status,
        "meaning": kind.meaning,
        "remedy": kind.remedy,
        "href": f"{PATH}/{name}",
    }


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _json(content: dict[str, Any]) -> Response:
    return Response(orjson.dumps(content), headers={**_CACHED, "Vary": "Accept"}, media_type="application/json")
