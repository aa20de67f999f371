"""Restricted articles are not leaked: all GET routes of the services' OpenAPI documents are requested."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from urllib.parse import quote, urljoin, urlsplit

import httpx
import pytest
from redis import Redis

from tests.e2e.conftest import Newswire
from tests.e2e.test_main_job import bearer
from tests.e2e.test_reindexing import command, ended
from tests.polling import DEADLINE_SECONDS, until

EMBARGOED, RETRACTED, WITHHELD, OPEN = "quibblemoor", "vexlington", "drosswater", "openfleet"
FORBIDDEN = (EMBARGOED, RETRACTED, WITHHELD)
RESTRICTED_DESK = "Restricted desk"
SITE = (
    "/",
    "/live",
    "/search?q={q}",
    "/sections/{q}",
    "/topics/{q}",
    "/authors/{q}",
    "/articles/{id}",
    "/articles/{id}/{q}",
    "/robots.txt",
    "/sitemap.xml",
    "/opensearch.xml",
)
STREAM_SECONDS = 1.5
MOST_PAGES = 60


def sent(word: str, **more: object) -> dict[str, object]:
    return {
        "title": f"{word.title()} quay opens to walkers",
        "summary": f"The {word} gate stands open.",
        "body": f"<p>Walkers of {word} found the quay swept and the {word}ish lamps lit.</p>",
        "authors": [f"Ada {word.title()}"],
        "topics": [f"{word} quay"],
        "external_id": f"x-{word}",
        "category": "Harbours",
        **more,
    }


class Probe:
    """Sends requests as one reader, whose account must not see the articles of the restricted desk."""

    def __init__(self, installed: Newswire, ids: dict[str, str], key: str) -> None:
        self._installed = installed
        self._ids = ids
        self._client = httpx.Client(headers=bearer(key), trust_env=False, timeout=DEADLINE_SECONDS)

    def close(self) -> None:
        self._client.close()

    def answers(self) -> Iterator[tuple[str, str]]:
        """Yield each requested address and its response, without parts that only repeat the request."""
        for url in dict.fromkeys([*self._documented(), *self._linked()]):
            yield url, self._ask(url)

    def _documented(self) -> Iterator[str]:
        for site in dict.fromkeys((self._installed.search, self._installed.notify, self._installed.ingest)):
            paths = self._client.get(f"{site}/openapi.json").json()["paths"]
            for path, methods in paths.items():
                if "get" in methods:
                    yield from self._filled(site, path, [p["name"] for p in methods["get"].get("parameters", [])])
        for path in SITE:
            yield from self._filled(self._installed.search, path, [])

    def _filled(self, site: str, path: str, params: list[str]) -> Iterator[str]:
        """Fill what stands in braces with ids and words, and add the parameters that find something."""
        for word in (*FORBIDDEN, OPEN):
            url = site + path.format_map({name: self._value(name, word) for name in re.findall(r"\{([^}]+)\}", path)})
            yield url
            if path.endswith("/stream"):  # each takes time
                continue
            if "q" in params:
                yield from (f"{url}?q={q}" for q in (word, f"{word[:5]}*", f"{word[:-1]}x", f"title:{word}"))
            for name in {"topic", "author", "category", "publisher"}.intersection(params):
                yield f"{url}?{name}={self._value(name, word)}"
            if "ids" in params:
                yield f"{url}?ids={','.join(self._ids.values())}"
            if "fields" in params:
                yield f"{url}?fields=body,text&limit=100"
            if "after" in params:
                yield f"{url}?after=0&limit=100"

    def _value(self, name: str, word: str) -> str:
        match name:
            case "article_id" | "id":
                return self._ids[word]
            case "external_id":
                return f"x-{word}"
            case "number":
                return "1"
            case "author":
                return f"Ada {word.title()}"
            case "topic" | "value":
                return f"{word} quay"
            case "category":
                return RESTRICTED_DESK if word == WITHHELD else "Harbours"
            case "format" | "suffix":
                return "json"
            case _:
                return word

    def _linked(self) -> Iterator[str]:
        """Follow the links of the site, and those in its feeds and sitemaps."""
        waiting, seen = [f"{self._installed.search}/"], set[str]()
        while waiting and len(seen) < MOST_PAGES:
            url = waiting.pop(0)
            if url in seen:
                continue
            seen.add(url)
            yield url
            text = self._ask(url)
            for found in re.findall(r"(?:href=\"|<loc>|<link>)([^\"<]+)", text):
                linked = urljoin(url, unescape(found)).partition("#")[0]
                if urlsplit(linked).netloc == urlsplit(self._installed.search).netloc and "/docs" not in linked:
                    waiting.append(linked)

    def _ask(self, url: str) -> str:
        if "/v1/stream" in url:
            return self._overheard(url)
        answer = self._client.get(url)
        assert answer.status_code < 500, f"{url} {answer.text}"
        return answer.text + " ".join(f"{name}: {value}" for name, value in answer.headers.items())

    def _overheard(self, url: str) -> str:
        heard = ""
        try:
            with self._client.stream("GET", url, headers={"Last-Event-ID": "0-0"}, timeout=STREAM_SECONDS) as answer:
                for text in answer.iter_text():
                    heard += text
        except httpx.ReadTimeout:
            pass  # the response was complete
        return heard


def without_the_question(url: str, answer: str) -> str:
    """Remove the parts of a response that repeat the request: these are not leaks."""
    asked = httpx.URL(url)
    echoes = [asked.path, *asked.params.values(), str(asked.query, "ascii")]
    for echo in sorted(filter(None, echoes), key=len, reverse=True):
        for form in (echo, echo.lower(), str(httpx.QueryParams({"q": echo}))[2:], quote(echo)):
            answer = answer.replace(form, "…")
    return answer


def leaks(probe: Probe) -> tuple[dict[str, list[str]], int]:
    """Return leaked words by address, and how many responses contained the public article."""
    found, open_ones = {}, 0
    for url, answer in probe.answers():
        bare = without_the_question(url, answer).lower()
        if words := [word for word in FORBIDDEN if word in bare]:
            found[url] = [bare[max(bare.find(word) - 150, 0) : bare.find(word) + 80] for word in words]
        open_ones += OPEN in bare
    return found, open_ones


@pytest.mark.timeout(600)
def test_restricted_articles_are_in_no_response(installed: Newswire, request: pytest.FixtureRequest) -> None:
    due = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    drafts = [
        sent(EMBARGOED, embargo_until=due),
        sent(RETRACTED, authors=["Ada Lind"], topics=["Quays"], external_id="x-gone"),  # the tombstone of a retraction
        sent(WITHHELD, category=RESTRICTED_DESK),
        sent(OPEN),
    ]
    with httpx.Client(
        base_url=installed.ingest, headers=bearer(installed.publisher_key), trust_env=False, timeout=DEADLINE_SECONDS
    ) as desk:
        ids = {}
        for word, draft in zip((*FORBIDDEN, OPEN), drafts, strict=True):
            answer = desk.post("/v1/articles", json=draft)
            assert answer.status_code == 201, answer.text
            ids[word] = answer.json()["id"]
        until(lambda: all(word in _found(installed, word) for word in (RETRACTED, WITHHELD, OPEN)))
        assert desk.request("DELETE", f"/v1/articles/{ids[RETRACTED]}").status_code == 200
        probe = Probe(installed, ids, restricted_reader(installed))
        request.addfinalizer(probe.close)

        assert leaks(probe)[0] == {}, "right after the retraction"
        until(
            lambda: (
                httpx.get(f"{installed.search}/v1/search/articles/{ids[RETRACTED]}", trust_env=False).status_code == 410
            )
        )
        found, open_ones = leaks(probe)
        assert found == {}
        assert open_ones > 10, "the probes find nothing at all"

        ended(command(installed, "reindex"))
        found, open_ones = leaks(probe)
        assert found == {}, "from a new index"
        assert open_ones > 10, "the new index shows nothing"

        if installed.search != installed.notify:
            _read_again_from_the_beginning(request)
            until(lambda: OPEN in _found(installed, OPEN))
            assert leaks(probe)[0] == {}, "after the groups were made anew"


def restricted_reader(installed: Newswire) -> str:
    """Create an account that may read everything except one desk's articles, and return a key of it."""
    with httpx.Client(base_url=installed.ingest, headers=bearer(installed.admin_key), trust_env=False) as operator:
        narrow = {"name": "reading-room", "entitlement": {"categories": [f"-{RESTRICTED_DESK}"]}}
        assert operator.post("/v1/accounts", json=narrow).status_code == 201
        made = operator.post("/v1/keys", json={"account": "reading-room", "scopes": ["read", "subscribe"]})
        assert made.status_code == 201, made.text
        token: str = made.json()["token"]
        return token


def _found(installed: Newswire, word: str) -> str:
    """Return what a reader without restrictions finds."""
    answer = httpx.get(f"{installed.search}/v1/search", params={"q": word}, trust_env=False).json()
    return " ".join(article["title"] for article in answer["articles"]).lower()


def _read_again_from_the_beginning(request: pytest.FixtureRequest) -> None:
    redis = Redis.from_url(request.getfixturevalue("redis_url"))
    namespace = request.getfixturevalue("namespace")
    for group in ("search", "notify"):
        redis.xgroup_setid(f"{namespace}:stream:articles", group, "0-0")
    redis.close()
