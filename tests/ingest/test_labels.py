"""Labels keep the first spelling of their account, counts are correct, and merging affects only new versions."""

import asyncio
from typing import Any

import httpx
import pytest

from newswire.auth.credentials import Scope
from newswire.http.application import create_app
from newswire_ingest.app import assemble
from newswire_ingest.settings import IngestSettings
from tests.ingest.conftest import ARTICLE, Ingest


@pytest.fixture
async def admin(ingest: Ingest) -> dict[str, str]:
    return await ingest.key("Office", Scope.ADMIN)


async def publish(ingest: Ingest, headers: dict[str, str], **labels: Any) -> dict[str, Any]:
    answer = await ingest.http.post("/v1/articles", json=ARTICLE | labels, headers=headers)
    assert answer.status_code == 201, answer.text
    article: dict[str, Any] = answer.json()
    return article


async def counts(ingest: Ingest) -> tuple[dict[str, int], dict[str, int]]:
    answer = await ingest.http.get("/v1/topics")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    categories, topics = (
        {label["value"]: label["count"] for label in found[kind]} for kind in ("categories", "topics")
    )
    return categories, topics


async def test_each_account_keeps_its_own_first_spelling(ingest: Ingest, publisher: dict[str, str]) -> None:
    await publish(ingest, publisher, category="Économie", topics=["Straßenbau", "Ferries"])
    again = await publish(ingest, publisher, category="ECONOMIE", topics=["Ｆｅｒｒｉｅｓ", "STRASSENBAU"])
    assert (again["category"], again["topics"]) == ("Économie", ["Ferries", "Straßenbau"])
    stranger = await ingest.key("Valley Post", Scope.PUBLISH)
    for _ in range(2):
        theirs = await publish(ingest, stranger, category="ECONOMIE", topics=["FERRIES"])
        assert (theirs["category"], theirs["topics"]) == ("ECONOMIE", ["FERRIES"])
    assert (await publish(ingest, stranger, category="Economie"))["category"] == "ECONOMIE"
    # Public counts use folded labels, in the spelling of most articles.
    assert await counts(ingest) == ({"ECONOMIE": 5}, {"FERRIES": 4, "Straßenbau": 2})


async def test_a_label_without_articles_is_deleted(ingest: Ingest, publisher: dict[str, str]) -> None:
    assert (await publish(ingest, publisher))["topics"] == []
    before = await ingest.everything_of("labels")
    scheduled = {"topics": ["Later"], "embargo_until": "2999-01-01T00:00:00Z"}
    for labels in ({"category": "City", "topics": ["Ports", "Quays"]}, scheduled):
        article = await publish(ingest, publisher, **labels)
        await ingest.http.delete(f"/v1/articles/{article['id']}", headers=publisher)
    assert await ingest.everything_of("labels") == before
    article = await publish(ingest, publisher, topics=["Ports", "Quays"])
    await ingest.http.patch(f"/v1/articles/{article['id']}", json={"topics": ["QUAYS"]}, headers=publisher)
    assert await counts(ingest) == ({}, {"Quays": 1})
    # The next use of a deleted label is a first use again, whatever this process has cached.
    assert (await publish(ingest, publisher, topics=["PORTS"]))["topics"] == ["PORTS"]


async def test_of_concurrent_first_spellings_one_wins(ingest: Ingest, publisher: dict[str, str]) -> None:
    spellings = ["Harbour", "harbour", "HARBOUR", "Hárbour", "hArbour"]
    articles = await asyncio.gather(
        *(publish(ingest, publisher, topics=[spelling, "Ferries"], title=spelling) for spelling in spellings * 4)
    )
    [winner] = {article["topics"][0] for article in articles}
    assert (await counts(ingest))[1] == {winner: 20, "Ferries": 20}


async def test_repeats_and_rejections_do_not_affect_labels(ingest: Ingest, publisher: dict[str, str]) -> None:
    sent = {**ARTICLE, "external_id": "a", "topics": ["Ports"]}
    for content in (sent, sent, sent | {"topics": ["Quays"]}):
        await ingest.http.post("/v1/articles", json=content, headers=publisher)
    assert await counts(ingest) == ({}, {"Ports": 1})
    await publish(ingest, publisher, topics=["QUAYS"])
    assert (await counts(ingest))[1] == {"Ports": 1, "QUAYS": 1}


async def test_a_retracted_article_is_not_counted(ingest: Ingest, publisher: dict[str, str]) -> None:
    first = await publish(ingest, publisher, category="City", topics=["Ports"])
    await publish(ingest, publisher, topics=["Ports"])
    for _ in range(2):
        await ingest.http.delete(f"/v1/articles/{first['id']}", headers=publisher)
    assert await counts(ingest) == ({}, {"Ports": 1})
    assert (await publish(ingest, publisher, category="CITY"))["category"] == "CITY"


async def test_merged_labels_are_replaced_in_new_versions(
    ingest: Ingest, publisher: dict[str, str], admin: dict[str, str], settings: IngestSettings
) -> None:
    before = await publish(ingest, publisher, topics=["Harbor", "Ships"])
    await publish(ingest, publisher, topics=["Harbour"])
    other = create_app([assemble(ingest.redis, settings)], settings, redis=ingest.redis)
    merger = {"old": "HARBOR", "new": "harbour"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(other), base_url="https://news.example") as elsewhere:
        merged = await elsewhere.post("/v1/topics/merge", json=merger, headers=admin)
    assert merged.json() == {"kind": "topic", "old": "HARBOR", "new": "Harbour"}
    after = await publish(ingest, publisher, topics=["harbor", "Harbour", "ships"])
    assert after["topics"] == ["Harbour", "Ships"]
    location = f"/v1/articles/{before['id']}"
    assert (await ingest.http.get(location, headers=publisher)).json()["topics"] == ["Harbor", "Ships"]
    assert (await counts(ingest))[1] == {"Harbor": 1, "Harbour": 2, "Ships": 2}
    await ingest.http.delete(location, headers=publisher)
    assert (await counts(ingest))[1] == {"Harbour": 2, "Ships": 1}


async def test_merges_can_be_chained_and_reversed(
    ingest: Ingest, publisher: dict[str, str], admin: dict[str, str]
) -> None:
    async def merge(old: str, new: str) -> None:
        answer = await ingest.http.post("/v1/topics/merge", json={"old": old, "new": new}, headers=admin)
        assert answer.status_code == 200, answer.text

    async def written(*topics: str) -> list[str]:
        found: list[str] = (await publish(ingest, publisher, topics=list(topics)))["topics"]
        return found

    await written("Quay", "Wharf", "Pier")
    await merge("Quay", "Wharf")
    await merge("Wharf", "Pier")
    assert await written("quay", "wharf") == ["Pier"]
    await merge("Pier", "Quay")
    assert await written("pier") == ["Quay"]
    assert await written("wharf") == ["Quay"]
    await merge("quay", "QUAY")
    assert await written("quay", "pier") == ["QUAY"]


async def test_categories_and_topics_are_independent(
    ingest: Ingest, publisher: dict[str, str], admin: dict[str, str]
) -> None:
    await publish(ingest, publisher, category="sport", topics=["SPORT", "Football"])
    assert await counts(ingest) == ({"sport": 1}, {"SPORT": 1, "Football": 1})
    merger = {"kind": "category", "old": "sport", "new": "Sport and play"}
    assert (await ingest.http.post("/v1/topics/merge", json=merger, headers=admin)).status_code == 200
    article = await publish(ingest, publisher, category="SPORT", topics=["sport"])
    assert (article["category"], article["topics"]) == ("Sport and play", ["SPORT"])


async def test_what_is_refused(ingest: Ingest, publisher: dict[str, str], admin: dict[str, str]) -> None:
    unknown = {"old": "Nothing", "new": "Something"}
    assert (await ingest.http.post("/v1/topics/merge", json=unknown)).status_code == 401
    assert (await ingest.http.post("/v1/topics/merge", json=unknown, headers=publisher)).status_code == 403
    assert (await ingest.http.post("/v1/topics/merge", json=unknown, headers=admin)).status_code == 404
    blank = await ingest.http.post("/v1/topics/merge", json={"old": " ", "new": "a"}, headers=admin)
    assert (blank.status_code, blank.json()["errors"][0]["field"]) == (422, "old")
    assert (await ingest.http.get("/v1/topics?limit=101")).status_code == 422
    assert (await ingest.http.get("/v1/topics?kind=topic")).status_code == 422


async def test_the_most_frequent_come_first(ingest: Ingest, publisher: dict[str, str]) -> None:
    for topics in (["b", "a"], ["b"], ["c"]):
        await publish(ingest, publisher, topics=topics)
    found = (await ingest.http.get("/v1/topics")).json()["topics"]
    assert [label["value"] for label in found] == ["b", "a", "c"]
    assert len((await ingest.http.get("/v1/topics?limit=1")).json()["topics"]) == 1
