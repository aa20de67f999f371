"""A published article is stored and has one event, and belongs to its publisher."""

import asyncio

import pytest

from newswire.auth.credentials import Scope
from newswire.events import PUBLISHED, RETRACTED, ArticlePublished, ArticleRetracted, decode
from newswire.storage.article_records import read_article_state, read_version
from tests.ingest.conftest import ARTICLE, Ingest


async def test_publishing_answers_201_with_the_article_and_puts_one_event_on_the_stream(
    ingest: Ingest, publisher: dict[str, str]
) -> None:
    sent = {
        **ARTICLE,
        "author": "Ines Roth",
        "category": "City",
        "topics": ["Bridges", "bridges", "Trams"],
        "metadata": {"desk": "metro"},
        "external_id": "gz-1",
        "published_at": "2026-03-01T10:30:00+01:00",
    }
    answer = await ingest.http.post("/v1/articles", json=sent, headers=publisher)
    assert answer.status_code == 201, answer.text
    article = answer.json()
    assert answer.headers["location"] == f"/v1/articles/{article['id']}"
    assert article["authors"] == [{"name": "Ines Roth"}]
    assert article["topics"] == ["Bridges", "Trams"]
    assert article["published_at"] == "2026-03-01T09:30:00Z"
    assert article["url"] == f"https://news.example/articles/{article['id']}/harbour-bridge-reopens"
    assert {
        "version": 1,
        "status": "published",
        "publisher": "Harbour Gazette",
        "language": "und",
        "word_count": 9,
    }.items() <= (article.items())
    assert (await ingest.http.get(answer.headers["location"], headers=publisher)).json() == article

    [event] = await ingest.events()
    assert event["type"] == PUBLISHED
    assert event["id"] == f"{article['id']}.1"
    assert event["subject"] == article["id"]
    assert event["source"] == "https://news.example/publishers/Harbour%20Gazette"
    assert event["data"]["text"] == "The bridge is open again.\n\nTrams run from noon."
    [(entry, fields)] = await ingest.redis.xrange(ingest.keys.stream)
    _, payload = decode(fields)
    assert isinstance(payload, ArticlePublished)
    assert not payload.model_extra
    assert await read_version(ingest.redis, ingest.keys, article["id"], 1) == payload
    record = await ingest.redis.hgetall(ingest.keys.version(article["id"], 1))
    assert record[b"entry"] == entry
    assert record[b"key"].decode() in publisher["Authorization"]
    head = await read_article_state(ingest.redis, ingest.keys, article["id"])
    assert head is not None
    assert (head.version, head.publisher, head.external_id) == (1, "Harbour Gazette", "gz-1")
    assert await ingest.redis.zrange(ingest.keys.articles, 0, -1) == [article["id"].encode()]


async def test_fifty_repeats_at_once_make_one_article_and_one_event(ingest: Ingest, publisher: dict[str, str]) -> None:
    headers = {**publisher, "Idempotency-Key": "once"}
    answers = await asyncio.gather(
        *(ingest.http.post("/v1/articles", json=ARTICLE, headers=headers) for _ in range(50))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await ingest.events()) == 1


async def test_fifty_repeats_of_one_external_id_make_one_article(ingest: Ingest, publisher: dict[str, str]) -> None:
    sent = {**ARTICLE, "external_id": "gz-7"}
    answers = await asyncio.gather(*(ingest.http.post("/v1/articles", json=sent, headers=publisher) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len(await ingest.events()) == 1


async def test_an_idempotency_key_is_bound_to_one_content(ingest: Ingest, publisher: dict[str, str]) -> None:
    headers = {**publisher, "Idempotency-Key": "once"}
    first = await ingest.http.post("/v1/articles", json=ARTICLE, headers=headers)
    other = await ingest.http.post("/v1/articles", json={**ARTICLE, "title": "Another"}, headers=headers)
    assert other.status_code == 422
    assert other.json()["errors"][0]["field"] == "Idempotency-Key"
    stranger = {**await ingest.key("Valley Post", Scope.PUBLISH), "Idempotency-Key": "once"}
    theirs = await ingest.http.post("/v1/articles", json=ARTICLE, headers=stranger)
    assert theirs.status_code == 201
    assert theirs.json()["id"] != first.json()["id"]


async def test_order_of_members_and_spaces_do_not_change_the_content(ingest: Ingest, publisher: dict[str, str]) -> None:
    headers = {**publisher, "Idempotency-Key": "k", "Content-Type": "application/json"}
    first = await ingest.http.post("/v1/articles", content=b'{"title":"A","body":"B"}', headers=headers)
    again = await ingest.http.post("/v1/articles", content=b'{ "body": "\\u0042", "title": "A" }', headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)


async def test_a_known_external_id_with_other_content_is_409_and_names_the_article(
    ingest: Ingest, publisher: dict[str, str]
) -> None:
    sent = {**ARTICLE, "external_id": "gz-1"}
    first = await ingest.http.post("/v1/articles", json=sent, headers=publisher)
    taken = await ingest.http.post("/v1/articles", json={**sent, "title": "Other"}, headers=publisher)
    assert taken.status_code == 409
    assert taken.json()["article"] == f"https://news.example/v1/articles/{first.json()['id']}"
    assert "PUT" in taken.json()["errors"][0]["fix"]
    stranger = await ingest.key("Valley Post", Scope.PUBLISH)
    assert (await ingest.http.post("/v1/articles", json=sent, headers=stranger)).status_code == 201


async def test_a_new_idempotency_key_for_a_known_external_id_is_recorded(
    ingest: Ingest, publisher: dict[str, str]
) -> None:
    sent = {**ARTICLE, "external_id": "gz-1"}
    await ingest.http.post("/v1/articles", json=sent, headers=publisher)
    headers = {**publisher, "Idempotency-Key": "later"}
    assert (await ingest.http.post("/v1/articles", json=sent, headers=headers)).status_code == 200
    assert (await ingest.http.post("/v1/articles", json={**sent, "title": "B"}, headers=headers)).status_code == 422


async def test_another_accounts_article_is_404(ingest: Ingest, publisher: dict[str, str]) -> None:
    location = (await ingest.http.post("/v1/articles", json=ARTICLE, headers=publisher)).headers["location"]
    stranger = await ingest.key("Valley Post", Scope.PUBLISH)
    for answer in (
        await ingest.http.get(location, headers=stranger),
        await ingest.http.delete(location, headers=stranger),
        await ingest.http.get("/v1/articles/nonsense", headers=publisher),
        await ingest.http.get("/v1/articles/%00", headers=publisher),
    ):
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
    assert len(await ingest.events()) == 1


async def test_retraction_erases(ingest: Ingest, publisher: dict[str, str]) -> None:
    sent = {
        "title": "Quokka title",
        "summary": "Wombat summary",
        "body": "<p>Numbat body</p>",
        "category": "Nature",
        "topics": ["Reserves"],
        "external_id": "gz-9",
    }
    headers = {**publisher, "Idempotency-Key": "once"}
    article = (await ingest.http.post("/v1/articles", json=sent, headers=headers)).json()
    location = f"/v1/articles/{article['id']}"
    letter = await ingest.redis.xadd(ingest.keys.dead_letters("search"), {"__data__": "Numbat body"})
    other = await ingest.redis.xadd(ingest.keys.dead_letters("search"), {"__data__": "of another article"})
    await ingest.redis.sadd(
        ingest.keys.dead_letters_of(article["id"]), f"{ingest.keys.dead_letters('search')} {letter.decode()}"
    )

    gone = await ingest.http.request("DELETE", location, json={"reason": "wrong photograph"}, headers=publisher)
    assert gone.status_code == 200
    remains = gone.json()
    assert remains["status"] == "retracted"
    assert {
        "id": article["id"],
        "version": 1,
        "reason": "wrong photograph",
        "external_id": "gz-9",
    }.items() <= remains.items()

    stored = await ingest.everything()
    for word in (b"Quokka", b"Wombat", b"Numbat", b"quokka"):
        assert word not in stored
    assert [key for key, _ in await ingest.redis.xrange(ingest.keys.dead_letters("search"))] == [other]
    [event] = await ingest.events()
    assert event["type"] == RETRACTED
    assert event["id"] == f"{article['id']}.1.retracted"
    [(_, fields)] = await ingest.redis.xrange(ingest.keys.stream)
    _, payload = decode(fields)
    assert isinstance(payload, ArticleRetracted)
    assert (payload.version, payload.category, payload.topics) == (1, "Nature", ["Reserves"])

    again = await ingest.http.delete(location, headers=publisher)
    assert (again.status_code, again.json()) == (200, remains)
    assert (await ingest.http.get(location, headers=publisher)).json() == remains
    repeated = await ingest.http.post("/v1/articles", json=sent, headers=headers)
    assert (repeated.status_code, repeated.json()) == (200, remains)
    assert len(await ingest.events()) == 1


async def test_fifty_retractions_at_once_make_one_event(ingest: Ingest, publisher: dict[str, str]) -> None:
    location = (await ingest.http.post("/v1/articles", json=ARTICLE, headers=publisher)).headers["location"]
    answers = await asyncio.gather(*(ingest.http.delete(location, headers=publisher) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert [event["type"] for event in await ingest.events()] == [RETRACTED]


@pytest.mark.parametrize("header", ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "nonsense", None])
async def test_the_callers_trace_is_continued(ingest: Ingest, publisher: dict[str, str], header: str | None) -> None:
    headers = {**publisher, **({"traceparent": header} if header else {})}
    await ingest.http.post("/v1/articles", json=ARTICLE, headers=headers)
    [event] = await ingest.events()
    _, trace, span, flags = event["traceparent"].split("-")
    assert (len(trace), len(span), flags) == (32, 16, "01")
    assert (trace == "0af7651916cd43dd8448eb211c80319c") == (header is not None and header.startswith("00"))
    assert span != "b7ad6b7169203331"


async def test_a_list_links_to_its_next_page(ingest: Ingest, publisher: dict[str, str]) -> None:
    for number in range(3):
        await ingest.http.post("/v1/articles", json=ARTICLE | {"title": f"Tram {number}"}, headers=publisher)
    path, titles = "/v1/articles?limit=1&status=published", []
    while path:
        answer = await ingest.http.get(path, headers=publisher)
        assert answer.status_code == 200, answer.text
        titles += [article["title"] for article in answer.json()["articles"]]
        assert ("next" in answer.links) is (answer.json()["next_cursor"] is not None)
        path = answer.links.get("next", {}).get("url", "")
        assert not path or "limit=1&status=published" in path
    assert sorted(titles) == ["Tram 0", "Tram 1", "Tram 2"]
