"""Changes to a published article by PUT or PATCH: each is one version and one event, or none."""

import asyncio
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from newswire.auth.credentials import Scope
from newswire.events import PUBLISHED, RETRACTED
from newswire.storage.article_records import read_article_state
from tests.ingest.conftest import ARTICLE, Ingest

MERGE = "application/merge-patch+json"


async def publish(ingest: Ingest, publisher: dict[str, str], **more: Any) -> str:
    answer = await ingest.http.post("/v1/articles", json={**ARTICLE, **more}, headers=publisher)
    assert answer.status_code == 201, answer.text
    return answer.headers["location"]


async def told(ingest: Ingest) -> list[tuple[str, list[str] | None]]:
    """Return kind and changed members of every version on the stream."""
    return [(event["data"].get("kind", "retracted"), event["data"].get("changed")) for event in await ingest.events()]


async def test_put_writes_the_next_version_and_lists_changes(ingest: Ingest, publisher: dict[str, str]) -> None:
    location = await publish(ingest, publisher, category="City", topics=["Bridges"], external_id="gz-1")
    first = (await ingest.http.get(location, headers=publisher)).json()
    answer = await ingest.http.put(location, json={**ARTICLE, "title": "Bridge open", "topics": []}, headers=publisher)
    assert answer.status_code == 200, answer.text
    second = answer.json()
    assert (second["version"], second["revision"], second["title"]) == (2, 0, "Bridge open")
    assert "category" not in second
    assert second["external_id"] == "gz-1"
    assert second["published_at"] == first["published_at"]
    assert second["updated_at"] >= first["updated_at"]
    assert second["url"].endswith("/bridge-open")
    assert (await ingest.http.get(location, headers=publisher)).json() == second
    assert answer.headers["etag"] == '"2-0"'
    assert await told(ingest) == [("published", None), ("updated", ["title", "category", "topics"])]
    events = await ingest.events()
    assert [event["id"] for event in events] == [f"{first['id']}.1", f"{first['id']}.2"]
    assert {event["type"] for event in events} == {PUBLISHED}


async def test_a_correction_note_makes_a_correction(ingest: Ingest, publisher: dict[str, str]) -> None:
    location = await publish(ingest, publisher)
    await ingest.http.patch(location, json={"correction_note": "Named the wrong day."}, headers=publisher)
    after = await ingest.http.patch(location, json={"title": "Later"}, headers=publisher)
    assert after.json()["correction_note"] == "Named the wrong day."
    whole = await ingest.http.put(location, json={**ARTICLE, "title": "Whole"}, headers=publisher)
    assert "correction_note" not in whole.json()
    assert await told(ingest) == [
        ("published", None),
        ("corrected", ["correction_note"]),
        ("updated", ["title"]),
        ("updated", ["title", "correction_note"]),
    ]


async def test_a_patch_changes_what_it_names(ingest: Ingest, publisher: dict[str, str]) -> None:
    location = await publish(
        ingest,
        publisher,
        summary="Short",
        category="City",
        author="Ines Roth",
        metadata={"desk": "metro", "run": "late"},
        image={"url": "https://gazette.example/b.jpg", "alt": "A bridge", "credit": "I. Roth"},
    )
    patch = {
        "summary": None,
        "author": {"name": "Karl Amsel"},
        "metadata": {"run": None, "page": "3"},
        "image": {"alt": "The bridge", "credit": None},
    }
    answer = await ingest.http.patch(location, json=patch, headers={**publisher, "Content-Type": MERGE})
    assert answer.status_code == 200, answer.text
    article = answer.json()
    assert "summary" not in article
    assert article["authors"] == [{"name": "Karl Amsel"}]
    assert article["metadata"] == {"desk": "metro", "page": "3"}
    assert article["image"] == {"url": "https://gazette.example/b.jpg", "alt": "The bridge"}
    assert (article["category"], article["title"]) == ("City", ARTICLE["title"])
    assert (await told(ingest))[1] == ("updated", ["summary", "authors", "image", "metadata"])


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"title": None}, "title"),
        ({"body": None}, "body"),
        ({"title": " "}, "title"),
        ({"headline": "x"}, "headline"),
        ({"headline": None}, "headline"),
        ({"topics": "x"}, "topics"),
        ({"image": {"alt": "no address"}}, "image.url"),
        ({"metadata": {"a": "x" * 5000}}, "metadata"),
        ({"author": "A", "authors": ["B"]}, "$"),
        ({"external_id": "other"}, "external_id"),
        ({"external_id": None}, None),
        ({"embargo_until": "2999-01-01T00:00:00Z"}, "embargo_until"),
        ({"id": "x"}, "id"),
        ("text", "$"),
        ([], "$"),
    ],
)
async def test_an_invalid_patch_is_422_and_writes_nothing(
    ingest: Ingest, publisher: dict[str, str], patch: Any, field: str | None
) -> None:
    location = await publish(ingest, publisher, external_id="gz-1")
    answer = await ingest.http.patch(location, json=patch, headers=publisher)
    if field is None:  # null for the id is not a change: the id is kept
        assert (answer.status_code, answer.json()["external_id"], answer.json()["version"]) == (200, "gz-1", 1)
    else:
        assert answer.status_code == 422, answer.text
        assert field in [error["field"] for error in answer.json()["errors"]]
    assert len(await ingest.events()) == 1


async def test_a_patch_of_another_media_type_is_415(ingest: Ingest, publisher: dict[str, str]) -> None:
    location = await publish(ingest, publisher)
    headers = {**publisher, "Content-Type": "application/json-patch+json"}
    answer = await ingest.http.patch(location, content=b"[]", headers=headers)
    assert answer.status_code == 415
    assert answer.headers["accept"] == "application/merge-patch+json, application/json"


async def test_unchanged_content_creates_no_version_and_no_event(ingest: Ingest, publisher: dict[str, str]) -> None:
    sent = {**ARTICLE, "body": "<p onclick='x()'>The bridge   is open</p><script>x()</script>", "topics": ["A", "a"]}
    location = (await ingest.http.post("/v1/articles", json=sent, headers=publisher)).headers["location"]
    for method, content in (("PUT", sent), ("PATCH", {}), ("PATCH", {"title": ARTICLE["title"]}), ("PUT", sent)):
        answer = await ingest.http.request(method, location, json=content, headers=publisher)
        assert (answer.status_code, answer.headers["etag"]) == (200, '"1-0"')
    assert len(await ingest.events()) == 1


async def test_a_republished_article_is_the_next_version(ingest: Ingest, publisher: dict[str, str]) -> None:
    location = await publish(ingest, publisher, external_id="gz-1")
    await ingest.http.put(location, json={**ARTICLE, "title": "Two"}, headers=publisher)
    gone = await ingest.http.delete(location, headers=publisher)
    assert (gone.json()["version"], gone.headers["etag"]) == (2, '"2-1"')
    patched = await ingest.http.patch(location, json={"title": "x"}, headers=publisher)
    assert patched.status_code == 409
    stale = await ingest.http.put(location, json=ARTICLE, headers={**publisher, "If-Match": '"2-0"'})
    assert stale.status_code == 412
    again = await ingest.http.put(location, json={**ARTICLE, "correction_note": "Checked."}, headers=publisher)
    assert again.status_code == 200, again.text
    assert (again.json()["version"], again.json()["external_id"]) == (3, "gz-1")
    events = await ingest.events()
    assert [event["type"] for event in events] == [RETRACTED, PUBLISHED]
    assert [event["data"]["version"] for event in events] == [2, 3]
    assert await told(ingest) == [("retracted", None), ("published", None)]
    assert (await ingest.http.get(f"{location}/versions/2", headers=publisher)).status_code == 410
    listed = await ingest.http.get(f"{location}/versions", headers=publisher)
    assert [version["version"] for version in listed.json()["versions"]] == [3]
    await ingest.http.delete(location, headers=publisher)
    assert [event["type"] for event in await ingest.events()] == [RETRACTED, RETRACTED]
    assert b"Harbour bridge" not in await ingest.everything()


async def test_versions_are_listed_and_read_until_a_retraction(ingest: Ingest, publisher: dict[str, str]) -> None:
    location = await publish(ingest, publisher)
    for number in range(2, 6):
        note = {"correction_note": "Wrong day."} if number == 3 else {}
        await ingest.http.patch(location, json={"title": f"Title {number}", **note}, headers=publisher)
    listed = (await ingest.http.get(f"{location}/versions", params={"limit": 3}, headers=publisher)).json()
    assert [(v["version"], v["kind"]) for v in listed["versions"]] == [
        (5, "updated"),
        (4, "updated"),
        (3, "corrected"),
    ]
    assert listed["versions"][2]["correction_note"] == "Wrong day."
    assert listed["versions"][0]["changed"] == ["title"]
    rest = (
        await ingest.http.get(f"{location}/versions", params={"cursor": listed["next_cursor"]}, headers=publisher)
    ).json()
    assert [v["version"] for v in rest["versions"]] == [2, 1]
    assert rest["next_cursor"] is None
    second = (await ingest.http.get(f"{location}/versions/2", headers=publisher)).json()
    assert (second["version"], second["title"], second["changed"]) == (2, "Title 2", ["title"])
    for path, status in (
        ("versions/6", 404),
        ("versions/0", 422),
        ("versions/x", 422),
        ("versions?cursor=x", 400),
        ("versions?limit=0", 422),
        ("versions?limit=1&limit=2", 422),
        ("versions?q=1", 422),
    ):
        assert (await ingest.http.get(f"{location}/{path}", headers=publisher)).status_code == status, path
    await ingest.http.delete(location, headers=publisher)
    for path in ("versions", "versions/1", "versions/5"):
        assert (await ingest.http.get(f"{location}/{path}", headers=publisher)).status_code == 410


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_failed_precondition_is_412_and_writes_nothing(
    ingest: Ingest, publisher: dict[str, str], method: str
) -> None:
    location = await publish(ingest, publisher)
    await ingest.http.patch(location, json={"title": "Meanwhile"}, headers=publisher)

    async def ask(tag: str) -> httpx.Response:
        content = None if method == "DELETE" else {**ARTICLE, "title": "Mine"}
        return await ingest.http.request(method, location, json=content, headers={**publisher, "If-Match": tag})

    for tag in ('"1-0"', 'W/"1-0"', '"other", "1-0-gzip"'):
        refused = await ask(tag)
        assert refused.status_code == 412, tag
        assert '"2-0"' in refused.json()["detail"]
    assert (await ask("2-0")).status_code == 422
    assert len(await ingest.events()) == 2
    assert (await ask('"0-9", W/"2-0-gzip"')).status_code == 200  # as a proxy writes it where it compresses
    assert (await ask("*")).status_code == 200


async def test_a_missing_required_if_match_is_428(ingest: Ingest, publisher: dict[str, str]) -> None:
    strict = ingest.with_settings(require_if_match=True)
    location = await publish(strict, publisher, external_id="gz-1")
    for method, url in (
        ("PUT", location),
        ("PATCH", location),
        ("DELETE", location),
        ("PUT", "/v1/articles/by-external-id/gz-1"),
    ):
        answer = await strict.http.request(method, url, json=ARTICLE if method != "DELETE" else None, headers=publisher)
        assert answer.status_code == 428, answer.text
        assert '"1-0"' in answer.json()["errors"][0]["fix"]
    headers = {**publisher, "If-Match": '"1-0"'}
    assert (await strict.http.patch(location, json={"title": "B"}, headers=headers)).status_code == 200
    new = await strict.http.put("/v1/articles/by-external-id/gz-2", json=ARTICLE, headers=publisher)
    assert new.status_code == 201
    unknown = await strict.http.patch("/v1/articles/nothing", json={}, headers=publisher)
    assert unknown.status_code == 404


async def test_a_current_etag_is_304(ingest: Ingest, publisher: dict[str, str]) -> None:
    location = await publish(ingest, publisher)
    tag = (await ingest.http.get(location, headers=publisher)).headers["etag"]
    for sent in (tag, f"W/{tag}", tag[:-1] + '-br"', "*", f'"9-9", {tag}'):
        answer = await ingest.http.get(location, headers={**publisher, "If-None-Match": sent})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    await ingest.http.patch(location, json={"title": "New"}, headers=publisher)
    assert (await ingest.http.get(location, headers={**publisher, "If-None-Match": tag})).status_code == 200


async def test_an_older_source_version_is_409_and_names_both(ingest: Ingest, publisher: dict[str, str]) -> None:
    location = await publish(ingest, publisher, source_version=7)
    for method in ("PUT", "PATCH"):
        older = await ingest.http.request(
            method, location, json={**ARTICLE, "title": "Old", "source_version": 6}, headers=publisher
        )
        assert older.status_code == 409
        assert all(number in older.json()["detail"] for number in ("6", "7"))
    assert len(await ingest.events()) == 1
    same = await ingest.http.put(location, json={**ARTICLE, "source_version": 7}, headers=publisher)
    assert (same.status_code, same.json()["version"]) == (200, 1)
    kept = await ingest.http.put(location, json={**ARTICLE, "title": "Two"}, headers=publisher)
    assert (kept.json()["version"], kept.json()["source_version"]) == (2, 7)
    newer = await ingest.http.patch(location, json={"title": "Three", "source_version": 9}, headers=publisher)
    assert newer.json()["source_version"] == 9
    head = await read_article_state(ingest.redis, ingest.keys, newer.json()["id"])
    assert head is not None
    assert head.source_version == 9
    await ingest.http.delete(location, headers=publisher)
    ghost = await ingest.http.put(location, json={**ARTICLE, "source_version": 8}, headers=publisher)
    assert ghost.status_code == 409


@pytest.mark.parametrize(
    "external_id", ["gz-1", "2026/03/bridge", "https://gazette.example/?p=7&x=ü", "a b%2Fc", "versions"]
)
async def test_an_article_is_addressed_by_its_publishers_own_id(
    ingest: Ingest, publisher: dict[str, str], external_id: str
) -> None:
    url = f"/v1/articles/by-external-id/{quote(external_id, safe='')}"
    assert (await ingest.http.get(url, headers=publisher)).status_code == 404
    created = await ingest.http.put(url, json=ARTICLE, headers=publisher)
    assert created.status_code == 201, created.text
    article = created.json()
    assert article["external_id"] == external_id
    assert created.headers["location"] == f"/v1/articles/{article['id']}"
    same = await ingest.http.put(url, json={**ARTICLE, "external_id": external_id}, headers=publisher)
    assert (same.status_code, same.json()) == (200, article)
    posted = await ingest.http.post("/v1/articles", json={**ARTICLE, "external_id": external_id}, headers=publisher)
    assert (posted.status_code, posted.json()) == (200, article)
    changed = await ingest.http.put(url, json={**ARTICLE, "title": "Two"}, headers=publisher)
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    patched = await ingest.http.patch(url, json={"title": "Three"}, headers=publisher)
    assert patched.json()["version"] == 3
    back = await ingest.http.put(url, json=ARTICLE, headers=publisher)
    assert (back.json()["version"], back.json()["title"]) == (4, ARTICLE["title"])
    assert (await ingest.http.get(url, headers=publisher)).json() == back.json()
    other = await ingest.http.put(url, json={**ARTICLE, "external_id": "other"}, headers=publisher)
    assert other.status_code == 422
    stranger = await ingest.key("Valley Post", Scope.PUBLISH)
    assert (await ingest.http.get(url, headers=stranger)).status_code == 404
    assert (await ingest.http.delete(url, headers=publisher)).json()["status"] == "retracted"
    assert (await ingest.http.put(url, json=ARTICLE, headers=publisher)).json()["version"] == 5


@pytest.mark.parametrize("external_id", ["", "x" * 201, "a%00b"])
async def test_an_invalid_external_id_is_422_on_put_and_404_elsewhere(
    ingest: Ingest, publisher: dict[str, str], external_id: str
) -> None:
    url = f"/v1/articles/by-external-id/{external_id}"
    assert (await ingest.http.put(url, json=ARTICLE, headers=publisher)).status_code == 422
    assert (await ingest.http.get(url, headers=publisher)).status_code == 404
    assert (await ingest.http.delete(url, headers=publisher)).status_code == 404


async def test_if_none_match_and_if_match_with_a_star(ingest: Ingest, publisher: dict[str, str]) -> None:
    url = "/v1/articles/by-external-id/gz-1"
    assert (await ingest.http.put(url, json=ARTICLE, headers={**publisher, "If-Match": "*"})).status_code == 412
    only_new = {**publisher, "If-None-Match": "*"}
    assert (await ingest.http.put(url, json=ARTICLE, headers=only_new)).status_code == 201
    assert (await ingest.http.put(url, json={**ARTICLE, "title": "B"}, headers=only_new)).status_code == 412
    assert len(await ingest.events()) == 1


async def test_an_external_id_can_be_added_later_if_it_is_free(ingest: Ingest, publisher: dict[str, str]) -> None:
    await publish(ingest, publisher, external_id="gz-1")
    location = await publish(ingest, publisher, title="Another")
    taken = await ingest.http.patch(location, json={"external_id": "gz-1"}, headers=publisher)
    assert taken.status_code == 409
    given = await ingest.http.patch(location, json={"external_id": "gz-2"}, headers=publisher)
    assert (given.status_code, given.json()["version"]) == (200, 2)
    found = await ingest.http.get("/v1/articles/by-external-id/gz-2", headers=publisher)
    assert found.json()["id"] == given.json()["id"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_repeat_changes_nothing_even_after_later_changes(
    ingest: Ingest, publisher: dict[str, str], method: str
) -> None:
    location = await publish(ingest, publisher)
    content = None if method == "DELETE" else {**ARTICLE, "title": "Mine"}
    headers = {**publisher, "Idempotency-Key": "once", "If-Match": '"1-0"'}
    first = await ingest.http.request(method, location, json=content, headers=headers)
    assert first.status_code == 200, first.text
    later = (await ingest.http.put(location, json={**ARTICLE, "title": "Later"}, headers=publisher)).json()
    again = await ingest.http.request(method, location, json=content, headers=headers)
    if method == "DELETE":  # it would look as if it were withdrawn now
        assert again.status_code == 409
    else:
        assert (again.status_code, again.json()) == (200, later)
    other = {"reason": "x"} if method == "DELETE" else {**ARTICLE, "title": "Else"}
    mismatch = await ingest.http.request(method, location, json=other, headers=headers)
    assert mismatch.status_code == 422
    assert mismatch.json()["errors"][0]["field"] == "Idempotency-Key"
    assert (await ingest.events())[-1]["data"]["title"] == "Later"


async def test_twenty_concurrent_writers_create_twenty_versions_without_gaps(
    ingest: Ingest, publisher: dict[str, str]
) -> None:
    location = await publish(ingest, publisher)
    answers = await asyncio.gather(
        *(ingest.http.patch(location, json={"metadata": {f"m{n}": "x"}}, headers=publisher) for n in range(20))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 22))
    assert [event["data"]["version"] for event in await ingest.events()] == list(range(1, 22))
    last = (await ingest.http.get(location, headers=publisher)).json()
    assert set(last["metadata"]) == {f"m{n}" for n in range(20)}
    raced = await asyncio.gather(
        *(
            ingest.http.patch(location, json={"title": f"T{n}"}, headers={**publisher, "If-Match": '"21-0"'})
            for n in range(10)
        )
    )
    assert sorted(answer.status_code for answer in raced) == [200] + [412] * 9


async def test_ten_concurrent_puts_create_one_article(ingest: Ingest, publisher: dict[str, str]) -> None:
    url = "/v1/articles/by-external-id/gz-1"
    same = await asyncio.gather(*(ingest.http.put(url, json=ARTICLE, headers=publisher) for _ in range(10)))
    assert sorted(answer.status_code for answer in same) == [200] * 9 + [201]
    assert len(await ingest.events()) == 1
    url = "/v1/articles/by-external-id/gz-2"
    different = await asyncio.gather(
        *(ingest.http.put(url, json={**ARTICLE, "title": f"T{n}"}, headers=publisher) for n in range(10))
    )
    assert sorted(answer.status_code for answer in different) == [200] * 9 + [201]
    assert sorted(answer.json()["version"] for answer in different) == list(range(1, 11))


async def test_silent_applies_to_one_version_and_is_not_content(ingest: Ingest, publisher: dict[str, str]) -> None:
    location = await publish(ingest, publisher, silent=True)
    assert (await ingest.http.patch(location, json={"silent": False}, headers=publisher)).json()["version"] == 1
    await ingest.http.patch(location, json={"title": "B", "silent": True}, headers=publisher)
    await ingest.http.patch(location, json={"title": "C"}, headers=publisher)
    await ingest.http.put(location, json={**ARTICLE, "silent": True}, headers=publisher)
    assert [event["data"]["silent"] for event in await ingest.events()] == [True, True, False, True]
    assert "silent" not in (await ingest.http.get(location, headers=publisher)).json()


async def test_a_revoked_key_changes_nothing(ingest: Ingest, publisher: dict[str, str]) -> None:
    location = await publish(ingest, publisher)
    async for name in ingest.redis.scan_iter(ingest.keys.key("key", "*")):
        await ingest.redis.hdel(name, "hash")
    for method in ("PUT", "PATCH", "DELETE"):
        for key in ({}, {"Idempotency-Key": "k"}):
            content = None if method == "DELETE" else ARTICLE
            answer = await ingest.http.request(method, location, json=content, headers={**publisher, **key})
            assert answer.status_code == 401
    assert len(await ingest.events()) == 1


async def test_articles_are_listed_newest_first(ingest: Ingest, publisher: dict[str, str]) -> None:
    locations = [await publish(ingest, publisher, title=f"T{n}") for n in range(5)]
    ids = [location.rpartition("/")[2] for location in locations]
    await ingest.http.delete(locations[1], headers=publisher)
    await publish(ingest, await ingest.key("Valley Post", Scope.PUBLISH))

    async def pages(**params: Any) -> list[str]:
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            answer = await ingest.http.get("/v1/articles", params={**params, **cursor}, headers=publisher)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            assert all("body" not in article for article in page["articles"])
            found += [article["id"] for article in page["articles"]]
            if page["next_cursor"] is None:
                return found
            cursor = {"cursor": page["next_cursor"]}

    newest_first = sorted(ids, reverse=True)
    assert await pages() == newest_first
    assert await pages(limit=2) == newest_first
    assert await pages(status="retracted") == [ids[1]]
    assert await pages(status="published", limit=1) == [one for one in newest_first if one != ids[1]]
    assert await pages(status="scheduled") == []
    await ingest.http.put(locations[1], json=ARTICLE, headers=publisher)
    assert await pages(status="retracted") == []
    for wrong in ({"status": "gone"}, {"limit": "101"}, {"q": "x"}):
        assert (await ingest.http.get("/v1/articles", params=wrong, headers=publisher)).status_code == 422
    cursor = (await ingest.http.get("/v1/articles", params={"limit": "1"}, headers=publisher)).json()["next_cursor"]
    for wrong in ({"cursor": "x"}, {"cursor": ""}, {"cursor": cursor, "status": "published"}, {"cursor": cursor[:-1]}):
        refused = await ingest.http.get("/v1/articles", params=wrong, headers=publisher)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "cursor"), wrong


async def test_a_repeated_retraction_of_a_republished_article_is_rejected(
    ingest: Ingest, publisher: dict[str, str]
) -> None:
    created = await ingest.http.post("/v1/articles", json=ARTICLE, headers=publisher)
    location = created.headers["location"]
    keyed = {**publisher, "Idempotency-Key": "withdraw"}
    first = await ingest.http.delete(location, headers=keyed)
    assert (await ingest.http.delete(location, headers=keyed)).json() == first.json()
    await ingest.http.put(location, json=ARTICLE, headers=publisher)
    refused = await ingest.http.delete(location, headers=keyed)
    assert (refused.status_code, refused.json()["title"]) == (409, "Published again")
    assert "new key" in refused.json()["errors"][0]["fix"]
    assert (await ingest.http.get(location, headers=publisher)).json()["status"] == "published"
    fresh = await ingest.http.delete(location, headers={**publisher, "Idempotency-Key": "withdraw again"})
    assert (fresh.status_code, fresh.json()["status"]) == (200, "retracted")
    # After a second retraction the first request's result holds again.
    assert (await ingest.http.delete(location, headers=keyed)).json()["status"] == "retracted"
