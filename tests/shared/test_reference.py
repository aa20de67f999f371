"""Each installation describes the problem types and schemas that its responses and events name by URN."""

import ast
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from jsonschema import Draft202012Validator
from redis.asyncio import Redis

from newswire.events import SCHEMA_URN, SCHEMAS, ArticleRetracted, event
from newswire.http.application import create_app
from newswire.http.problem_types import PROBLEM_TYPES, PROBLEM_URN
from newswire.http.problems import problem
from newswire.settings import Settings

ROOT = Path(__file__).parents[2]
HTTP_ERRORS = {"not-found", "method-not-allowed", "http-error"}


def raised() -> Iterator[tuple[str, int]]:
    """Return the problem types that the code raises, each with its status."""
    for path in (*ROOT.glob("shared/newswire/**/*.py"), *ROOT.glob("services/*/newswire_*/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "problem":
                status, name = node.args[:2]
                if isinstance(status, ast.Constant) and isinstance(name, ast.Constant):
                    yield str(name.value), int(str(status.value))


@pytest.fixture
def http() -> httpx.AsyncClient:
    app = create_app([], Settings(), redis=Redis())  # never connected
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://news.example")


def test_every_problem_type_is_described() -> None:
    found = set(raised())
    assert len(found) > 20
    assert {name for name, _ in found} | HTTP_ERRORS == set(PROBLEM_TYPES)
    assert not {name for name, status in found if PROBLEM_TYPES[name].status != status}


async def test_a_problem_links_to_its_description(http: httpx.AsyncClient) -> None:
    async with http:
        refused = await http.get("/v1/nowhere")
        assert refused.json()["type"] == "urn:newswire:problem:not-found"
        path = refused.links["type"]["url"]
        described = (await http.get(path)).json()
        assert described["type"] == refused.json()["type"]
        assert described["status"] == 404
        assert (await http.get(f"/problems/{refused.json()['type']}")).json() == described
        page = await http.get(path, headers={"Accept": "text/html,*/*"})
        assert page.headers["content-type"].startswith("text/html")
        assert refused.json()["type"] in page.text
        listed = (await http.get("/problems")).json()["problems"]
        assert {one["type"] for one in listed} == {PROBLEM_URN + name for name in PROBLEM_TYPES}
        everything = await http.get("/problems", headers={"Accept": "text/html"})
        assert all(f'id="{name}"' in everything.text for name in PROBLEM_TYPES)
        assert (await http.get("/problems/nothing")).status_code == 404


async def test_the_schema_of_every_event_is_served_under_its_identity(http: httpx.AsyncClient) -> None:
    async with http:
        listed = (await http.get("/schemas")).json()["schemas"]
        assert [one["id"] for one in listed] == [SCHEMA_URN + type_ for type_ in SCHEMAS]
        for one in listed:
            answer = await http.get(one["href"])
            assert answer.headers["content-type"] == "application/schema+json"
            assert answer.json()["$id"] == one["id"]
            Draft202012Validator.check_schema(answer.json())
            assert (await http.get(f"/schemas/{one['id']}")).json() == answer.json()
        assert (await http.get("/schemas/newswire.article.published.v9")).status_code == 404


async def test_an_event_is_valid_by_the_schema_that_it_names(http: httpx.AsyncClient) -> None:
    data = ArticleRetracted.model_validate(
        {"id": "a1", "version": 2, "publisher": "Harbour Gazette", "retracted_at": "2026-03-01T09:30:00Z"}
    )
    sent = event("newswire.article.retracted.v1", data, id_="a1.2.retracted", source="https://a.example/", subject="a1")
    assert sent.dataschema == "urn:newswire:schema:newswire.article.retracted.v1"
    async with http:
        schema = (await http.get(f"/schemas/{sent.dataschema}")).json()
    Draft202012Validator(schema).validate(sent.data)


def test_problem_types_are_independent_of_the_address() -> None:
    assert problem(404, "not-found", "x").document()["type"] == "urn:newswire:problem:not-found"
