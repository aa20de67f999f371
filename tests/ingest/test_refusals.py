"""Requests that ingest rejects: problem documents in the documented order, and no events."""

import json
from typing import Any

import httpx
import pytest

from newswire.auth.api_keys import revoke_key
from newswire.auth.credentials import Scope, authenticate
from tests.ingest.conftest import ARTICLE, Ingest

URL = "/v1/articles"
JSON = {"Content-Type": "application/json"}
BIG = b'{"title":"A","body":"' + b"x" * (1024 * 1024) + b'"}'


@pytest.fixture(autouse=True)
async def _the_stream_stays_empty(ingest: Ingest) -> Any:
    yield
    assert await ingest.redis.keys(f"{ingest.keys.namespace}:stream*") == []
    assert await ingest.redis.keys(f"{ingest.keys.namespace}:article*") == []
    assert await ingest.redis.keys(f"{ingest.keys.namespace}:idempotency*") == []


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert document["detail"]
    assert document["title"]
    for error in document.get("errors", []):
        assert all(error[member] for member in ("field", "problem", "fix"))
    return dict(document)


async def test_checks_are_made_in_the_documented_order(ingest: Ingest, publisher: dict[str, str]) -> None:
    """One request with every error; each step corrects the error of the previous response."""
    reader = await ingest.key("Harbour Gazette", Scope.READ)
    twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    tried: list[tuple[dict[str, str], list[tuple[str, str]], bytes, int]] = [
        ({}, twice, BIG, 401),
        ({"Authorization": "Bearer nw_000000000000_" + "0" * 48}, twice, BIG, 401),
        (reader, twice, BIG, 403),
        (publisher, [*twice, ("Content-Type", "text/plain")], BIG, 415),
        ({**publisher, **JSON}, twice, BIG, 413),
        ({**publisher, **JSON}, twice, b"\xff", 400),
        ({**publisher, **JSON}, [], b"\xff", 400),
        ({**publisher, **JSON}, [], b"{", 400),
        ({**publisher, **JSON}, [], b"{}", 422),
    ]
    for headers, more, body, status in tried:
        answer = await ingest.http.post(URL, headers=[*headers.items(), *more], content=body)
        problem(answer, status)
        assert ("www-authenticate" in answer.headers) == (status in (401, 403))


@pytest.mark.parametrize(
    "header", ["Basic abc", "Bearer", "Bearer ", "nw_x_y", "Bearer nw_x_y", "Bearer \xfc", "Bearer " + "a" * 5000]
)
async def test_an_invalid_key_is_401(ingest: Ingest, header: str) -> None:
    answer = await ingest.http.post(URL, json=ARTICLE, headers={b"Authorization": header.encode("latin-1")})
    problem(answer, 401)


async def test_a_revoked_key_is_401_at_once(ingest: Ingest, publisher: dict[str, str]) -> None:
    caller = await authenticate(ingest.redis, ingest.keys, publisher["Authorization"].removeprefix("Bearer "))
    assert caller is not None
    assert (await ingest.http.get(f"{URL}/nothing", headers=publisher)).status_code == 404
    await revoke_key(ingest.redis, ingest.keys, caller.key_id)
    problem(await ingest.http.post(URL, json=ARTICLE, headers=publisher), 401)


async def test_an_admin_key_does_not_publish(ingest: Ingest) -> None:
    problem(await ingest.http.post(URL, json=ARTICLE, headers=await ingest.key("Harbour Gazette", Scope.ADMIN)), 403)


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/xml", "application/json; charset=latin-1", "application/jsonx", "", "json"],
)
async def test_other_types_and_charsets_are_415(ingest: Ingest, publisher: dict[str, str], content_type: str) -> None:
    body = json.dumps(ARTICLE).encode()
    problem(await ingest.http.post(URL, content=body, headers={**publisher, "Content-Type": content_type}), 415)


async def test_a_compressed_body_is_415(ingest: Ingest, publisher: dict[str, str]) -> None:
    answer = await ingest.http.post(URL, json=ARTICLE, headers={**publisher, "Content-Encoding": "gzip"})
    (error,) = problem(answer, 415)["errors"]
    assert (error["field"], error["fix"]) == (
        "Content-Encoding",
        "send the body uncompressed, without this header",
    )
    assert answer.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        ("Basic eDp5", "the Authorization header does not begin with 'Bearer'"),
        ("nw_0123456789", "the Authorization header does not begin with 'Bearer'"),
        ("Bearer ", "no API key follows 'Bearer'"),
        ("Bearer abc", "this is not an API key: keys begin with 'nw_'"),
        (f"bearer nw_{'0' * 26}_{'0' * 48}", "the API key is unknown, revoked or expired"),
    ],
)
async def test_a_rejected_key_is_answered_with_the_mistake(ingest: Ingest, header: str, detail: str) -> None:
    answer = await ingest.http.post(URL, json=ARTICLE, headers={"Authorization": header})
    assert problem(answer, 401)["detail"] == detail
    assert answer.headers["www-authenticate"].startswith('Bearer realm="newswire"')


async def test_a_body_over_the_limit_is_413_announced_or_not(ingest: Ingest, publisher: dict[str, str]) -> None:
    async def chunks() -> Any:
        for _ in range(3):
            yield b"x" * 500_000

    problem(await ingest.http.post(URL, content=BIG, headers={**publisher, **JSON}), 413)
    problem(await ingest.http.post(URL, content=chunks(), headers={**publisher, **JSON}), 413)


@pytest.mark.parametrize("name", ["Authorization", "Content-Type", "Idempotency-Key"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "GET"])
async def test_a_header_sent_twice_is_400(ingest: Ingest, publisher: dict[str, str], name: str, method: str) -> None:
    headers = {**publisher, **JSON, "Idempotency-Key": "a"}
    doubled = [*headers.items(), (name, headers[name])]
    url = URL if method == "POST" else f"{URL}/01jd0000000000000000000000"
    body = json.dumps(ARTICLE if method == "POST" else {}).encode() if method != "GET" else b""
    document = problem(await ingest.http.request(method, url, content=body, headers=doubled), 400)
    assert document["errors"][0]["field"] == name


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"{",
        b"nonsense",
        b'{"title": NaN, "body": "b"}',
        b'{"title": Infinity}',
        b'{"title": "a" "body": "b"}',
        b'{"title": "a", "body": "b"} x',
        b'\xef\xbb\xbf{"title": "a", "body": "b"}',
        '{"title": "ä", "body": "b"}'.encode("latin-1"),
        '{"title": "a", "body": "b"}'.encode("utf-16"),
        b'{"title": "\xed\xa0\x80", "body": "b"}',
        b'{"title": "a\x00b", "body": "b"}',
        b"[" * 100_000,
        b'{"metadata":' * 50_000 + b"1" + b"}" * 50_000,
    ],
)
async def test_malformed_requests_are_400(ingest: Ingest, publisher: dict[str, str], body: bytes) -> None:
    problem(await ingest.http.post(URL, content=body, headers={**publisher, **JSON}), 400)


DEEP: Any = "x"
for _ in range(200):
    DEEP = {"a": [DEEP]}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": None}, "title"),
        ({"title": ""}, "title"),
        ({"title": " \t\n"}, "title"),
        ({"title": "x" * 301}, "title"),
        ({"title": 5}, "title"),
        ({"title": "a\x00b"}, "title"),
        ({"title": "a\ud800b"}, "title"),
        ({"body": "a\udfffb"}, "body"),
        ({"body": None}, "body"),
        ({"body": ["p"]}, "body"),
        ({"summary": "\x00"}, "summary"),
        ({"headline": "x"}, "headline"),
        ({f"member {n}": n for n in range(2_001)}, "$"),
        ({"metadata": {f"member {n}": n for n in range(2_001)}}, "metadata"),
        ({"authors": [{"name": "A"}, {f"member {n}": n for n in range(2_001)}]}, "authors"),
        ({"authors": [{f"member {n}": n for n in range(50)}] * 41}, "authors"),
        ({"\ud800": "x"}, "$"),
        ({"author": "A", "authors": ["B"]}, "$"),
        ({"author": 5}, "authors.0"),
        ({"authors": [{"name": "A", "url": "javascript:alert(1)"}]}, "authors.0.url"),
        ({"authors": [{"name": "A", "mail": "a@example.org"}]}, "authors.0.mail"),
        ({"authors": [""]}, "authors.0.name"),
        ({"topics": "x"}, "topics"),
        ({"topics": [f"t{n}" for n in range(10_000)]}, "topics"),
        ({"topics": ["ok", " "]}, "topics.1"),
        ({"topics": ["\ud800"]}, "topics.0"),
        ({"language": "not a tag"}, "language"),
        ({"language": "eng"}, "language"),
        ({"language": "en-"}, "language"),
        ({"language": "en\n"}, "language"),
        ({"language": "a" * 100_000}, "language"),
        ({"published_at": "2999-01-01T00:00:00Z"}, "published_at"),
        ({"published_at": "2026-01-01T00:00:00"}, "published_at"),
        ({"published_at": "yesterday"}, "published_at"),
        ({"published_at": 1767225600}, "published_at"),
        ({"published_at": "1767225600"}, "published_at"),
        ({"published_at": "20240115"}, "published_at"),
        ({"published_at": "2026-W09-7T09:30:00Z"}, "published_at"),
        ({"published_at": "2026-01-01"}, "published_at"),
        ({"embargo_until": "20310115"}, "embargo_until"),
        ({"embargo_until": 1926288000}, "embargo_until"),
        ({"embargo_until": "2026-03-01T06:00:00Z"}, "embargo_until"),
        ({"embargo_until": "2999-01-01T00:00:00Z", "embargo_lifted": True}, "embargo_lifted"),
        ({"embargo_until": "2026-03-01T06:00:00Z", "embargo_lifted": "yes"}, "embargo_lifted"),
        ({"published_at": "0001-01-01T00:00:00+14:00"}, "published_at"),
        ({"embargo_until": "2999-01-01T00:00:00"}, "embargo_until"),
        ({"embargo_until": "9999-12-31T23:59:59-14:00"}, "embargo_until"),
        ({"external_id": "x" * 201}, "external_id"),
        ({"external_id": ""}, "external_id"),
        ({"canonical_url": "ftp://files.example/a"}, "canonical_url"),
        ({"canonical_url": "/relative"}, "canonical_url"),
        ({"canonical_url": "https://courier.example/\r\nX-Injected: yes"}, "canonical_url"),
        ({"canonical_url": "https://user:secret@courier.example/"}, "canonical_url"),
        ({"canonical_url": "https://courier。example/"}, "canonical_url"),
        ({"canonical_url": "https://courier.example/" + "x" * 2000}, "canonical_url"),
        ({"image": {"url": "https://user:secret@courier.example/a.jpg"}}, "image.url"),
        ({"authors": [{"name": "A", "url": "https://courier.example/\n"}]}, "authors.0.url"),
        ({"image": {"url": "data:image/png;base64,AAAA"}}, "image.url"),
        ({"image": {"alt": "no address"}}, "image.url"),
        ({"urgency": 0}, "urgency"),
        ({"urgency": "1"}, "urgency"),
        ({"urgency": 10**30}, "urgency"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {"a": {"b": "c"}}}, "metadata.a"),
        ({"metadata": {"a": "x" * 5000}}, "metadata"),
        ({"metadata": {"\ud800": "x"}}, None),
        ({"metadata": DEEP}, None),
        ({"silent": "yes"}, "silent"),
        ({"source_version": -1}, "source_version"),
        ({"id": "01jd0000000000000000000000"}, "id"),
    ],
)
async def test_wrong_content_is_422_and_names_the_field(
    ingest: Ingest, publisher: dict[str, str], change: dict[str, Any], field: str | None
) -> None:
    body = json.dumps({**ARTICLE, **change}).encode()
    document = problem(await ingest.http.post(URL, content=body, headers={**publisher, **JSON}), 422)
    assert field in (None, *(error["field"] for error in document["errors"]))


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"5", b"true", b"[" * 200 + b"]" * 200])
async def test_json_that_is_not_an_object_is_422(ingest: Ingest, publisher: dict[str, str], body: bytes) -> None:
    problem(await ingest.http.post(URL, content=body, headers={**publisher, **JSON}), 422)


async def test_a_future_date_points_to_the_embargo(ingest: Ingest, publisher: dict[str, str]) -> None:
    answer = await ingest.http.post(URL, json={**ARTICLE, "published_at": "2999-01-01T00:00:00Z"}, headers=publisher)
    assert "embargo_until" in problem(answer, 422)["errors"][0]["fix"]


async def test_a_misspelt_member_gets_a_suggestion(ingest: Ingest, publisher: dict[str, str]) -> None:
    answer = await ingest.http.post(URL, json={**ARTICLE, "sumary": "x"}, headers=publisher)
    assert "'summary'" in problem(answer, 422)["errors"][0]["fix"]


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\tinside", "\xfc"])
async def test_an_invalid_idempotency_key_is_422(ingest: Ingest, publisher: dict[str, str], key: str) -> None:
    headers = [*publisher.items(), ("Idempotency-Key", key.encode("latin-1"))]
    document = problem(await ingest.http.post(URL, json=ARTICLE, headers=headers), 422)  # type: ignore[arg-type]
    assert document["errors"][0]["field"] == "Idempotency-Key"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"reason": 5}', "application/json", 422),
        (b'{"reason": "\\ud800"}', "application/json", 422),
        (b'{"why": "x"}', "application/json", 422),
        (b"{", "application/json", 400),
        (b"reason", "text/plain", 415),
        (BIG, "application/json", 413),
    ],
)
async def test_an_invalid_reason_is_rejected_before_the_article_is_read(
    ingest: Ingest, publisher: dict[str, str], body: bytes, content_type: str, status: int
) -> None:
    headers = {**publisher, "Content-Type": content_type}
    problem(await ingest.http.request("DELETE", f"{URL}/nothing", content=body, headers=headers), status)


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [("GET", "/v1/nothing", 404), ("PUT", URL, 405), ("GET", f"{URL}/", 404), ("DELETE", URL, 405)],
)
async def test_wrong_addresses_and_methods_are_problems_too(
    ingest: Ingest, publisher: dict[str, str], method: str, url: str, status: int
) -> None:
    problem(await ingest.http.request(method, url, headers=publisher), status)
