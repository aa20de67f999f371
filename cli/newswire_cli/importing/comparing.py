"""What an import would do to an article: nothing, change it, or make it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from newswire.article import ArticleDraft
from newswire_cli.importing.sending import Stopped
from newswire_ingest.sanitise import sanitise

_NOT_CONTENT = {"silent", "source_version", "correction_note", "external_id"}


def compare(client: httpx.Client, draft: Mapping[str, Any]) -> tuple[str, str]:
    """Return "new", "changed" (with the members that differ) or "unchanged".

    Raises:
        Stopped: the site cannot be asked.
    """
    path = f"/v1/articles/by-external-id/{quote(draft['external_id'], safe='')}"
    try:
        answer = client.get(path)
    except httpx.TransportError as error:
        raise Stopped(f"cannot reach {client.base_url}: {error or type(error).__name__}") from None
    if answer.status_code == httpx.codes.NOT_FOUND:
        return "new", ""
    if answer.status_code != httpx.codes.OK:
        raise Stopped(f"{client.base_url} answers {answer.status_code}")
    existing = answer.json()
    if existing.get("status") == "retracted":
        return "new", "was retracted, and would be published again"
    changed = changes(draft, existing)
    return ("changed", ", ".join(changed)) if changed else ("unchanged", "")


def changes(draft: Mapping[str, Any], existing: Mapping[str, Any]) -> list[str]:
    """Return the members in which the article would differ from what is there."""
    wanted = ArticleDraft.model_validate(draft).model_dump(mode="json", exclude=_NOT_CONTENT)
    wanted["body"] = sanitise(wanted["body"])
    if wanted["published_at"] is None:
        del wanted["published_at"]
    empty: tuple[Any, ...] = (None, [], {}, "und")
    return [
        name
        for name, value in wanted.items()
        if _known(value) != _known(existing.get(name)) and not (value in empty and existing.get(name) in empty)
    ]


def _known(value: Any) -> Any:
    """Drop what is not set, which the one side names and the other leaves out."""
    if isinstance(value, dict):
        return {name: inside for name, inside in value.items() if inside is not None}
    return [_known(each) for each in value] if isinstance(value, list) else value
