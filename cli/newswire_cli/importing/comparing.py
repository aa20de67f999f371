"""What an import would do to an article: nothing, change it, or make it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from newswire.article import ArticleDraft, Status
from newswire_cli.importing.sending import Stopped
from newswire_cli.patience import unreachable
from newswire_ingest.content import changed, content
from newswire_ingest.markup_limits import MarkupLimitError


def compare(client: httpx.Client, draft: Mapping[str, Any]) -> tuple[str, str]:
    """Return "new", "changed" (with the members that differ), "unchanged" or "skipped" (with the reason).

    Raises:
        Stopped: the site cannot be asked.
    """
    path = f"/v1/articles/by-external-id/{quote(draft['external_id'], safe='')}"
    try:
        answer = client.get(path)
    except httpx.TransportError as error:
        raise Stopped(unreachable(client, error)) from None
    if answer.status_code == httpx.codes.NOT_FOUND:
        return "new", ""
    if answer.status_code != httpx.codes.OK:
        raise Stopped(f"{client.base_url} answers {answer.status_code}")
    existing = answer.json()
    if existing.get("status") == Status.RETRACTED:
        return "skipped", "was retracted, and stays so"
    model = ArticleDraft.model_validate(draft)
    known, version = existing.get("source_version"), model.source_version
    if known is not None and version is not None and version < known:
        return "skipped", f"is older than version {known}, which is there"
    try:
        wanted = content(model)
    except MarkupLimitError as error:
        return "skipped", f"its body {error}"
    kept = {
        name: existing[name] for name in ("published_at", "source_version") if name in existing and name not in wanted
    }
    differing = changed(existing, wanted | kept)
    return ("changed", ", ".join(differing)) if differing else ("unchanged", "")
