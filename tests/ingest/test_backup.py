"""Articles are read for a backup during writes: the backup is consistent, current, and contains no erased text."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.http.application import create_app
from newswire.keys import Keyspace
from newswire.storage.article_records import read_article_state, read_version
from newswire.storage.backup_file import Record
from newswire_ingest.app import assemble
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.backup.backup import ArticleBackup
from newswire_ingest.backup.restore import restore_articles, restore_entries, restore_old_events, restore_position
from newswire_ingest.settings import IngestSettings
from tests.ingest.conftest import ARTICLE, Ingest

SITE = "https://news.example"


async def publish(ingest: Ingest, headers: dict[str, str], title: str, **more: Any) -> dict[str, Any]:
    answer = await ingest.http.post("/v1/articles", json={**ARTICLE, "title": title, **more}, headers=headers)
    assert answer.status_code == 201, answer.text
    article: dict[str, Any] = answer.json()
    return article


async def retract(ingest: Ingest, headers: dict[str, str], article: dict[str, Any]) -> None:
    assert (await ingest.http.delete(f"/v1/articles/{article['id']}", headers=headers)).status_code == 200


@pytest.fixture
def elsewhere(namespace: str) -> Keyspace:
    return Keyspace(f"{namespace}-restored")


async def restore(ingest: Ingest, keys: Keyspace, records: list[Record]) -> None:
    standings = await restore_articles(
        ingest.redis, keys, [record for record in records if record["record"] == "article"]
    )
    entries = [record for record in records if record["record"] == "entry"]
    await restore_old_events(ingest.redis, keys, standings, entries, SITE)
    await restore_entries(ingest.redis, keys, entries)
    [position] = [record for record in records if record["record"] == "position"]
    await restore_position(ingest.redis, keys, position)


async def test_an_article_retracted_during_the_backup_is_not_in_it(ingest: Ingest, publisher: dict[str, str]) -> None:
    kept = await publish(ingest, publisher, "Quokka stays")
    erased = await publish(ingest, publisher, "Numbat goes")
    backup = ArticleBackup(ingest.redis, ingest.keys, "notify")
    read = [record async for record in backup.articles()]
    assert "Numbat" in json.dumps(read)
    async for record in backup.entries():
        if record["record"] == "entry" and not backup.withdrawn and record["subject"] == erased["id"]:
            await retract(ingest, publisher, erased)
            late = await publish(ingest, publisher, "Wombat comes late")
        read.append(record)
    records = [record for record in read if backup.keeps(record)]
    assert "Numbat" not in json.dumps(records)
    articles = {record["id"]: record["records"][""]["status"] for record in records if record["record"] == "article"}
    assert articles == {kept["id"]: "published", erased["id"]: "retracted", late["id"]: "published"}
    assert len([record for record in records if record["record"] == "article"]) == 3


async def test_restored_articles_are_unchanged(ingest: Ingest, publisher: dict[str, str], elsewhere: Keyspace) -> None:
    articles = [
        await publish(ingest, publisher, f"Number {n}", external_id=f"e{n}", category="City", topics=["Ports"])
        for n in range(4)
    ]
    gone = await publish(ingest, publisher, "Gone")
    await retract(ingest, publisher, gone)
    oldest = await ingest.redis.hget(ingest.keys.version(articles[0]["id"], 1), "entry")
    await ingest.redis.xdel(ingest.keys.stream, oldest)  # like the retention
    await ingest.redis.set(ingest.keys.checkpoint("notify"), (await last_id(ingest, ingest.keys)))
    backup = ArticleBackup(ingest.redis, ingest.keys, "notify")
    records = [record async for record in backup.articles()] + [record async for record in backup.entries()]
    await restore(ingest, elsewhere, records)

    async def state(keys: Keyspace) -> list[Any]:
        ids = [article["id"] for article in (*articles, gone)]
        return [
            [await read_article_state(ingest.redis, keys, article) for article in ids],
            [await read_version(ingest.redis, keys, article, 1) for article in ids],
            [
                await ingest.redis.zrange(keys.key(name), 0, -1, withscores=True)
                for name in (
                    "articles",
                    "articles:published:Harbour Gazette",
                    "articles:retracted:Harbour Gazette",
                    "labels:category",
                    "labels:topic",
                    "labels:forms:topic",
                    "labels:spelled:topic",
                )
            ],
            await ingest.redis.hgetall(keys.external("Harbour Gazette")),
            await ingest.redis.hgetall(keys.key("labels", "of", "Harbour Gazette")),
        ]

    assert await state(elsewhere) == await state(ingest.keys)
    entries = await ingest.redis.xrange(elsewhere.stream)
    assert entries[1:] == await ingest.redis.xrange(ingest.keys.stream)
    assert entries[0][0] == b"1-1"
    made_anew, event = json.loads(entries[0][1][b"__data__"]), (await ingest.events())[0]
    assert made_anew["data"] | {"id": ""} == event["data"] | {
        "id": "", "title": "Number 0", "external_id": "e0", "url": articles[0]["url"],
        "published_at": articles[0]["published_at"], "updated_at": articles[0]["updated_at"],
    }  # fmt: skip
    assert {**made_anew, "data": 0, "traceparent": 0} == {
        **event, "data": 0, "traceparent": 0, "id": f"{articles[0]['id']}.1", "subject": articles[0]["id"],
        "time": made_anew["time"],
    }  # fmt: skip
    assert await last_id(ingest, elsewhere) == await last_id(ingest, ingest.keys)
    groups = {group["name"]: group["last-delivered-id"] for group in await ingest.redis.xinfo_groups(elsewhere.stream)}
    assert groups == {b"search": b"0-0", b"notify": await last_id(ingest, ingest.keys)}


async def test_a_restored_article_can_be_retracted_with_its_event(
    ingest: Ingest, publisher: dict[str, str], elsewhere: Keyspace, settings: IngestSettings
) -> None:
    article = await publish(ingest, publisher, "Numbat goes")
    await ingest.redis.xtrim(ingest.keys.stream, maxlen=0, approximate=False)
    backup = ArticleBackup(ingest.redis, ingest.keys, "notify")
    await restore(
        ingest,
        elsewhere,
        [record async for record in backup.articles()] + [record async for record in backup.entries()],
    )
    assert len(await ingest.redis.xrange(elsewhere.stream)) == 1
    there = settings.model_copy(update={"namespace": elsewhere.namespace})
    app = create_app([assemble(ingest.redis, there)], there, redis=ingest.redis)
    key = await create_key(ingest.redis, elsewhere, "Harbour Gazette", {Scope.PUBLISH})
    headers = {"Authorization": f"Bearer {key.token}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=SITE, headers=headers) as http:
        assert (await http.delete(f"/v1/articles/{article['id']}")).status_code == 200
    [(_, fields)] = await ingest.redis.xrange(elsewhere.stream)
    assert b"Numbat" not in fields[b"__data__"]


async def test_scheduled_articles_are_backed_up_in_their_final_state(
    ingest: Ingest, publisher: dict[str, str], elsewhere: Keyspace
) -> None:
    due = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    kept, changed, cancelled = [
        await publish(ingest, publisher, title, embargo_until=due, topics=["Ports"], external_id=title)
        for title in ("Quokka waits", "Wombat waits", "Numbat waits")
    ]
    backup = ArticleBackup(ingest.redis, ingest.keys, "notify")
    read = [record async for record in backup.articles()]
    later = {**ARTICLE, "title": "Wombat waits longer", "embargo_until": due, "external_id": "Wombat waits"}
    revised = await ingest.http.put(f"/v1/articles/{changed['id']}", json=later, headers=publisher)
    assert revised.status_code == 200, revised.text
    await retract(ingest, publisher, cancelled)
    added = await publish(ingest, publisher, "Bilby waits", embargo_until=due)
    read += [record async for record in backup.entries()]
    records = [record for record in read if backup.keeps(record)]
    assert "Numbat" not in json.dumps(records)
    await restore(ingest, elsewhere, records)
    for name in ("due", "articles", "articles:scheduled:Harbour Gazette"):
        there, here = [
            await ingest.redis.zrange(keys.key(name), 0, -1, withscores=True) for keys in (elsewhere, ingest.keys)
        ]
        assert there == here, name
    assert await ingest.redis.hgetall(elsewhere.external("Harbour Gazette")) == await ingest.redis.hgetall(
        ingest.keys.external("Harbour Gazette")
    )

    store = ArticleStore(ingest.redis, elsewhere, timedelta(hours=24))
    out, coming = await store.publish_due(datetime.now(UTC) + timedelta(hours=3), 10)
    assert coming is None
    assert {article.article_id for article in out} == {kept["id"], changed["id"], added["id"]}
    version = await read_version(ingest.redis, elsewhere, changed["id"], 1)
    assert version is not None
    assert version.title == "Wombat waits longer"
    assert await ingest.redis.zrange(elsewhere.key("labels", "topic"), 0, -1, withscores=True) == [(b"Ports", 1.0)]


async def last_id(ingest: Ingest, keys: Keyspace) -> bytes:
    last: bytes = (await ingest.redis.xinfo_stream(keys.stream))["last-generated-id"]
    return last
