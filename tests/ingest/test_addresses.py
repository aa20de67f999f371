"""Addresses are interpreted strictly: no part is ignored silently, and identifiers are complete."""

from typing import Any

import pytest

from newswire.auth.credentials import Scope
from tests.ingest.conftest import ARTICLE, Ingest
from tests.ingest.test_isolation import ask

IDENTITY = "https://site.example/?p=1"
BY_IDENTITY = "/v1/articles/by-external-id"


async def test_unknown_parameters_are_rejected_everywhere(ingest: Ingest) -> None:
    everything = await ingest.key("Harbour Gazette", *Scope)
    created = (
        await ingest.http.post("/v1/articles", json={**ARTICLE, "external_id": "gz-1"}, headers=everything)
    ).json()
    before = await ingest.everything_of("article", "external", "stream")
    tried = 0
    for path, methods in ingest.app.openapi()["paths"].items():
        if not path.startswith("/v1/"):
            continue
        parts = dict.fromkeys(("draft_id", "key_id", "user_id", "media_id"), "none")
        parts |= {"number": "1", "name": "Harbour Gazette"}
        url = path.format(article_id=created["id"], external_id="gz-1", **parts)
        for method in methods:
            if "/admin/" in path and method == "delete":  # its body contains the reason
                body = {"reason": "an order of a court"}
                answer = await ingest.http.request(method, f"{url}?nowhere=1", json=body, headers=everything)
            else:
                answer = await ask(ingest, method.upper(), f"{url}?nowhere=1", everything)
            assert answer.status_code == 422, (method, path, answer.text)
            assert [e["field"] for e in answer.json()["errors"] if e["field"] == "nowhere"], (method, path, answer.text)
            tried += 1
    assert tried > 20
    assert await ingest.everything_of("article", "external", "stream") == before


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_an_identifier_with_an_unescaped_question_mark_is_rejected_with_the_fix(
    ingest: Ingest, publisher: dict[str, str], method: str
) -> None:
    await ingest.http.put(f"{BY_IDENTITY}/https://site.example/", json=ARTICLE, headers=publisher)
    content = {"title": "Two", "body": "x"} if method in ("PUT", "PATCH") else None
    for query, encoded in (("p=1", "%3Fp%3D1"), ("p=2&x=%20y", "%3Fp%3D2%26x%3D%20y"), ("p", "%3Fp"), ("&", "%3F%26")):
        url = f"{BY_IDENTITY}/https://site.example/?{query}"
        answer = await ingest.http.request(method, url, json=content, headers=publisher)
        assert answer.status_code == 422, answer.text
        assert f"percent-encode it: '{encoded}'" in answer.json()["errors"][0]["fix"]
    assert len(await ingest.events()) == 1


async def test_a_percent_encoded_identifier_is_accepted(ingest: Ingest, publisher: dict[str, str]) -> None:
    for page in ("%3Fp%3D1", "%3Fp%3D2"):
        answer = await ingest.http.put(f"{BY_IDENTITY}/https://site.example/{page}", json=ARTICLE, headers=publisher)
        assert answer.status_code == 201
    assert answer.json()["external_id"] == "https://site.example/?p=2"
    first = await ingest.http.get(f"{BY_IDENTITY}/https://site.example/%3Fp%3D1", headers=publisher)
    assert first.json()["external_id"] == IDENTITY


@pytest.mark.parametrize("written", ["%FF", "%C3", "a%80b", "%ED%A0%80"])
async def test_an_identifier_that_is_not_utf_8_is_rejected(
    ingest: Ingest, publisher: dict[str, str], written: str
) -> None:
    """If they were decoded with replacement characters, two identifiers would be equal."""
    answer = await ingest.http.put(f"{BY_IDENTITY}/{written}", json=ARTICLE, headers=publisher)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "path")


async def test_a_misspelt_parameter_gets_a_suggestion(ingest: Ingest, publisher: dict[str, str]) -> None:
    answer = await ingest.http.get("/v1/articles?limt=5", headers=publisher)
    assert "'limit'" in answer.json()["errors"][0]["fix"]


@pytest.mark.parametrize(
    "identity",
    ["x\ny", "x\r", "\tx", "a\x07", "a\x1b[2J", "a\x85", "a\u2028b", "a\u202eb", "a\u200bb", "\u2060", " ", "a\x7f"],
)
async def test_an_unreadable_identifier_is_rejected(ingest: Ingest, publisher: dict[str, str], identity: str) -> None:
    answer = await ingest.http.post("/v1/articles", json={**ARTICLE, "external_id": identity}, headers=publisher)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "external_id")
    put: Any = await ingest.http.put(f"{BY_IDENTITY}/{ascii_path(identity)}", json=ARTICLE, headers=publisher)
    assert put.status_code == (404 if "\n" in identity else 422)  # paths cannot contain a line feed
    assert not await ingest.events()


def ascii_path(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


async def test_a_read_key_does_not_see_scheduled_articles(ingest: Ingest, publisher: dict[str, str]) -> None:
    sent = {**ARTICLE, "title": "Wombat", "external_id": "gz-2", "embargo_until": "2999-01-01T00:00:00Z"}
    scheduled = (await ingest.http.post("/v1/articles", json=sent, headers=publisher)).json()
    out = (await ingest.http.post("/v1/articles", json=ARTICLE, headers=publisher)).json()
    reader = await ingest.key("Harbour Gazette", Scope.READ)
    by_id = f"/v1/articles/{scheduled['id']}"
    for url in (by_id, f"{by_id}/versions", f"{by_id}/versions/1", f"{by_id}/outcomes", f"{BY_IDENTITY}/gz-2"):
        answer = await ingest.http.get(url, headers=reader)
        assert answer.status_code == 404, url
    listed = await ingest.http.get("/v1/articles", headers=reader)
    assert [one["id"] for one in listed.json()["articles"]] == [out["id"]]
    assert "Wombat" not in listed.text
    assert (await ingest.http.get("/v1/articles?status=scheduled", headers=reader)).status_code == 403
    for scope in (Scope.PUBLISH, Scope.ADMIN):
        key = await ingest.key("Harbour Gazette", scope)
        assert (await ingest.http.get(by_id, headers=key)).json()["title"] == "Wombat"
