"""Scheduled, corrected and republished articles reach readers and subscribers with the right kind."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.e2e.conftest import Newswire, receiver
from tests.e2e.test_main_job import bearer, subscribe
from tests.polling import DEADLINE_SECONDS, until

BODY = "<p>Nine captains were sailing the zephyrine boats into port before dawn.</p>"


def test_an_article_is_scheduled_corrected_withdrawn_and_published_again(installed: Newswire) -> None:
    def ask(method: str, content: Any = None) -> dict[str, Any]:
        url = f"{installed.ingest}/v1/articles/by-external-id/tide/7"
        headers = bearer(installed.publisher_key)
        answer = httpx.request(method, url, headers=headers, json=content, timeout=DEADLINE_SECONDS, trust_env=False)
        assert answer.is_success, answer.text
        article: dict[str, Any] = answer.json()
        return article

    def found(words: str) -> list[dict[str, Any]]:
        answer = httpx.get(
            f"{installed.search}/v1/search", params={"q": words}, timeout=DEADLINE_SECONDS, trust_env=False
        )
        articles: list[dict[str, Any]] = answer.json()["articles"]
        return articles

    def page(article: dict[str, Any]) -> httpx.Response:
        path = f"/articles/{article['id']}/{article['url'].rpartition('/')[2]}"
        return httpx.get(f"{installed.search}{path}", follow_redirects=True, timeout=DEADLINE_SECONDS, trust_env=False)

    with receiver() as hook:
        subscribe(installed, hook.url, {"query": "zephyrine"})
        due = datetime.now(UTC) + timedelta(seconds=6)
        scheduled = ask("PUT", {"title": "Quillfeather", "body": BODY, "embargo_until": due.isoformat()})
        assert (scheduled["status"], scheduled["version"]) == ("scheduled", 0)
        shown = found("zephyrine"), page(scheduled).status_code
        assert shown == ([], 404) or datetime.now(UTC) >= due  # on a busy machine, it may be due meanwhile
        until(lambda: found("zephyrine"))
        assert datetime.now(UTC) >= due
        until(lambda: [event["data"]["kind"] for event in hook.events()] == ["published"])

        note = "The boats were not zephyrine but vermilion."
        ask("PATCH", {"body": BODY.replace("zephyrine", "vermilion"), "correction_note": note})
        [article] = until(lambda: found("vermilion captains"))
        assert (article["version"], article["correction_note"]) == (2, note)
        assert note in page(article).text
        until(lambda: [event["data"]["kind"] for event in hook.events()] == ["published", "corrected"])

        ask("DELETE")
        until(lambda: page(article).status_code == 410)
        again = ask("PUT", {"title": "Quillfeather returns", "body": BODY})
        assert (again["version"], again["status"]) == (3, "published")
        [article] = until(lambda: found("zephyrine"))
        assert (article["version"], article["title"]) == (3, "Quillfeather returns")
        until(lambda: [event["data"]["version"] for event in hook.events()] == [1, 2, 2, 3])
        assert page(article).status_code == 200
