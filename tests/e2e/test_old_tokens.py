"""Cursors, snapshots, validators and stream positions from before a retraction reveal nothing of the article."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Newswire, service
from tests.e2e.test_main_job import bearer
from tests.polling import DEADLINE_SECONDS, until

WORD = "vexlington"
OTHERS = 12
FEEDS = [f"/feeds/latest.{form}" for form in ("xml", "atom", "json")] + ["/sitemap.xml", "/sitemap-news.xml"]
QUERIES = (
    "walkers",
    f"walkers OR {WORD}",
    f"walkers OR {WORD[:5]}*",
    f"walkers OR title:{WORD}",
    f"walkers OR {WORD}ish",
)


@pytest.fixture
def searches(installed: Newswire, tmp_path: Path) -> Iterator[list[str]]:
    """The addresses of search: on Elasticsearch, in two processes."""
    with ExitStack() as stack:
        found = [installed.search]
        if installed.environment:
            found.append(stack.enter_context(service("search", installed.environment, tmp_path / "second-search.log")))
        yield found


def pages(http: httpx.Client, site: str, params: dict[str, Any], count: int) -> Iterator[dict[str, Any]]:
    """Yield the parameters of the pages after the first ones."""
    for _ in range(count):
        answer = http.get(f"{site}/v1/search", params=params)
        assert answer.status_code == 200, answer.text
        params = params | {"cursor": answer.json()["next_cursor"]}
        yield params


def told(answer: httpx.Response) -> str | None:
    """Return what a response reveals of the article, besides repeating the request."""
    if answer.headers["content-type"] != "application/json" or "facets" not in answer.json():
        return "a word" if WORD in answer.text.lower() else None
    found = answer.json() | {"interpreted": "", "suggestion": ""}
    if WORD in str(found).lower():
        return "a word"
    if found["total"] != OTHERS:
        return f"a total of {found['total']}"
    counts = {
        name: sum(value["count"] for value in found["facets"][name]) for name in ("category", "publisher", "month")
    }
    return None if set(counts.values()) == {OTHERS} else f"counts of {counts}"


class Patient(httpx.Client):
    """A client that comes again where it was told that it reads too fast."""

    def send(self, request: httpx.Request, **more: Any) -> httpx.Response:
        while True:
            answer = super().send(request, **more)
            if answer.status_code != 429:
                return answer
            time.sleep(float(answer.headers["Retry-After"]))


def flipped(cursor: str) -> dict[str, str]:
    return {"cursor": cursor[:-9] + ("A" if cursor[-9] != "A" else "B") + cursor[-8:]}


@pytest.mark.timeout(600)
def test_nothing_obtained_before_a_retraction_reveals_the_article(installed: Newswire, searches: list[str]) -> None:
    with (
        httpx.Client(headers=bearer(installed.publisher_key), trust_env=False, timeout=DEADLINE_SECONDS) as desk,
        Patient(trust_env=False, timeout=DEADLINE_SECONDS) as http,
    ):

        def publish(title: str, body: str, **more: object) -> str:
            answer = desk.post(f"{installed.ingest}/v1/articles", json={"title": title, "body": body, **more})
            assert answer.status_code == 201, answer.text
            return str(answer.json()["id"])

        for n in range(OTHERS):
            publish(f"Quay {n}", f"<p>{'walkers ' * (n % 5 + 1)}</p>", category="Harbours")
        secret = publish(
            f"{WORD.title()} quay",
            f"<p>Walkers of {WORD} found the {WORD}ish lamps lit.</p>",
            category=f"{WORD} desk",
            topics=[f"{WORD} lamps"],
        )
        for site in searches:
            until(lambda site=site: http.get(f"{site}/v1/search?q=walkers").json()["total"] == OTHERS + 1)  # type: ignore[misc]

        held = [
            params
            for site in searches
            for q in QUERIES
            for sort in ("relevance", "newest", "oldest")
            for params in pages(http, site, {"q": q, "sort": sort, "limit": 3}, 3)
        ]
        tags = {(site, path): http.get(site + path).headers["etag"] for site in searches for path in FEEDS}
        places = [
            http.get(f"{installed.notify}/v1/events", params={"after": 0, "limit": n}).json()["next"] for n in (1, 5)
        ]
        assert desk.delete(f"{installed.ingest}/v1/articles/{secret}").status_code == 200

        def ask_all() -> None:
            for site in searches[::-1]:
                for params in held:
                    answer = http.get(f"{site}/v1/search", params=params)
                    assert answer.status_code in (200, 410), answer.text
                    assert answer.status_code == 410 or told(answer) is None, f"{told(answer)}: {params}"
                    for other in (flipped(params["cursor"]), {"q": WORD}, {"cursor": params["cursor"][:40]}):
                        answer = http.get(f"{site}/v1/search", params={**params, **other})
                        assert (answer.status_code, told(answer)) == (400, None), other
                for path in FEEDS:
                    answer = http.get(site + path, headers={"If-None-Match": tags[site, path]})
                    assert (answer.status_code, told(answer)) == (200, None), path
            for place in (*places, "0"):
                events = http.get(f"{installed.notify}/v1/events", params={"after": place, "limit": 100})
                left = [event for event in events.json()["events"] if not event["type"].endswith("retracted.v1")]
                assert WORD not in str(left).lower()
                assert f"{WORD} quay" not in events.text.lower()

        ask_all()
        for site in searches:
            address = f"{site}/v1/search/articles/{secret}"
            until(lambda address=address: http.get(address).status_code == 410)  # type: ignore[misc]
        ask_all()
