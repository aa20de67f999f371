"""The OpenAPI and AsyncAPI documents are valid for the official validators."""

import json
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from redis.asyncio import Redis

from newswire.http.application import create_app
from newswire.settings import Settings
from newswire_ingest.app import assemble
from newswire_ingest.settings import IngestSettings
from newswire_notify.app import service as notify
from newswire_search.app import service as search
from newswire_search.settings import SearchSettings
from tests.npm import node_with

HERE = Path(__file__).parent
OPENAPI = HERE / "openapi"


@pytest.fixture
async def http() -> Any:
    settings = IngestSettings(namespace="documents")
    of_search = SearchSettings(namespace="documents", index="elasticsearch")
    # No client connects.
    async with Redis() as redis, search(of_search) as searching, notify(settings) as notifying:
        app = create_app([assemble(redis, settings), searching, notifying], settings, redis=redis)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://news.example") as client:
            yield client


async def test_the_openapi_document_is_valid_with_bodies_keys_and_problems(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()
    publish = document["paths"]["/v1/articles"]["post"]
    assert publish["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/ArticleDraft")
    assert publish["security"] == [{"key": []}]
    refusals = {"400", "401", "403", "409", "410", "413", "414", "415", "422", "429", "503"}
    assert set(publish["responses"]) == {"200", "201", "default"} | refusals
    assert "external-id-taken" in publish["responses"]["409"]["description"]
    assert document["paths"]["/v1/articles/{article_id}"]["delete"]["requestBody"]["required"] is False
    assert "HTTPValidationError" not in document["components"]["schemas"]


def lint(document: bytes, folder: Path) -> list[str]:
    """Return what the recommended rules of Redocly and Spectral find in an OpenAPI document."""
    (folder / "openapi.json").write_bytes(document)
    command = [node_with("@redocly/openapi-core", OPENAPI), "lint.mjs", str(folder / "openapi.json")]
    done = subprocess.run(command, cwd=OPENAPI, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


async def test_linters_find_nothing_in_the_openapi_document(http: httpx.AsyncClient, tmp_path: Path) -> None:
    found = lint((await http.get("/openapi.json")).content, tmp_path)
    # An external id may contain slashes, so its paths look like others; the more specific ones are matched first.
    assert [line for line in found if " no-ambiguous-paths " not in line] == []


def test_the_linters_find_errors(tmp_path: Path) -> None:
    path = {"get": {"operationId": "same", "responses": {}}}
    document = {"openapi": "3.1.0", "info": {"title": "A", "version": "1"}, "paths": {"/a": path, "/b": path}}
    found = "\n".join(lint(json.dumps(document).encode(), tmp_path))
    assert "redocly error operation-operationId-unique" in found
    assert "spectral 0 operation-operationId-unique" in found


async def test_operations_have_names_and_receivers_are_described(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(set(names)) == len(names)
    assert {"createArticle", "searchArticles", "suggest", "createSubscription", "getPublishedArticle"} <= set(names)
    assert all(re.fullmatch(r"[a-z][A-Za-z]+", name) for name in names)
    assert '"Response 200 Getarticle"' in json.dumps(document)
    assert not re.findall(r'"title": "[^"]* V1 [^"]*"', json.dumps(document)), "the router lacks `operation_id`"
    assert document["servers"][0]["url"].startswith("http")
    received = document["webhooks"]["webhooks"]["post"]
    assert set(received["requestBody"]["content"]) == {"application/cloudevents+json"}
    assert {"webhook-id", "webhook-timestamp", "webhook-signature"} <= {each["name"] for each in received["parameters"]}
    draft = document["components"]["schemas"]["ArticleDraft"]
    assert draft["examples"]
    assert not [name for name, member in draft["properties"].items() if "default" in member]
    assert (
        'Default: `"now"`' in document["components"]["schemas"]["NewSubscription"]["properties"]["start"]["description"]
    )


async def test_a_generated_client_publishes_searches_suggests_and_subscribes(
    http: httpx.AsyncClient, tmp_path: Path
) -> None:
    document = (await http.get("/openapi.json")).content
    (tmp_path / "openapi.json").write_bytes(document)
    generate = [node := node_with("openapi-typescript", OPENAPI), "generate.mjs", str(tmp_path / "openapi.json")]
    made = subprocess.run(generate, cwd=OPENAPI, capture_output=True, timeout=100)
    assert made.returncode == 0, made.stderr.decode()
    (tmp_path / "generated.ts").write_bytes(made.stdout)
    (tmp_path / "node_modules").symlink_to(OPENAPI / "node_modules")
    shutil.copy(OPENAPI / "client.ts", tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    options = "--noEmit --strict --target es2022 --module nodenext --moduleResolution nodenext --skipLibCheck".split()
    compile_ = [node, "node_modules/typescript/bin/tsc", *options, "client.ts"]
    done = subprocess.run(compile_, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout
    wrong = (tmp_path / "client.ts").read_text().replace('topics: ["Ferries"]', "topics: 1")
    (tmp_path / "client.ts").write_text(wrong)
    assert subprocess.run(compile_, cwd=tmp_path, capture_output=True, timeout=100).returncode != 0


@pytest.fixture(scope="session")
def parser() -> list[str]:
    """Return the command of the official AsyncAPI parser, installed in this folder on first use."""
    return [node_with("@asyncapi/parser", HERE), str(HERE / "validate.mjs")]


async def test_the_asyncapi_document_is_valid(http: httpx.AsyncClient, parser: list[str]) -> None:
    document = (await http.get("/asyncapi")).content
    found = subprocess.run(parser, input=document, capture_output=True, timeout=240)
    assert found.returncode == 0, found.stderr.decode()
    assert found.stdout.decode().strip() == "AsyncAPI 3.0.0"
    described = json.loads(document)
    channels = {
        (name, operation["action"], described["channels"][name].get("address"))
        for name, operation in described["operations"].items()
    }
    assert channels == {
        ("articles", "send", "documents:stream:articles"),
        ("articles_search", "receive", "documents:stream:articles"),
        ("articles_notify", "receive", "documents:stream:articles"),
        ("articles_tail", "receive", "documents:stream:articles"),
        ("outcomes", "send", "documents:stream:outcomes"),
        ("outcomes_outcomes", "receive", "documents:stream:outcomes"),
        ("outcomes_websub", "receive", "documents:stream:outcomes"),
        ("webhooks", "send", None),
        ("live_stream", "send", "/v1/stream"),
    }
    broken = document.replace(b'"action":"send"', b'"action":"shout"')
    assert subprocess.run(parser, input=broken, capture_output=True, timeout=240).returncode == 1


async def test_every_message_of_the_asyncapi_document_is_one_event_of_its_channel(http: httpx.AsyncClient) -> None:
    document = (await http.get("/asyncapi")).json()
    carried = {
        name: sorted(one["$ref"].rpartition("/")[2] for one in schema["anyOf"])
        for name, schema in document["components"]["schemas"].items()
        if name.endswith(":Payload")
    }
    articles = ["PublishedEvent", "RetractedEvent"]
    reports = ["FannedOutEvent", "IndexedEvent", "MailedEvent", "ProgressedEvent", "StreamedEvent"]
    outcomes = [*reports, "SubscriptionDisabledEvent"]
    assert carried == {
        **{
            f"{name}:Message:Payload": articles
            for name in ("articles", "articles_search", "articles_notify", "articles_tail")
        },
        **{f"{name}:Message:Payload": outcomes for name in ("outcomes", "outcomes_outcomes", "outcomes_websub")},
        "webhooks:Message:Payload": ["DeliveredArticleEvent", "EndpointTestEvent", "SubscriptionDisabledEvent"],
        "live_stream:Message:Payload": [*articles, "StreamEnded", "StreamTrimmed"],
    }
    headers = document["components"]["messages"]["webhooks:Message"]["headers"]["properties"]
    assert {"webhook-id", "webhook-timestamp", "webhook-signature"} < set(headers)


async def test_the_asyncapi_document_does_not_name_the_process(http: httpx.AsyncClient) -> None:
    assert socket.gethostname() not in (await http.get("/asyncapi")).text


async def test_an_app_without_channels_has_an_asyncapi_document_too() -> None:
    async with Redis() as redis:
        app = create_app([], Settings(), redis=redis)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://news.example") as client:
            assert (await client.get("/asyncapi")).json()["asyncapi"] == "3.0.0"


async def test_the_docs_page_shows_every_operation_without_external_resources(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    page = await http.get("/docs")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    for path, methods in document["paths"].items():
        assert path in page.text
        for operation in methods.values():
            assert f'id="{operation["operationId"]}"' in page.text
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "<script" not in page.text
    assert (await http.get(page.text.partition('rel="stylesheet" href="')[2].partition('"')[0])).status_code == 200
