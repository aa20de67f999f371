"""A scheduled article is visible to its publisher only until it is due; then it is published exactly once, in order."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from newswire.article import Status
from newswire.auth.accounts import disable_account, enable_account
from newswire.auth.credentials import Scope
from newswire.events import ArticlePublished, decode
from newswire.storage.article_records import article_ids, read_article_state, read_version
from newswire.timestamps import rfc3339
from newswire_ingest.articles.repository import ArticleStore
from newswire_ingest.articles.scheduler import MAX_SLEEP_SECONDS, keep_publishing, publish_due
from tests.ingest.conftest import ARTICLE, Ingest
from tests.polling import DEADLINE_SECONDS

TOMORROW = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
AFTER = TOMORROW + timedelta(seconds=1)


@pytest.fixture
def store(ingest: Ingest) -> ArticleStore:
    return ArticleStore(ingest.redis, ingest.keys, timedelta(hours=24))


def at(moment: datetime) -> Any:
    """Return a clock that always returns this time."""

    async def clock() -> datetime:
        return moment

    return clock


async def schedule(ingest: Ingest, publisher: dict[str, str], due: datetime = TOMORROW, **more: Any) -> httpx.Response:
    answer = await ingest.http.post(
        "/v1/articles", json={**ARTICLE, "embargo_until": rfc3339(due), **more}, headers=publisher
    )
    assert answer.status_code == 201, answer.text
    return answer


async def test_a_scheduled_article_is_visible_to_its_publisher_only(
    ingest: Ingest, publisher: dict[str, str], store: ArticleStore
) -> None:
    answer = await schedule(ingest, publisher, external_id="gz-1")
    article = answer.json()
    assert {
        "version": 0,
        "revision": 1,
        "status": "scheduled",
        "embargo_until": rfc3339(TOMORROW),
        "published_at": rfc3339(TOMORROW),
    }.items() <= article.items()
    assert answer.headers["etag"] == '"0-1"'
    location = answer.headers["location"]
    for url in (location, "/v1/articles/by-external-id/gz-1"):
        seen = await ingest.http.get(url, headers=publisher)
        assert (seen.json(), seen.headers["etag"]) == (article, '"0-1"')
    listed = (await ingest.http.get("/v1/articles?status=scheduled", headers=publisher)).json()["articles"]
    assert [one["id"] for one in listed] == [article["id"]]
    assert (await ingest.http.get(f"{location}/versions", headers=publisher)).json()["versions"] == []
    assert (await ingest.http.get(f"{location}/versions/1", headers=publisher)).status_code == 404
    stranger = await ingest.key("Valley Post", Scope.PUBLISH)
    assert (await ingest.http.get(location, headers=stranger)).status_code == 404

    await publish_due(store, at(TOMORROW - timedelta(milliseconds=1)))
    assert await ingest.events() == []
    assert await read_version(ingest.redis, ingest.keys, article["id"], 1) is None
    head = await read_article_state(ingest.redis, ingest.keys, article["id"])
    assert head is not None
    assert head.status is Status.SCHEDULED


async def test_a_due_article_is_published_as_version_1_at_the_embargo_time(
    ingest: Ingest, publisher: dict[str, str], store: ArticleStore
) -> None:
    scheduled = (await schedule(ingest, publisher, silent=True, external_id="gz-1")).json()
    assert await publish_due(store, at(AFTER)) == MAX_SLEEP_SECONDS
    [(entry, fields)] = await ingest.redis.xrange(ingest.keys.stream)
    event, payload = decode(fields)
    assert isinstance(payload, ArticlePublished)
    assert not payload.model_extra
    assert (event.id, event.time) == (f"{scheduled['id']}.1", TOMORROW)
    assert (payload.version, payload.revision, payload.kind, payload.silent) == (1, 0, "published", True)
    assert payload.published_at == payload.updated_at == TOMORROW
    assert await read_version(ingest.redis, ingest.keys, scheduled["id"], 1) == payload
    record = await ingest.redis.hgetall(ingest.keys.version(scheduled["id"], 1))
    assert record[b"entry"] == entry
    assert record[b"key"].decode() in publisher["Authorization"]
    article = await ingest.http.get(f"/v1/articles/{scheduled['id']}", headers=publisher)
    assert article.headers["etag"] == '"1-0"'
    assert article.json()["status"] == "published"
    assert "embargo_until" not in article.json()
    listed = (await ingest.http.get("/v1/articles?status=published", headers=publisher)).json()["articles"]
    assert [one["id"] for one in listed] == [scheduled["id"]]
    for name in (ingest.keys.due, ingest.keys.scheduled(scheduled["id"])):
        assert not await ingest.redis.exists(name)
    await publish_due(store, at(AFTER))
    assert len(await ingest.events()) == 1

    sent_again = {**ARTICLE, "embargo_until": rfc3339(datetime.now(UTC) - timedelta(hours=1))}
    url = "/v1/articles/by-external-id/gz-1"
    assert (await ingest.http.put(url, json=sent_again, headers=publisher)).json()["version"] == 1
    later = {**ARTICLE, "embargo_until": rfc3339(AFTER)}
    refused = await ingest.http.put(url, json=later, headers=publisher)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "embargo_until"
    changed = await ingest.http.patch(url, json={"title": "Two"}, headers=publisher)
    assert (changed.json()["version"], changed.json()["published_at"]) == (2, rfc3339(TOMORROW))


async def test_an_article_already_due_is_published_immediately(ingest: Ingest, publisher: dict[str, str]) -> None:
    answer = await schedule(ingest, publisher, datetime.now(UTC) - timedelta(seconds=1))
    assert (answer.json()["status"], answer.json()["version"]) == ("published", 1)
    assert len(await ingest.events()) == 1


async def test_a_past_embargo_is_rejected_unless_confirmed(ingest: Ingest, publisher: dict[str, str]) -> None:
    over = {**ARTICLE, "embargo_until": "2026-03-01T06:00:00Z"}
    url = "/v1/articles/by-external-id/gz-past"
    for method, address in (("POST", "/v1/articles"), ("PUT", url)):
        refused = await ingest.http.request(method, address, json=over, headers=publisher)
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"] == "embargo_until"
        assert "embargo_lifted" in refused.json()["errors"][0]["fix"]
    assert not await ingest.events()
    meant = await ingest.http.put(url, json={**over, "embargo_lifted": True}, headers=publisher)
    assert (meant.status_code, meant.json()["status"]) == (201, "published")
    assert "embargo_lifted" not in meant.json()
    # The embargo of a published article is ignored, and is not a change.
    again = await ingest.http.put(url, json=over, headers=publisher)
    assert (again.status_code, again.json()["version"]) == (200, 1)


async def test_a_past_embargo_does_not_publish_scheduled_or_retracted_articles(
    ingest: Ingest, publisher: dict[str, str]
) -> None:
    location = (await schedule(ingest, publisher)).headers["location"]
    over = {"embargo_until": "2026-03-01T06:00:00Z"}
    for method, body in (("PATCH", over), ("PUT", {**ARTICLE, **over})):
        assert (await ingest.http.request(method, location, json=body, headers=publisher)).status_code == 422
    lifted = await ingest.http.patch(location, json={**over, "embargo_lifted": True}, headers=publisher)
    assert lifted.json()["status"] == "published"
    await ingest.http.delete(location, headers=publisher)
    assert (await ingest.http.put(location, json={**ARTICLE, **over}, headers=publisher)).status_code == 422
    assert (await ingest.http.get(location, headers=publisher)).json()["status"] == "retracted"


async def test_a_repeat_after_the_embargo_is_still_a_repeat(
    ingest: Ingest, publisher: dict[str, str], store: ArticleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embargo was in the future the first time; a repeat a day later is not an error."""
    sent = {**ARTICLE, "embargo_until": rfc3339(TOMORROW), "external_id": "gz-late"}
    keyed = {**publisher, "Idempotency-Key": "late"}
    first = (await ingest.http.post("/v1/articles", json=sent, headers=keyed)).json()
    await publish_due(store, at(AFTER))
    day_after = at(AFTER + timedelta(days=1))
    monkeypatch.setattr(ArticleStore, "time", lambda _: day_after())
    for headers in (keyed, publisher):
        repeated = await ingest.http.post("/v1/articles", json=sent, headers=headers)
        assert (repeated.status_code, repeated.json()["id"]) == (200, first["id"])
    other = await ingest.http.post("/v1/articles", json={**sent, "title": "Other"}, headers=publisher)
    assert other.status_code == 409
    assert len(await ingest.events()) == 1


async def test_a_scheduled_article_can_be_changed_and_rescheduled(
    ingest: Ingest, publisher: dict[str, str], store: ArticleStore
) -> None:
    location = (await schedule(ingest, publisher)).headers["location"]
    patched = await ingest.http.patch(location, json={"title": "Better"}, headers=publisher)
    assert (patched.status_code, patched.headers["etag"]) == (200, '"0-2"')
    assert (patched.json()["embargo_until"], patched.json()["title"]) == (rfc3339(TOMORROW), "Better")
    same = await ingest.http.patch(location, json={"title": "Better"}, headers=publisher)
    assert same.headers["etag"] == '"0-2"'
    stale = await ingest.http.patch(location, json={"title": "X"}, headers={**publisher, "If-Match": '"0-1"'})
    assert stale.status_code == 412
    moved = await ingest.http.patch(location, json={"embargo_until": rfc3339(AFTER)}, headers=publisher)
    assert (moved.headers["etag"], moved.json()["published_at"]) == ('"0-3"', rfc3339(AFTER))
    whole = {**ARTICLE, "title": "Whole", "embargo_until": rfc3339(AFTER)}
    assert (await ingest.http.put(location, json=whole, headers=publisher)).headers["etag"] == '"0-4"'
    await publish_due(store, at(TOMORROW))
    assert await ingest.events() == []
    await publish_due(store, at(AFTER))
    [event] = await ingest.events()
    assert (event["data"]["title"], event["data"]["version"]) == ("Whole", 1)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_removing_the_embargo_publishes_immediately(
    ingest: Ingest, publisher: dict[str, str], store: ArticleStore, method: str
) -> None:
    location = (await schedule(ingest, publisher)).headers["location"]
    content = ARTICLE if method == "PUT" else {"embargo_until": None}
    answer = await ingest.http.request(method, location, json=content, headers=publisher)
    assert (answer.json()["status"], answer.json()["version"], answer.headers["etag"]) == ("published", 1, '"1-0"')
    assert datetime.fromisoformat(answer.json()["published_at"]) <= datetime.now(UTC)
    await publish_due(store, at(AFTER))
    [event] = await ingest.events()
    assert event["data"]["kind"] == "published"
    assert not await ingest.redis.exists(ingest.keys.scheduled(answer.json()["id"]))


async def test_a_cancelled_article_is_deleted_and_frees_its_external_id(
    ingest: Ingest, publisher: dict[str, str], store: ArticleStore
) -> None:
    created = {**publisher, "Idempotency-Key": "create"}
    sent = {**ARTICLE, "embargo_until": rfc3339(TOMORROW), "external_id": "gz-1"}
    location = (await ingest.http.post("/v1/articles", json=sent, headers=created)).headers["location"]
    deletion = {**publisher, "Idempotency-Key": "delete"}
    answer = await ingest.http.delete(location, headers=deletion)
    assert (answer.status_code, answer.json()) == (
        200,
        {"id": location.rpartition("/")[2], "status": "cancelled"},
    )
    assert (await ingest.http.delete(location, headers=deletion)).json() == answer.json()
    assert (await ingest.http.delete(location, headers=publisher)).status_code == 404
    assert (await ingest.http.get(location, headers=publisher)).status_code == 404
    late = await ingest.http.post("/v1/articles", json=sent, headers=created)
    assert late.status_code == 410
    assert b"Harbour bridge" not in await ingest.everything()
    await publish_due(store, at(AFTER))
    assert await ingest.events() == []
    assert await ingest.redis.zcard(ingest.keys.articles) == 0
    anew = await ingest.http.put("/v1/articles/by-external-id/gz-1", json=ARTICLE, headers=publisher)
    assert anew.status_code == 201
    assert f"/v1/articles/{anew.json()['id']}" != location


async def test_concurrent_repeats_of_scheduling_create_one_article(
    ingest: Ingest, publisher: dict[str, str], store: ArticleStore
) -> None:
    sent = {**ARTICLE, "embargo_until": rfc3339(TOMORROW), "external_id": "gz-1"}
    answers = await asyncio.gather(*(ingest.http.post("/v1/articles", json=sent, headers=publisher) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    location = answers[0].headers["location"]
    changed = await asyncio.gather(
        *(ingest.http.patch(location, json={"metadata": {f"m{n}": "x"}}, headers=publisher) for n in range(10)),
        *(publish_due(store, at(AFTER)) for _ in range(3)),
    )
    assert all(not isinstance(answer, httpx.Response) or answer.status_code == 200 for answer in changed)
    versions = [event["data"]["version"] for event in await ingest.events()]
    assert versions == list(range(1, len(versions) + 1))
    last = (await ingest.http.get(location, headers=publisher)).json()
    assert set(last["metadata"]) == {f"m{n}" for n in range(10)}


async def test_three_schedulers_publish_each_article_once_and_in_order(
    ingest: Ingest, publisher: dict[str, str], redis_url: str
) -> None:
    dues = [TOMORROW + timedelta(milliseconds=(n * 37) % 240) for n in range(240)]
    for number, due in enumerate(dues):
        await schedule(ingest, publisher, due, title=f"T{number}")
    async with Redis.from_url(redis_url) as one, Redis.from_url(redis_url) as two:
        stores = [ArticleStore(redis, ingest.keys, timedelta(hours=24)) for redis in (ingest.redis, one, two)]
        await asyncio.gather(*(publish_due(store, at(AFTER)) for store in stores))
    events = await ingest.events()
    assert len(events) == len({event["id"] for event in events}) == 240
    assert [event["time"] for event in events] == [rfc3339(due) for due in sorted(dues)]


async def test_clock_changes_publish_nothing_early_or_twice(
    ingest: Ingest, publisher: dict[str, str], store: ArticleStore
) -> None:
    await schedule(ingest, publisher)
    for moment in (TOMORROW - timedelta(days=400), TOMORROW - timedelta(seconds=1)):
        assert await publish_due(store, at(moment)) <= MAX_SLEEP_SECONDS
        assert await ingest.events() == []
    assert await publish_due(store, at(TOMORROW - timedelta(milliseconds=20))) == pytest.approx(0.02, abs=0.001)
    for moment in (AFTER, TOMORROW - timedelta(hours=1), AFTER):
        await publish_due(store, at(moment))
    assert len(await ingest.events()) == 1


async def test_the_scheduler_uses_the_clock_of_the_store_and_stops(
    ingest: Ingest, publisher: dict[str, str], store: ArticleStore
) -> None:
    stopping = asyncio.Event()
    running = asyncio.create_task(keep_publishing(store, store.time, stopping))
    due = datetime.now(UTC) + timedelta(seconds=0.3)
    await schedule(ingest, publisher, due)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not (entries := await ingest.redis.xrange(ingest.keys.stream)):
            await asyncio.sleep(0.01)
    assert int(entries[0][0].split(b"-")[0]) / 1000 >= due.timestamp() - 0.001
    stopping.set()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await running


async def test_iterating_over_articles_misses_none_during_cancellations(
    ingest: Ingest, publisher: dict[str, str]
) -> None:
    kept = [(await ingest.http.post("/v1/articles", json=ARTICLE, headers=publisher)).json()["id"] for _ in range(7)]
    doomed = [(await schedule(ingest, publisher)).headers["location"] for _ in range(7)]
    scores = {article_id: number // 3 for number, article_id in enumerate(sorted(kept))}
    scores |= {location.rpartition("/")[2]: number // 3 for number, location in enumerate(doomed)}
    await ingest.redis.zadd(ingest.keys.articles, scores)
    seen = []
    async for article_id in article_ids(ingest.redis, ingest.keys, page=2):
        seen.append(article_id)
        if doomed:
            assert (await ingest.http.delete(doomed.pop(0), headers=publisher)).status_code == 200
    assert set(kept) <= set(seen)
    assert len(seen) == len(set(seen))


async def disabled(ingest: Ingest, account: str = "Harbour Gazette") -> None:
    assert await disable_account(ingest.redis, ingest.keys, account)


async def enabled(ingest: Ingest, account: str = "Harbour Gazette") -> None:
    assert await enable_account(ingest.redis, ingest.keys, account)


async def test_an_article_due_while_its_account_is_disabled_is_held(
    ingest: Ingest, publisher: dict[str, str], store: ArticleStore
) -> None:
    location = (await schedule(ingest, publisher)).headers["location"]
    other = await schedule(ingest, await ingest.key("Valley Post", Scope.PUBLISH))
    await disabled(ingest)
    await publish_due(store, at(AFTER))
    assert [event["subject"] for event in await ingest.events()] == [other.json()["id"]]
    await enabled(ingest)
    await publish_due(store, at(AFTER + timedelta(days=30)))
    seen = await ingest.http.get(location, headers=publisher)
    shown = seen.json()
    assert (shown["status"], shown["held"], shown["revision"]) == ("scheduled", "account_disabled", 2)
    assert seen.headers["etag"] == '"0-2"'
    listed = (await ingest.http.get("/v1/articles?status=scheduled", headers=publisher)).json()["articles"]
    assert [article.get("held") for article in listed] == ["account_disabled"]
    assert len(await ingest.events()) == 1


async def disabled_in_time(ingest: Ingest, publisher: dict[str, str], store: ArticleStore) -> tuple[str, datetime]:
    """Schedule an article soon, and disable its account before; return its address and its time."""
    wait = timedelta(milliseconds=300)
    while True:
        soon = await store.time() + wait
        location = (await schedule(ingest, publisher, soon)).headers["location"]
        await disabled(ingest)
        if await store.time() < soon:
            return location, soon
        await enabled(ingest)  # on a busy machine, the account may have been disabled too late
        wait *= 2


async def held(ingest: Ingest, publisher: dict[str, str], store: ArticleStore) -> str:
    """Schedule an article and return its address once it is held, with a publication time in the past."""
    location, soon = await disabled_in_time(ingest, publisher, store)
    await publish_due(store, at(AFTER))
    await enabled(ingest)
    while await store.time() <= soon:
        await asyncio.sleep(0.05)
    return location


async def test_only_an_explicit_change_publishes_a_held_article(
    ingest: Ingest, publisher: dict[str, str], store: ArticleStore
) -> None:
    location = await held(ingest, publisher, store)
    article = (await ingest.http.get(location, headers=publisher)).json()
    refused = await ingest.http.patch(location, json={"title": "Another"}, headers=publisher)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "embargo_until")
    same = {**ARTICLE, "embargo_until": article["embargo_until"]}
    refused = await ingest.http.put(location, json=same, headers=publisher)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "embargo_until")
    later = await ingest.http.patch(location, json={"embargo_until": rfc3339(TOMORROW)}, headers=publisher)
    assert later.status_code == 200, later.text
    assert "held" not in later.json()
    assert "held" not in (await ingest.http.get(location, headers=publisher)).json()
    await publish_due(store, at(AFTER))
    assert (await ingest.http.get(location, headers=publisher)).json()["status"] == "published"


async def test_a_held_article_can_be_published_or_cancelled(
    ingest: Ingest, publisher: dict[str, str], store: ArticleStore
) -> None:
    location = await held(ingest, publisher, store)
    out = await ingest.http.patch(location, json={"embargo_until": None}, headers=publisher)
    assert (out.status_code, out.json()["status"], out.json().get("held")) == (200, "published", None)
    head = await read_article_state(ingest.redis, ingest.keys, out.json()["id"])
    assert head is not None
    assert head.held is None
    other = await held(ingest, publisher, store)
    assert (await ingest.http.delete(other, headers=publisher)).json()["status"] == "cancelled"


async def test_an_article_due_without_a_scheduler_and_with_a_disabled_account_is_held(
    ingest: Ingest, publisher: dict[str, str], store: ArticleStore
) -> None:
    location, due = await disabled_in_time(ingest, publisher, store)
    while await store.time() <= due:
        await asyncio.sleep(0.05)
    await enabled(ingest)
    await publish_due(store, store.time)
    assert (await ingest.http.get(location, headers=publisher)).json()["held"] == "account_disabled"


async def test_an_article_due_after_its_account_was_enabled_is_published_on_time(
    ingest: Ingest, publisher: dict[str, str], store: ArticleStore
) -> None:
    location = (await schedule(ingest, publisher)).headers["location"]
    await disabled(ingest)
    await enabled(ingest)
    await publish_due(store, at(AFTER))
    assert (await ingest.http.get(location, headers=publisher)).json()["status"] == "published"
