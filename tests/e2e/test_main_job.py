"""The main scenario: an article is published, found, delivered and retracted, and then gone everywhere."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import httpx_sse
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.e2e.conftest import Newswire, receiver
from tests.polling import DEADLINE_SECONDS, until

ARTICLE = {
    "title": "Quillfeather ferries return to Marrowdale",
    "summary": "Perriwick pier is open again.",
    "body": "<p>Nine captains were sailing the zephyrine boats into port before dawn.</p>",
    "authors": ["Odile Farrow"],
    "category": "Transport",
    "topics": ["Ferries"],
}
WORDS_OF_IT = ("quillfeather", "marrowdale", "perriwick", "zephyrine", "nine")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACED = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def subscribe(newswire: Newswire, url: str, filter_: dict[str, Any]) -> dict[str, Any]:
    answer = httpx.post(
        f"{newswire.notify}/v1/subscriptions",
        headers=bearer(newswire.subscriber_key),
        json={"channel": {"type": "webhook", "url": url}, "filter": filter_},
        trust_env=False,
    )
    assert answer.status_code == 201, answer.text
    subscription: dict[str, Any] = answer.json()
    return subscription


@contextmanager
def live(newswire: Newswire, query: str = "", after: str | None = None) -> Iterator[list[httpx_sse.ServerSentEvent]]:
    """Read the live stream during the test; received events are added to the list."""
    heard: list[httpx_sse.ServerSentEvent] = []
    listening = threading.Event()
    headers = {"Last-Event-ID": after} if after else {}
    stop: list[Callable[[], object]] = []

    async def listen() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(ended.set))
        reading = asyncio.create_task(read())
        await asyncio.wait([reading, asyncio.create_task(ended.wait())], return_when=asyncio.FIRST_COMPLETED)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    async def read() -> None:
        async with (
            httpx.AsyncClient(timeout=60, trust_env=False) as client,
            httpx_sse.aconnect_sse(client, "GET", f"{newswire.notify}/v1/stream{query}", headers=headers) as source,
        ):
            source.response.raise_for_status()
            listening.set()
            async for event in source.aiter_sse():
                heard.append(event)  # noqa: PERF401 (each must be visible immediately)

    thread = threading.Thread(target=asyncio.run, args=(listen(),))
    thread.start()
    try:
        assert listening.wait(DEADLINE_SECONDS)
        yield heard
    finally:
        stop[0]()
        thread.join()


def events_of(heard: list[httpx_sse.ServerSentEvent]) -> list[dict[str, Any]]:
    return [json.loads(event.data) for event in list(heard) if event.data]


def test_publish_search_subscribe_retract(installed: Newswire) -> None:
    with (
        receiver() as interested,
        receiver() as uninterested,
        live(installed, "?category=transport&q=captain") as heard,
        live(installed, "?category=sport") as heard_by_others,
    ):
        subscription = subscribe(installed, interested.url, {"query": "captains sailed"})
        subscribe(installed, uninterested.url, {"query": "captains -sailing"})
        subscribe(installed, uninterested.url, {"categories": ["Sport"]})

        published = httpx.post(
            f"{installed.ingest}/v1/articles",
            headers=bearer(installed.publisher_key) | TRACED,
            json=ARTICLE,
            trust_env=False,
        )
        assert published.status_code == 201, published.text
        article = published.json()

        is_found_with_its_words_marked(installed, article["id"])
        arrives_signed(interested.requests, subscription, article["id"])
        until(lambda: [event["subject"] for event in events_of(heard)] == [article["id"]])
        its_publisher_sees_what_became_of_it(installed, article["id"])

        withdrawn = httpx.delete(
            f"{installed.ingest}/v1/articles/{article['id']}", headers=bearer(installed.publisher_key), trust_env=False
        )
        assert withdrawn.status_code == 200
        until(lambda: [event["type"] for event in interested.events()] == both_events())
        until(lambda: [event["type"] for event in events_of(heard)] == both_events())
        until(
            lambda: (
                httpx.get(f"{installed.search}/v1/search/articles/{article['id']}", trust_env=False).status_code == 410
            )
        )

        no_word_is_left(installed, article, subscription["id"])
        assert uninterested.requests == []
        assert events_of(heard_by_others) == []


def its_publisher_sees_what_became_of_it(installed: Newswire, article_id: str) -> None:
    def outcome() -> dict[str, Any]:
        answer = httpx.get(
            f"{installed.ingest}/v1/articles/{article_id}/outcomes",
            headers=bearer(installed.publisher_key),
            trust_env=False,
        )
        answer.raise_for_status()
        newest: dict[str, Any] = answer.json()["outcomes"][0]
        return newest

    until(lambda: outcome()["searchable_after_ms"])
    until(lambda: outcome()["delivered"] == 1)
    assert (outcome()["matched"], outcome()["pending"]) == (1, 0)


def both_events() -> list[str]:
    return ["newswire.article.published.v1", "newswire.article.retracted.v1"]


def is_found_with_its_words_marked(installed: Newswire, article_id: str) -> None:
    def found() -> list[dict[str, Any]]:
        answer = httpx.get(f"{installed.search}/v1/search", params={"q": "captain sails"}, trust_env=False)
        answer.raise_for_status()
        articles: list[dict[str, Any]] = answer.json()["articles"]
        return articles

    (hit,) = until(found)
    assert hit["id"] == article_id
    assert "<mark>sailing</mark>" in " ".join(hit["highlights"]["body"])


def arrives_signed(requests: list[tuple[dict[str, str], bytes]], subscription: dict[str, Any], article_id: str) -> None:
    until(lambda: requests)
    headers, body = requests[0]
    event = Webhook(subscription["secret"]).verify(body, headers)
    assert event["subject"] == article_id
    assert event["data"]["title"] == ARTICLE["title"]
    assert TRACE in headers["traceparent"]
    with pytest.raises(WebhookVerificationError):
        Webhook(subscription["secret"]).verify(body.replace(b"Marrowdale", b"Barrowdale"), headers)


def no_word_is_left(installed: Newswire, article: dict[str, Any], subscription: str) -> None:
    own, subscriber = bearer(installed.publisher_key), bearer(installed.subscriber_key)
    identity = article["id"]
    page = httpx.URL(article["url"]).path
    answers = [
        httpx.get(url, headers=headers, follow_redirects=True, trust_env=False)
        for url, headers in [
            *((f"{installed.search}/v1/search?q={word}", {}) for word in WORDS_OF_IT),
            (f"{installed.search}/v1/search?limit=100&fields=body", {}),
            (f"{installed.search}/v1/search/articles/{identity}", {}),
            (f"{installed.search}{page}", {}),
            (f"{installed.search}/articles/{identity}/", {}),
            (f"{installed.search}/", {}),
            (f"{installed.search}/search", {}),
            (f"{installed.ingest}/v1/articles/{identity}", own),
            (f"{installed.ingest}/v1/articles/{identity}/versions", own),
            (f"{installed.ingest}/v1/articles/{identity}/versions/1", own),
            (f"{installed.ingest}/v1/articles/{identity}/outcomes", own),
            (f"{installed.notify}/v1/events?after=0", {}),
            (f"{installed.notify}/v1/subscriptions/{subscription}", subscriber),
            (f"{installed.notify}/v1/subscriptions/{subscription}/deliveries", subscriber),
        ]
    ]
    with live(installed, after="0-0") as resumed:
        until(lambda: "newswire.article.retracted.v1" in [event["type"] for event in events_of(resumed)])
        said = [event.data for event in resumed]
    for answer in answers:
        assert answer.status_code < 500, f"{answer.url} {answer.text}"
        echo = f'"interpreted":"{answer.url.params.get("q", "")}"'
        said.append(f"{answer.url.path} {answer.text}".replace(page, "").replace(echo, ""))
    for text in said:
        assert not [word for word in WORDS_OF_IT if word in text.lower()], text
    assert answers[len(WORDS_OF_IT)].json()["total"] == 0
