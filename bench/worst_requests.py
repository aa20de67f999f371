"""The most expensive request that can be built within the limits of each public endpoint."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from bench.load import json_request, request

_PREFIXES = [f"{first}{second}*" for first in "hb" for second in "aeou"]
QUERY = " OR ".join([*_PREFIXES, *(f"harbour{number}" for number in range(50))])
"""As many prefixes and words as a query may contain."""
WORDS = " OR ".join(f"harbour{number}" for number in range(60))
"""The same without prefixes, for filters."""
PHRASE = '"the harbour board met again on wednesday"'
"""Its words occur in each sentence of the long articles, but never as a phrase."""
_FIELDS = [("topic", f"t{number}") for number in range(50)] + [("author", f"a{number}") for number in range(50)]


@dataclass(frozen=True, slots=True)
class Worst:
    """A request, and the service that handles it."""

    name: str
    service: str
    data: bytes
    stream: bool = False
    """Whether the response is endless."""


@dataclass(frozen=True, slots=True)
class Keys:
    """API keys of one account, by scope."""

    publisher: str
    subscriber: str
    reader: str


def worst_requests(keys: Keys, article: str) -> list[Worst]:
    """Return all of them; ``article`` is the id of a long one."""
    return [*_publishing(keys, article), *_reading(article), *_events(keys), *_descriptions()]


def _publishing(keys: Keys, article: str) -> Iterator[Worst]:
    key = keys.publisher

    def post(body: str, **members: Any) -> bytes:
        return json_request("/v1/articles", {"title": "T", "body": body, **members}, key)

    prose = "The harbour board met again on Tuesday. " * 22_000
    bodies = {
        "prose, language to be found": "Der Rat der Stadt kam am Dienstag zusammen, und es regnete. " * 15_000,
        "prose in Japanese": "港湾局は火曜日に会議を開きました。" * 17_000,
        "deep nesting": "<div>" * 150_000,
        "many elements": "<p>x" * 22_400,
        "many links": "<a href=http://a/>x</a>" * 9_990,
        "no-break spaces": "<p>" + "\xa0" * 450_000,
        "texts beside cells": "<br>" * 20_400 + "<table>" + "x<br>" * 990 + "</table>",
        "nested elements": ("<div>" * 250 + "</div>" * 250) * 30,
        "many ampersands": "& " * 9_990 + "word " * 190_000,
        "open formatting": "".join(f"<b a={number}><p>x" for number in range(60_000)),
        "many attributes": ("<p " + " ".join(f"a{number}=1" for number in range(99)) + ">x") * 1_600,
        "a table": "<table>" + "<tr><td>1<td>2<td>3" * 5_500 + "</table>",
    }
    for name, body in bodies.items():
        yield Worst(f"POST article, {name}", "ingest", post(body))
    yield Worst(
        "POST article, many labels",
        "ingest",
        post(
            "x",
            topics=[f"{number} " + "å" * 60 for number in range(50)],
            authors=[f"{number} " + "å" * 90 for number in range(50)],
        ),
    )
    members = {f"member {number}": number for number in range(1_990)}
    yield Worst("POST article, unknown members", "ingest", json_request("/v1/articles", members, key))
    nested = b"[" * 1_000 + b"]" * 1_000
    lists = b"[" + b",".join([b"0"] * 500_000) + b"]"
    json = {"content_type": "application/json", "authorization": f"Bearer {key}"}
    yield Worst("POST article, nested JSON", "ingest", request("POST", "/v1/articles", nested, **json))
    yield Worst("POST article, 500,000 numbers", "ingest", request("POST", "/v1/articles", lists, **json))
    put = orjson.dumps({"title": "T", "body": prose})
    yield Worst("PUT article, prose", "ingest", request("PUT", f"/v1/articles/{article}", put, **json))
    patch = {"content_type": "application/merge-patch+json", "authorization": f"Bearer {key}"}
    small = orjson.dumps({"summary": "S"})
    yield Worst("PATCH article, long", "ingest", request("PATCH", f"/v1/articles/{article}", small, **patch))
    large = orjson.dumps({"metadata": {f"m{number}": None for number in range(1_990)}})
    yield Worst("PATCH article, members", "ingest", request("PATCH", f"/v1/articles/{article}", large, **patch))
    lines = b"\n".join(orjson.dumps({"title": f"Line {number}", "body": "x"}) for number in range(2_000))
    batch = {"content_type": "application/x-ndjson", "authorization": f"Bearer {key}"}
    yield Worst("POST batch, dry run", "ingest", request("POST", "/v1/articles/batch?dry_run=true", lines, **batch))
    long = b"\n".join([put] * 4)
    yield Worst("POST batch, long", "ingest", request("POST", "/v1/articles/batch?dry_run=true", long, **batch))
    bearer = {"authorization": f"Bearer {key}"}
    yield Worst("GET own articles", "ingest", _get("/v1/articles", ("limit", "100"), **bearer))
    yield Worst("GET own article", "ingest", _get(f"/v1/articles/{article}", **bearer))
    yield Worst("GET topics", "ingest", _get("/v1/topics", **bearer))


def _reading(article: str) -> Iterator[Worst]:
    search = "/v1/search"
    many = ("limit", "100")
    requests = {
        "search, query and filters": _get(search, ("q", QUERY), many, *_FIELDS),
        "search, long texts": _get(search, ("q", "harbour 港"), many),
        "search, phrase": _get(search, ("q", PHRASE), many),
        "search, whole texts": _get(search, ("q", "harbour"), ("limit", "4"), ("fields", "body,text")),
        "search, misspelled": _get(search, ("q", "harbuor bridgde tuesdya " + "misspeled " * 50)),
        "search, no query": _get(search, many),
        "suggest": _get(f"{search}/suggest", ("q", "har bri tue wed the and met aga on bo ha b")),
        "related": _get(f"{search}/related/{article}"),
        "article": _get(f"{search}/articles/{article}"),
        "page of a search": _get("/search", ("q", QUERY)),
        "page of an article": _get(f"/articles/{article}"),
        "first page": _get("/"),
        "feed of a search": _get("/feeds/search.xml", ("q", QUERY)),
        "feed of the newest": _get("/feeds/latest.xml"),
        "feed in JSON": _get("/feeds/latest.json"),
        "sitemap": _get("/sitemap.xml"),
        "sitemap of news": _get("/sitemap-news.xml"),
    }
    for name, data in requests.items():
        yield Worst(f"GET {name}", "search", data)


def _events(keys: Keys) -> Iterator[Worst]:
    events, stream = "/v1/events", "/v1/stream"
    yield Worst("GET events, words", "notify", _get(events, ("after", "0-1"), ("q", WORDS)))
    yield Worst("GET events, phrase", "notify", _get(events, ("after", "0-1"), ("q", PHRASE)))
    yield Worst("GET events, records", "notify", _get(events, ("after", "0-0"), ("q", PHRASE)))
    yield Worst("GET events, all", "notify", _get(events, ("after", "0-1"), ("limit", "1000")))
    yield Worst("GET stream, from the beginning", "notify", _get(stream, ("since", "0-1")), stream=True)
    yield Worst("GET stream, phrase", "notify", _get(stream, ("since", "0-1"), ("q", PHRASE)), stream=True)
    for name, query in (("words", WORDS), ("phrase", PHRASE)):
        preview = {"filter": {"query": query}}
        path = "/v1/subscriptions/preview"
        yield Worst(f"POST preview, {name}", "notify", json_request(path, preview, keys.subscriber))
    values = {"filter": {"topics": [f"{number} " + "å" * 190 for number in range(100)], "query": WORDS}}
    yield Worst("POST token, long filter", "notify", json_request("/v1/stream/tokens", values, keys.reader))


def _descriptions() -> Iterator[Worst]:
    page = {"accept": "text/html"}
    for service in ("ingest", "search", "notify"):
        for path in ("/openapi.json", "/docs", "/asyncapi", "/metrics", "/readyz"):
            yield Worst(f"GET {path} of {service}", service, _get(path))
    for path in ("/problems", "/schemas", "/schemas/newswire.article.published.v1", "/no/such/page"):
        yield Worst(f"GET {path}", "search", _get(path, **page))


def _get(path: str, *params: tuple[str, str], **headers: str) -> bytes:
    return request("GET", f"{path}?{urlencode(params)}" if params else path, b"", **headers)
