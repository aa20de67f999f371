"""Drafts of one account over HTTP."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest

from newswire.auth.credentials import Scope
from newswire_ingest.drafts import composition
from tests.ingest.conftest import Ingest

TEXT = {"title": "Harbour bridge reopens", "body": "<p>The bridge is open again.</p>", "category": "Transport"}


@dataclass
class Drafts:
    """The API of drafts with the key of one account."""

    ingest: Ingest
    headers: dict[str, str]

    async def send(self, method: str, path: str, body: Any = None, match: object = None) -> httpx.Response:
        """Send a request; ``match`` is the revision in ``If-Match``."""
        headers = self.headers | ({"If-Match": f'"{match}"'} if match is not None else {})
        return await self.ingest.http.request(method, f"/v1{path}", json=body, headers=headers)

    async def create(self, **body: Any) -> dict[str, Any]:
        """Create a draft."""
        response = await self.send("POST", "/drafts", body or {"content": TEXT})
        assert response.status_code == 201, response.text
        assert response.headers["etag"] == f'"{response.json()["revision"]}"'
        return dict(response.json())

    async def save(self, draft: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """Save a draft with some members changed."""
        body = draft["content"] | changes
        response = await self.send("PUT", f"/drafts/{draft['id']}", body, draft["revision"])
        assert response.status_code == 200, response.text
        return dict(response.json())

    async def act(self, draft: dict[str, Any], act: str, **body: Any) -> dict[str, Any]:
        """Do an act with the revision of a draft that was read."""
        response = await self.send("POST", f"/drafts/{draft['id']}/{act}", body, draft["revision"])
        assert response.status_code == 200, response.text
        return dict(response.json())

    async def read(self, draft: dict[str, Any]) -> dict[str, Any]:
        """Read a draft again."""
        response = await self.send("GET", f"/drafts/{draft['id']}")
        assert response.status_code == 200, response.text
        return dict(response.json())

    async def audit(self) -> list[str]:
        """Return the acts in the audit log about drafts and articles, oldest first."""
        entries = await self.ingest.redis.xrange(self.ingest.keys.audit_log)
        acts = [orjson.loads(fields[b"entry"])["act"] for _, fields in entries]
        return [act for act in acts if act.startswith(("draft.", "article."))]


@dataclass
class Clock:
    """The clock of the service of drafts."""

    now: datetime = datetime(2026, 3, 1, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now

    def shift(self, **by: float) -> None:
        """Let time pass."""
        self.now += timedelta(**by)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of `timed`."""
    clock = Clock()
    monkeypatch.setattr(composition, "utc_now", clock)
    return clock


@pytest.fixture
async def timed(ingest: Ingest, clock: Clock) -> Drafts:
    """The same as `drafts`, with a clock that the test sets and few revisions."""
    ingest = ingest.with_settings(draft_revisions=3)
    return Drafts(ingest, await ingest.key("Harbour Gazette", Scope.PUBLISH))


@pytest.fixture
async def drafts(ingest: Ingest) -> Drafts:
    return Drafts(ingest, await ingest.key("Harbour Gazette", Scope.PUBLISH))
