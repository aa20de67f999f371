"""No endpoint shows or changes data of another account: every operation of the OpenAPI document is tried."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from newswire.auth.credentials import Scope
from newswire.http.application import create_app
from newswire.timestamps import rfc3339
from newswire_ingest.app import assemble
from newswire_ingest.settings import IngestSettings
from tests.ingest.conftest import ARTICLE, Ingest

SECRET = "Quokka"
PUBLISHED = {"title": SECRET, "body": f"<p>{SECRET}</p>", "external_id": "gz-1"}


def operations() -> list[tuple[str, str]]:
    """Return method and path of every operation on one article or a list of articles."""
    settings = IngestSettings(namespace="isolation")
    app = create_app([assemble(Redis(), settings)], settings, redis=Redis())  # never connected
    return [
        (method.upper(), path)
        for path, methods in app.openapi()["paths"].items()
        if path.startswith("/v1/articles")
        for method in methods
    ]


@pytest.mark.parametrize("state", ["published", "scheduled", "retracted"])
@pytest.mark.parametrize(("method", "path"), operations())
async def test_another_accounts_article_is_not_found(
    ingest: Ingest, publisher: dict[str, str], method: str, path: str, state: str
) -> None:
    due = {"embargo_until": rfc3339(datetime.now(UTC) + timedelta(days=1))} if state == "scheduled" else {}
    created = await ingest.http.post("/v1/articles", json={**PUBLISHED, **due}, headers=publisher)
    location = created.headers["location"]
    if state == "retracted":
        await ingest.http.delete(location, headers=publisher)
    before = await ingest.everything_of("article", "stream", "external", "due")
    stranger = await ingest.key("Valley Post", *Scope)

    url = path.format(article_id=location.rpartition("/")[2], external_id="gz-1", number=1)
    answer = await ask(ingest, method, url, stranger)
    assert SECRET not in answer.text
    if "{article_id}" in path or ("{external_id}" in path and method != "PUT"):
        assert answer.status_code == 404, answer.text
    elif "{external_id}" in path:
        assert (answer.status_code, answer.json()["publisher"]) == (201, "Valley Post")
    else:
        assert answer.status_code in (200, 201), answer.text
        assert location.rpartition("/")[2] not in answer.text
    after = await ingest.everything_of("article", "stream", "external", "due")
    assert {name: after.get(name) for name in before if name not in SHARED} == {
        name: value for name, value in before.items() if name not in SHARED
    }
    assert (await ingest.http.get(location, headers=publisher)).json()["publisher"] == "Harbour Gazette"


SHARED = ("articles", "stream:articles", "due")


async def ask(ingest: Ingest, method: str, url: str, headers: dict[str, str]) -> Any:
    """Send a request that would be valid for an article of the caller."""
    if url.partition("?")[0].endswith("/batch"):
        typed = {**headers, "Content-Type": "application/x-ndjson"}
        return await ingest.http.post(url, content=orjson.dumps(ARTICLE), headers=typed)
    content = ARTICLE if method in ("POST", "PUT", "PATCH") else None
    return await ingest.http.request(method, url, json=content, headers=headers)
