"""Deliveries, replays and pulls of texts that are in the archive; while it is away, they wait and lose nothing."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.keys import Keyspace
from newswire.observability import metrics
from newswire.storage import document_archive
from newswire.storage.document_archive import Pointer, open_archive
from newswire_ingest.app import service as ingest
from newswire_ingest.archive.archiver import Archiver
from newswire_ingest.archive.repository import ArchiveRepository
from newswire_ingest.settings import IngestSettings
from newswire_notify.deliveries import worker
from newswire_notify.fanout import backfill
from newswire_notify.settings import NotifySettings
from tests.notify.conftest import Receiver, until
from tests.notify.notify_server import served
from tests.polling import DEADLINE_SECONDS

pytestmark = pytest.mark.slow
BODY = "<p>It crossed the sound before dawn.</p>"


@dataclass
class Site:
    """Ingest and notify with an archive in a folder."""

    http: httpx.AsyncClient
    redis: Redis
    keys: Keyspace
    settings: IngestSettings
    folder: Path
    key: dict[str, str]

    async def publish(self, title: str) -> str:
        answer = await self.http.post("/v1/articles", json={"title": title, "body": BODY}, headers=self.key)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def archive_all(self) -> None:
        """Move every text to the archive, and forget all events, as their retention does."""
        storage = open_archive(self.settings).storage
        ids = [raw.decode() for raw in await self.redis.zrange(self.keys.articles, 0, -1)]
        own = Archiver(ArchiveRepository(self.redis, self.keys), storage, after_days=1)
        await own.archive(ids, datetime.now(UTC) + timedelta(minutes=1))
        for article in ids:
            assert Pointer.read(await self.redis.hget(self.keys.version(article, 1), "document"))
        ((last, _),) = await self.redis.xrevrange(self.keys.stream, count=1)
        await self.redis.xtrim(self.keys.stream, maxlen=0, approximate=False)
        await self.redis.set(self.keys.trimmed, last)

    def unmount(self) -> None:
        self.folder.rename(self.folder.with_name("away"))
        self.folder.mkdir()

    def mount(self) -> None:
        self.folder.rmdir()
        self.folder.with_name("away").rename(self.folder)

    async def get(self, path: str) -> Any:
        answer = await self.http.get(path, headers=self.key)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
async def site(
    redis: Redis, redis_url: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    monkeypatch.setattr(document_archive, "FAILING_SECONDS", 0.0)
    monkeypatch.setattr(worker, "UNAVAILABLE_SECONDS", 0.1)
    monkeypatch.setattr(backfill, "LEASE_SECONDS", 0.5)
    folder = tmp_path / "archive"
    common: dict[str, Any] = {"redis_url": SecretStr(redis_url), "namespace": namespace, "allow_volatile": True}
    common["archive_url"] = folder.as_uri()
    own = IngestSettings(**common)
    key = await create_key(redis, Keyspace(namespace), "Harbour Gazette", {Scope.PUBLISH, Scope.SUBSCRIBE})
    async with (
        served(redis, NotifySettings(**common, webhook_allow_private=True), partial(ingest, own)) as (url, _),
        httpx.AsyncClient(base_url=url, timeout=DEADLINE_SECONDS) as http,
    ):
        yield Site(http, redis, Keyspace(namespace), own, folder, {"Authorization": f"Bearer {key.token}"})


def unavailable() -> float:
    return metrics.archive_reads.labels("unavailable")._value.get()


async def test_deliveries_and_pulls_of_archived_texts(site: Site, receiver: Receiver) -> None:
    sent = {"channel": {"type": "webhook", "url": f"{receiver.url}/hook"}}
    made = await site.http.post("/v1/subscriptions", json=sent, headers=site.key)
    assert made.status_code == 201, made.text
    subscription = f"/v1/subscriptions/{made.json()['id']}"
    articles = [await site.publish(title) for title in ("The ferry", "The tram")]
    await until(lambda: len(receiver.got) == 2)

    async def ended() -> bool:
        rows = (await site.get(f"{subscription}/deliveries"))["deliveries"]
        return [row["state"] for row in rows] == ["delivered", "delivered"]

    await until(ended)
    await site.archive_all()
    first = receiver.got[0].event["id"]
    rows = (await site.get(f"{subscription}/deliveries"))["deliveries"]
    (delivery,) = [row["id"] for row in rows if row["event"] == first]

    site.unmount()
    pulled = await site.http.get("/v1/events", params={"after": "0"}, headers=site.key)
    assert (pulled.status_code, pulled.headers["retry-after"]) == (503, "10")
    assert "archive" in pulled.json()["detail"]
    replayed = await site.http.post(f"{subscription}/deliveries/{delivery}/replay", headers=site.key)
    assert replayed.status_code == 202, replayed.text
    tried = unavailable()
    await until(lambda: unavailable() >= tried + 2)  # it was postponed, and tried again
    rows = (await site.get(f"{subscription}/deliveries"))["deliveries"]
    assert {row["state"] for row in rows if row["id"] == delivery} <= {"pending", "delivering"}
    assert len(receiver.got) == 2

    site.mount()
    await until(lambda: len(receiver.got) == 3)
    assert receiver.got[2].event["id"] == first
    assert receiver.got[2].event["data"]["body"] == BODY
    page = await site.get("/v1/events?after=0")
    assert [event["data"]["id"] for event in page["events"]] == articles
    assert {event["data"]["body"] for event in page["events"]} == {BODY}

    site.unmount()
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    started = await site.http.post(f"{subscription}/replay", json={"since": since}, headers=site.key)
    assert started.status_code == 202, started.text
    tried = unavailable()
    await until(lambda: unavailable() > tried)
    site.mount()
    await until(lambda: len(receiver.got) == 5, 90)
    assert {got.event["data"]["id"] for got in receiver.got[3:]} == set(articles)
