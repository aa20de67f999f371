"""Adapts schemathesis to rules of Newswire that its OpenAPI document cannot express."""

import json
import os
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import orjson
import schemathesis

from newswire.http.problem_types import PROBLEM_URN

KEY_ID = "NEWSWIRE_FUZZ_KEY_ID"
ACCOUNT = "NEWSWIRE_FUZZ_ACCOUNT"
WEBHOOK = "NEWSWIRE_FUZZ_WEBHOOK"

BATCH = "/v1/articles/batch"
KEPT = ("/v1/keys/", "/v1/articles/")
GONE = ("revoked", "retracted", "cancelled")
MAPS = ("metadata", "filter.metadata", "entitlement.metadata", "labels", "channel.headers")
RULES_OF_STATE = {
    "invalid-cursor",
    "cursor-expired",
    "precondition-failed",
    "not-acceptable",
    "gone",
    "ended-by-operator",
    "cancelled",
}
"""Problems that depend on stored data, or on a value that only the server can generate."""
RULES_OF_FIELDS = {
    "If-Match",
    "If-None-Match",
    "Idempotency-Key",
    "token",
    "ids",
    "q",
    "from",
    "publisher",
    "category",
    "topic",
    "author",
    "language",
    "month",
    "label",
    "after",
    "since",
    "channel.type",
    "channel.url",
    "channel.headers.*",
    "channel.headers",
    "labels.*",
    "labels",
    "filter.query",
    "filter.publishers",
    "filter.categories",
    "filter.topics",
    "filter.authors",
    "filter.languages",
    "filter.metadata",
    "filter.metadata.*",
    "entitlement.query",
    "entitlement.publishers",
    "entitlement.categories",
    "entitlement.topics",
    "entitlement.authors",
    "entitlement.languages",
    "entitlement.metadata",
    "entitlement.metadata.*",
    "channel",
    "filter",
    "start",
    "events",
    "title",
    "body",
    "summary",
    "authors",
    "authors.name",
    "authors.url",
    "topics",
    "published_at",
    "embargo_until",
    "embargo_lifted",
    "external_id",
    "canonical_url",
    "correction_note",
    "reason",
    "image",
    "image.url",
    "image.alt",
    "image.caption",
    "image.credit",
    "metadata",
    "metadata.*",
    "source_version",
    "expires_at",
    "old",
    "new",
    "name",
    "account",
}
"""Members, parameters and headers with rules beyond JSON Schema: characters, addresses, times, combinations."""
COMBINATION = "cannot be combined with"
"""The beginning of problems about a parameter that is valid alone."""


@schemathesis.serializer("application/x-ndjson")
def _serialize(_context: Any, value: Any) -> bytes:
    # Not with orjson: schemathesis generates numbers of any size.
    return value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"


@schemathesis.deserializer("application/x-ndjson")
def _deserialize(_context: Any, response: Any) -> Any:
    return orjson.loads(response.content.partition(b"\n")[0])


@schemathesis.hook
def before_load_schema(_context: Any, raw_schema: dict[str, Any]) -> None:
    """Check against the statuses that are declared individually: ``default`` would allow every other."""
    for operation in _operations(raw_schema):
        operation["responses"].pop("default", None)


@schemathesis.hook
def filter_case(_context: Any, case: Any) -> bool:
    """Skip requests that would revoke the fuzzer's own key."""
    parameters = case.path_parameters or {}
    harmful = case.method.upper() in ("DELETE", "POST", "PATCH")
    return not (
        harmful and (parameters.get("key_id") == os.environ[KEY_ID] or parameters.get("name") == os.environ[ACCOUNT])
    )


@schemathesis.hook
def filter_failure(_context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Drop failures that only mean that a rule cannot be expressed as a JSON Schema."""
    match type(failure).__name__:
        case "RejectedPositiveData":
            return not _refused_by_a_rule(response.json())
        case "AcceptedNegativeData":
            # Each line of a batch is checked separately, in a response that has already started.
            return str(case.operation.path) != BATCH
        case "EnsureResourceAvailability":
            # A subscription has a replay only after one was requested.
            return not str(case.operation.path).endswith("/replay")
        case "UseAfterFree":
            # Revoked keys and retracted articles are still visible to their owner.
            shown = response.status_code == HTTPStatus.NOT_MODIFIED or _state(response.json()) in GONE
            return not (str(case.operation.path).startswith(KEPT) and shown)
        case _:
            return True


def _state(document: Any) -> Any:
    return document.get("state", document.get("status")) if isinstance(document, dict) else None


def _refused_by_a_rule(problem: dict[str, Any]) -> bool:
    name = problem["type"].removeprefix(PROBLEM_URN)
    if name not in ("invalid", "malformed"):
        return name in RULES_OF_STATE
    return all(
        _name_of(error["field"]) in RULES_OF_FIELDS or error["problem"].startswith(COMBINATION)
        for error in problem["errors"]
    )


def _name_of(field: str) -> str:
    """Return a field's path without list indexes and map keys."""
    path = ".".join(part for part in field.split(".") if not part.isdecimal())
    return next((f"{each}.*" for each in MAPS if path.startswith(f"{each}.")), path)


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from (operation for method, operation in methods.items() if method != "parameters")
