"""A day of a subscriber in a real browser: from the link to the repaired endpoint. No page has barriers or scrolls sideways."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from tests.e2e.conftest import Newswire, one_process
from tests.e2e.test_reader_site import AXE, MAX_SCROLL, VIOLATIONS, publish, resize
from tests.npm import node_with
from tests.polling import until
from tests.servers.browser import another_page, click, text_of
from tests.servers.http_server import serving

STORY: dict[str, Any] = {
    "title": "The night ferry sails",
    "body": "<p>It sails at ten.</p>",
    "topics": ["Ferries"],
    "language": "en",
}


@dataclass
class Receiver:
    """An endpoint that responds with ``status``, and keeps what it got: headers and body."""

    status: int = 404
    got: list[tuple[dict[str, str], str]] = field(default_factory=list)
    url: str = ""


@contextmanager
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            found.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(found.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with serving(Handler) as site:
        found.url = f"{site}/hook"
        yield found


@dataclass
class Pages:
    """The pages of the portal in a browser; each that was opened is looked at for barriers in the end."""

    chromium: Chrome
    site: str
    seen: set[str] = field(default_factory=set)

    def open(self, path: str) -> None:
        self.chromium.get(self.site + path)
        self.seen.add(path)

    def press(self, selector: str) -> None:
        with another_page(self.chromium):
            click(self.chromium, self.chromium.find_element(By.CSS_SELECTOR, selector))

    def fill(self, name: str, text: str) -> None:
        box = self.chromium.find_element(By.NAME, name)
        box.clear()
        box.send_keys(text)

    @property
    def path(self) -> str:
        return self.chromium.current_url.removeprefix(self.site)

    @property
    def text(self) -> str:
        return text_of(self.chromium)


def link_to_the_portal(installed: Newswire) -> str:
    headers = {"Authorization": f"Bearer {installed.subscriber_key}"}
    answer = httpx.post(f"{installed.notify}/v1/portal-links", headers=headers, trust_env=False)
    return httpx.URL(answer.json()["url"]).path


@pytest.mark.timeout(400)
def test_a_subscribers_day(tmp_path: Path, chromium: Chrome) -> None:
    node_with("axe-core", AXE)
    with one_process(tmp_path / "data") as installed, receiver() as endpoint:
        publish(installed, STORY, 1)
        pages = Pages(chromium, installed.notify)
        pages.open(link_to_the_portal(installed))
        pages.press("main button")
        assert pages.path == "/portal"
        subscription = a_subscription_is_made(pages, endpoint)
        the_test_fails_and_then_works(pages, endpoint)
        the_endpoint_is_gone_and_everything_is_sent_again(installed, pages, endpoint, subscription)
        the_secret_is_rotated_and_a_signature_checked(pages, endpoint, subscription)
        deliveries_appear_while_one_looks(installed, pages)
        for path in (
            "/portal",
            "/portal/new",
            f"{subscription}/edit",
            f"{subscription}/delete",
            f"{subscription}/replay",
        ):
            pages.seen.add(path)
        no_page_has_barriers(pages)
        said = chromium.get_log("browser")  # type: ignore[no-untyped-call]
        severe = [entry["message"] for entry in said if entry["level"] == "SEVERE"]
        assert not [message for message in severe if "/portal/open/" not in message]  # the used link is a 404


def a_subscription_is_made(pages: Pages, endpoint: Receiver) -> str:
    pages.open("/portal/new")
    pages.fill("topics", "Ferries")
    pages.fill("url", endpoint.url)
    pages.press("button[value=preview]")
    assert "Recent matches: 1" in pages.text
    assert STORY["title"] in pages.text
    pages.press("button:not([name]):not(.quiet)")
    assert "whsec_" in pages.text
    return pages.path


def the_test_fails_and_then_works(pages: Pages, endpoint: Receiver) -> None:
    pages.press("button[value=test]")
    assert "Nothing takes a POST there" in pages.text
    endpoint.status = 204
    pages.press("button[value=test]")
    assert "delivered" in pages.chromium.find_element(By.CSS_SELECTOR, "#test .result").text


def the_endpoint_is_gone_and_everything_is_sent_again(
    installed: Newswire, pages: Pages, endpoint: Receiver, subscription: str
) -> None:
    endpoint.status = 410
    publish(installed, STORY | {"title": "The day ferry sails"}, 2)

    def disabled() -> bool:
        pages.open(subscription)
        return "answered 410 Gone" in pages.text

    until(disabled)
    pages.open(f"{subscription}/deliveries?state=dead")
    pages.press("tbody a")
    assert "410: it asked to be left alone" in pages.text
    assert "If that was a mistake" in pages.text
    pages.seen.add(pages.path)
    pages.open(subscription)
    pages.press("button[value=enable]")
    endpoint.status = 204
    endpoint.got.clear()
    pages.open(f"{subscription}/replay")
    assert pages.chromium.find_element(By.CSS_SELECTOR, ".count").text == "1"
    pages.press("button[value=failed]")
    assert "Sent again: 1" in pages.text
    until(lambda: len(endpoint.got) == 1)


def the_secret_is_rotated_and_a_signature_checked(pages: Pages, endpoint: Receiver, subscription: str) -> None:
    pages.open(subscription)
    Select(pages.chromium.find_element(By.NAME, "overlap")).select_by_value("3600")
    pages.press("button[value=rotate]")
    assert "A former secret also signs until" in pages.text
    headers, body = endpoint.got[-1]
    pasted = "\n".join(f"{name}: {value}" for name, value in headers.items() if name.startswith("webhook-"))
    for sent, verdict in (
        (body, "Valid, by a former secret"),
        (json.dumps(json.loads(body)), "parsed and written again"),
    ):
        pages.open("/portal/signatures")
        pages.fill("headers", pasted)
        pages.fill("body", sent)
        pages.press("main form button")
        assert verdict in pages.chromium.find_element(By.ID, "verdict").text


def deliveries_appear_while_one_looks(installed: Newswire, pages: Pages) -> None:
    pages.open("/portal/live")
    rows = len(pages.chromium.find_elements(By.CSS_SELECTOR, "tbody tr"))
    publish(installed, STORY | {"title": "The last ferry sails"}, 3)
    until(lambda: len(pages.chromium.find_elements(By.CSS_SELECTOR, "tbody tr")) == rows + 1)
    until(lambda: text_of(pages.chromium, "tbody [data-state]") == "delivered")
    assert pages.chromium.find_element(By.CSS_SELECTOR, "[data-status]").text == "New: 1"
    pause = pages.chromium.find_element(By.CSS_SELECTOR, "[data-pause]")
    pause.click()
    assert (pause.text, pause.get_attribute("aria-pressed")) == ("Continue", "true")


def no_page_has_barriers(pages: Pages) -> None:
    axe = (AXE / "node_modules" / "axe-core" / "axe.min.js").read_text()
    for path, (scheme, width) in product(sorted(pages.seen), (("light", 1280), ("dark", 390))):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        pages.chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        resize(pages.chromium, width)
        pages.chromium.get(pages.site + path)
        assert pages.chromium.execute_script(MAX_SCROLL) == 0, (path, width)
        pages.chromium.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})
        assert pages.chromium.execute_async_script(VIOLATIONS) == [], (path, scheme)
