"""Rendering of webhook bodies: the CloudEvent of the stream, with full or reduced data."""

import re
from enum import StrEnum
from typing import Any

import orjson

from newswire.events import CloudEvent


class Content(StrEnum):
    """How much of an article a subscription receives."""

    FULL = "full"
    SUMMARY = "summary"
    REFERENCE = "reference"


_TO_BE_PARSED = re.compile(rb'"(reason|data)"|^\{\}$')
"""Envelopes that may have a member that a body sets, or have none. All others need not be parsed to write the body."""
_NOT_IN_SUMMARY = frozenset({"body", "text"})
_IN_REFERENCE = (
    "id", "version", "publisher", "external_id", "url", "kind", "published_at", "updated_at", "reason", "retracted_at",
)  # fmt: skip


def envelope(event: CloudEvent, *, with_data: bool) -> bytes:
    """Return the envelope of an event, which is stored with its plan: without the data of a version, which is in the records."""
    return orjson.dumps(event.model_dump(mode="json", exclude_none=True, exclude=set() if with_data else {"data"}))


def render(envelope_json: bytes, document: bytes | None, content: str, reason: str) -> bytes:
    """Return the body of a webhook.

    Args:
        envelope_json: an envelope, as `envelope` returned it.
        document: the version's document, or None for an envelope that contains its data.
        content: how much of it is sent.
        reason: why the subscription receives it (``matched`` or ``previously_matched``), an extension attribute of the event.
    """
    if document is not None and content == Content.FULL and not _TO_BE_PARSED.search(envelope_json):
        return b'%b,"reason":"%b","data":%b}' % (envelope_json[:-1], reason.encode(), document)
    event: dict[str, Any] = orjson.loads(envelope_json)
    data = event.pop("data", None)
    if document is not None:
        event["reason"] = reason
        if content == Content.FULL:
            return orjson.dumps(event)[:-1] + b',"data":' + document + b"}"
        data = orjson.loads(document)
    return orjson.dumps({**event, "data": _reduced(data, content)})


def _reduced(data: dict[str, Any], content: str) -> dict[str, Any]:
    if content == Content.SUMMARY:
        return {name: value for name, value in data.items() if name not in _NOT_IN_SUMMARY}
    if content == Content.REFERENCE:
        return {name: data[name] for name in _IN_REFERENCE if name in data}
    return data
