"""The OpenAPI 3.1 document: the framework's description, completed with that of our own dependencies."""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from newswire.asyncapi import Channel
from newswire.auth.credentials import Scope
from newswire.http.problem_responses import MEDIA_TYPE, SCHEMA, merged, problems
from newswire.http.request_parsing import MAX_VALUES

_DESCRIPTION = """Errors are problem documents (RFC 9457): `/problems` lists their types.

Within `v1`, members and parameters are added, and nothing is removed or changed in meaning. Clients ignore members that they do
not know."""
_TAGS = {
    "publishing": "Articles of your account: publish, change, schedule, retract, and see what became of them.",
    "drafts": "Texts that are being written, apart from the published articles.",
    "media": "Images of articles: upload them, and read them in several sizes.",
    "categories and topics": "The labels of articles, and how they are spelled.",
    "search": "Published articles for readers.",
    "feeds": "RSS, Atom and JSON feeds of any search.",
    "sitemaps": "Sitemaps for search engines.",
    "discovery": "What crawlers and browsers look for.",
    "live stream": "Events as they happen, pushed or pulled.",
    "subscriptions": "Webhooks: what is delivered, and where to.",
    "deliveries": "What was delivered to a subscription, and what failed.",
    "newsletters": "Newsletters by mail, and their issues.",
    "hub": "The WebSub hub of the feeds.",
    "accounts and keys": "Accounts, their limits and their keys.",
    "operators": "What operators may do with the articles and subscriptions of all accounts.",
    "operations": "Health and metrics.",
}
_REF = "#/components/schemas/{model}"
_STRING = {"type": "string"}
_PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "An error (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": _STRING,
        "status": {"type": "integer"},
        "detail": _STRING,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "problem", "fix"],
                "properties": {"field": _STRING, "problem": _STRING, "fix": _STRING},
            },
        },
    },
}
_PROBLEM_ANSWER = {
    "description": "A problem",
    "content": {MEDIA_TYPE: {"schema": SCHEMA}},
}
_BODY_PROBLEMS = ("malformed", "too-large", "unsupported-media-type", "invalid")
_KEY_PROBLEMS = ("unauthorised", "forbidden", "malformed", "invalid", "too-many-failures", "unavailable", "overloaded")
_READING_PROBLEMS = (*_KEY_PROBLEMS, "rate-limited", "too-many-requests")
_CURSOR_PROBLEMS = ("invalid-cursor", "cursor-expired")
_KEY = {"type": "http", "scheme": "bearer", "description": "A key of your account: nw_…"}
_WHAT_WE_ANSWER_INSTEAD = ("422", "HTTPValidationError", "ValidationError")


def describe(app: FastAPI, site: str, channels: Sequence[Channel] = ()) -> None:
    """Set the OpenAPI document of an app; it is built on first access.

    ``site`` is the public address. Channels whose address the receiver chooses are described as webhooks.
    """

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, site, channels)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI, site: str, channels: Sequence[Channel]) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=_DESCRIPTION,
        routes=app.routes,
        servers=[{"url": site}],
        contact={"name": "The publisher of this installation", "url": f"{site}/about"},
        license_info={"name": "Apache License 2.0", "identifier": "Apache-2.0"},
    )
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _WHAT_WE_ANSWER_INSTEAD:
        schemas.pop(name, None)
    document["components"]["securitySchemes"] = {"key": _KEY}
    bodies: set[type[BaseModel]] = set()
    for route in _routes(app):
        for method in route.methods or ():
            operation = document["paths"].get(route.path_format or "", {}).get(method.lower())
            if operation is not None:
                dependencies = list(_dependencies(route.dependant))
                bodies |= _complete(operation, dependencies)
                for dependency in dependencies:
                    if model := getattr(dependency, "query_model", None):
                        schemas |= _add_parameters(operation, model)
                _add_problems(operation, dependencies)
    _, more = models_json_schema([(model, "validation") for model in bodies], ref_template=_REF)
    schemas |= {**_without_defaults(more.get("$defs", {})), "Problem": _PROBLEM}
    _add_webhooks(document, channels)
    used = dict.fromkeys(
        tag for path in document["paths"].values() for each in path.values() for tag in each.get("tags", ())
    )
    document["tags"] = [{"name": name, "description": _TAGS.get(name, name)} for name in used]
    return document


def _without_defaults(schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schemas of request bodies with defaults as text: generated clients demand members that have a default."""
    for schema in schemas.values():
        for member in schema.get("properties", {}).values():
            default = member.pop("default", None)
            if default not in (None, [], {}):
                text = f"{member.get('description', '')}\n\nDefault: `{orjson.dumps(default).decode()}`."
                member["description"] = text.strip()
    return schemas


def _add_webhooks(document: dict[str, Any], channels: Sequence[Channel]) -> None:
    """Describe the requests that receivers get."""
    for channel in channels:
        if channel.address is not None:
            continue
        payload = TypeAdapter(channel.event).json_schema(ref_template=_REF)
        for name, schema in payload.pop("$defs", {}).items():
            document["components"]["schemas"].setdefault(name, schema)
        headers: dict[str, Any] = (channel.headers or {}).get("properties", {})
        content_type = headers.get("content-type", {}).get("const", "application/json")
        document.setdefault("webhooks", {})[channel.name] = {
            "post": {
                "operationId": f"receive{channel.name.capitalize()}",
                "summary": "An event of a subscription",
                "description": channel.description,
                "tags": ["subscriptions"],
                "security": [{}],
                "parameters": [
                    {"name": name, "in": "header", "required": True, "schema": schema}
                    for name, schema in headers.items()
                    if name != "content-type"
                ],
                "requestBody": {"required": True, "content": {content_type: {"schema": payload}}},
                "responses": {
                    "2XX": {"description": "Received"},
                    "410": {"description": "The endpoint is gone: the subscription is disabled"},
                    "default": {"description": "The event is sent again later"},
                },
            }
        }


def _routes(app: FastAPI) -> Iterator[RouteContext]:
    """Return the routes with prefixes and shared dependencies applied, as after their routers are included."""
    return (context for context in iter_route_contexts(app.routes) if isinstance(context.original_route, APIRoute))


def _dependencies(dependant: Dependant) -> Iterator[Any]:
    for child in dependant.dependencies:
        yield child.call
        yield from _dependencies(child)


def _add_parameters(operation: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Add the query parameters of a model to an operation; return the schemas that they refer to."""
    schema = model.model_json_schema(ref_template=_REF)
    for each in schema["properties"].values():
        if each.get("default", "") is None:  # clients cannot send it
            del each["default"]
    operation.setdefault("parameters", []).extend(
        {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": each}
        | ({"description": each["description"]} if "description" in each else {})
        for name, each in schema["properties"].items()
    )
    found: dict[str, Any] = schema.get("$defs", {})
    return found


def _add_problems(operation: dict[str, Any], dependencies: list[Any]) -> None:
    """Add the problems that follow from an operation's dependencies and parameters to those that its route declares."""
    names = ["address-too-long"]
    for dependency in dependencies:
        names += getattr(dependency, "problem_names", ())
        if getattr(dependency, "body_model", None):
            names += _BODY_PROBLEMS
        if getattr(dependency, "required_scopes", None):
            names += _KEY_PROBLEMS
        elif getattr(dependency, "public_reading", False):
            names += _READING_PROBLEMS
    parameters = operation.get("parameters", ())
    if any(parameter["in"] == "path" for parameter in parameters):
        names.append("not-found")
    if any(parameter["name"] == "cursor" for parameter in parameters):
        names += _CURSOR_PROBLEMS
    declared = operation["responses"]
    for status, response in problems(*names).items():
        found = declared.get(str(status))
        declared[str(status)] = response if found is None else merged(response, found)


def _complete(operation: dict[str, Any], dependencies: list[Any]) -> set[type[BaseModel]]:
    """Add body, security and problems to one operation; return the models of its body."""
    bodies = set()
    answers = operation.setdefault("responses", {})
    if MEDIA_TYPE not in answers.get("422", {}).get("content", {}):  # defined by the framework
        answers.pop("422", None)
    answers["default"] = _PROBLEM_ANSWER
    for dependency in dependencies:
        if model := getattr(dependency, "body_model", None):
            bodies.add(model)
            schema = {"$ref": _REF.format(model=model.__name__)}
            operation["requestBody"] = {
                "required": dependency.body_required,
                "description": f"At most {dependency.body_limit:,} bytes and {MAX_VALUES:,} members and array items.",
                "content": {media_type: {"schema": schema} for media_type in dependency.body_media_types},
            }
        if scopes := getattr(dependency, "required_scopes", None):
            operation["security"] = [{"key": []}]
            named = " or ".join(f"`{scope}`" for scope in scopes)
            operation["description"] = (
                f"{operation.get('description', '')}\n\nRequires a key with the scope {named}.".strip()
            )
        elif getattr(dependency, "public_reading", False):
            operation["security"] = [{}, {"key": []}]
            operation["description"] = (
                f"{operation.get('description', '')}\n\nPublic; requires the scope `{Scope.READ}` if public reading is disabled."
            ).strip()
    operation.setdefault("security", [])
    operation.setdefault("description", "Public: needs no key.")
    return bodies
