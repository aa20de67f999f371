"""The public pages of newsletters in a real browser: the look of the site, no barriers, every width, three languages."""

import asyncio
import email
import email.policy
import re
import time
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from newswire.auth.signed_tokens import SignedTokens
from newswire.keys import Keyspace
from newswire.storage.redis_client import open_redis
from newswire_notify.newsletters.links import Links
from tests.e2e.conftest import Newswire, one_process
from tests.e2e.test_reader_site import AXE, MAX_SCROLL, VIOLATIONS, publish, resize
from tests.npm import node_with
from tests.polling import until
from tests.servers.browser import another_page, text_of

FERRIES: dict[str, Any] = {
    "slug": "ferries",
    "name": "Ferry News",
    "description": "What moves on the water, every morning.",
    "sender": {"name": "Harbour Post", "address": "news@harbour.example"},
    "topics": [{"label": "Ferries", "filter": {"topics": ["Ferries"]}}, {"label": "Bridges", "filter": {}}],
    "cadences": ["instant", "daily", "weekly"],
    "public_archive": True,
    "brand": {"postal_address": "Harbour Post, Quay 1, Tidehaven"},
}
GERMAN = FERRIES | {"slug": "faehren", "name": "Fährpost", "description": "Was auf dem Wasser fährt.", "language": "de"}
ARABIC = FERRIES | {
    "slug": "arabic",
    "name": "أخبار العبّارات",
    "description": "ما يتحرك على الماء، كل صباح.",
    "topics": [{"label": "العبّارات", "filter": {"topics": ["Ferries"]}}],
    "language": "ar",
}
LOOK = """
const look = (selector, ...names) => {
  const style = getComputedStyle(document.querySelector(selector));
  return names.map((name) => style[name]);
};
return [look("html", "backgroundColor", "color"), look(".brand", "fontFamily", "fontSize"), look(".masthead", "display"),
  look(".sections a", "fontSize", "fontWeight"), look(".colophon", "backgroundColor"),
  document.querySelector(".brand").innerText, document.querySelector("link[rel=icon]").getAttribute("href")];
"""


def create(installed: Newswire, *drafts: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {installed.subscriber_key}"}
    for draft in drafts:
        answer = httpx.post(f"{installed.notify}/v1/newsletters", headers=headers, json=draft, trust_env=False)
        assert answer.status_code == 201, answer.text


def old_form_token(data_dir: Path, site: str) -> str:
    """Return the token of a form that a reader opened ten seconds ago."""

    async def make() -> str:
        async with open_redis((data_dir / "redis.url").read_text().strip()) as redis:
            tokens = SignedTokens(redis, Keyspace("newswire"), clock=lambda: time.time() - 10)
            return await Links(site, tokens, tokens).form("ferries")

    return asyncio.run(make())


def link_of_the_mail(data_dir: Path) -> str:
    """Return the path that the only mail links to."""
    until(lambda: len(list((data_dir / "mail").glob("*.eml"))) == 1)
    (file,) = (data_dir / "mail").glob("*.eml")
    text = email.message_from_bytes(file.read_bytes(), policy=email.policy.default).get_body(("plain",))
    found = re.search(r"https?://[^/]+(/newsletters/ferries/confirm/\S+)", text.get_content())  # type: ignore[union-attr]
    assert found
    return found[1]


class Visitor:
    """A browser that checks each page it is at."""

    def __init__(self, chromium: Chrome, site: str) -> None:
        node_with("axe-core", AXE)
        self.axe = (AXE / "node_modules" / "axe-core" / "axe.min.js").read_text()
        self.chromium = chromium
        self.site = site

    def open(self, path: str) -> None:
        self.chromium.get(self.site + path)
        self.check()

    def click(self, selector: str) -> None:
        """Press a button, and check the page that it leads to."""
        with another_page(self.chromium):
            button = self.chromium.find_element(By.CSS_SELECTOR, selector)
            self.chromium.execute_script("arguments[0].click()", button)  # it may be outside of the emulated window
        self.check()

    def check(self) -> None:
        where = self.chromium.current_url
        for scheme, width in product(("light", "dark"), (320, 390, 1280)):
            media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            self.chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
            resize(self.chromium, width)
            assert self.chromium.execute_script(MAX_SCROLL) == 0, (where, width)
            if width != 390:
                self.chromium.execute_cdp_cmd("Runtime.evaluate", {"expression": self.axe})
                assert self.chromium.execute_async_script(VIOLATIONS) == [], (where, scheme, width)

    def look(self) -> Any:
        return self.chromium.execute_script(LOOK)


@pytest.mark.timeout(300)
def test_pages_of_newsletters_look_like_the_site_and_have_no_barriers(tmp_path: Path, chromium: Chrome) -> None:
    data_dir = tmp_path / "data"
    with one_process(data_dir) as installed:
        create(installed, FERRIES, GERMAN, ARABIC)
        story = {"title": "The ferry sails", "body": "<p>It sails.</p>", "topics": ["Ferries"], "category": "Harbour"}
        publish(installed, story, 1)
        visitor = Visitor(chromium, installed.notify)
        visitor.open("/about")
        look = visitor.look()
        for path in ("/newsletters", "/newsletters/ferries", "/newsletters/faehren", "/newsletters/arabic", "/mail"):
            visitor.open(path)
            assert visitor.look() == look, path
        until(
            lambda: (
                "The ferry sails" in httpx.get(f"{installed.notify}/newsletters/ferries/archive", trust_env=False).text
            )
        )
        for path in ("ferries/archive", "none", "ferries/confirm/forged", "ferries/preferences/forged"):
            visitor.open(f"/newsletters/{path}")
            assert visitor.look() == look, path

        chromium.get(f"{installed.notify}/newsletters/arabic")
        heading = chromium.find_element(By.TAG_NAME, "h1")
        assert (heading.value_of_css_property("direction"), heading.get_attribute("lang")) == ("rtl", "ar")
        assert chromium.find_element(By.TAG_NAME, "html").get_attribute("lang") == "en"
        chromium.get(f"{installed.notify}/newsletters/faehren")
        assert chromium.find_element(By.TAG_NAME, "html").get_attribute("lang") == "de"
        assert "Startseite" in text_of(chromium, ".sections")

        chromium.get(f"{installed.notify}/newsletters/ferries")
        chromium.execute_script("document.querySelector('form.box').noValidate = true")
        chromium.find_element(By.ID, "email").send_keys("nobody")
        visitor.click("form.box button")
        assert chromium.find_element(By.ID, "email").get_attribute("aria-invalid") == "true"
        token = old_form_token(data_dir, installed.notify)
        chromium.execute_script("document.querySelector('[name=form_token]').value = arguments[0]", token)
        chromium.find_element(By.ID, "email").clear()
        chromium.find_element(By.ID, "email").send_keys("reader@example.org")
        visitor.click("form.box button")
        visitor.open(link_of_the_mail(data_dir))
        visitor.click("main button")
        assert "Ferry News" in text_of(chromium, "main")
        visitor.click("main a[href*='/preferences/']")
        visitor.click("form.box button")
        assert chromium.find_elements(By.CSS_SELECTOR, ".notice.good")
        visitor.click("form[action*='/unsubscribe/'] button")
        visitor.open("/mail")
        visitor.click(".list a")


@pytest.mark.timeout(300)
def test_the_box_of_an_article_is_in_the_languages_of_its_newsletter(tmp_path: Path, chromium: Chrome) -> None:
    with one_process(tmp_path / "data") as installed:
        create(installed, ARABIC)
        story = {"title": "The ferry sails", "body": "<p>It sails.</p>", "topics": ["العبّارات"]}
        url = publish(installed, story, 1)
        until(lambda: "newsletter-box" in httpx.get(url, trust_env=False).text)
        visitor = Visitor(chromium, installed.search)
        chromium.get(url)
        visitor.check()
        heading = chromium.find_element(By.CSS_SELECTOR, ".newsletter-box h2")
        assert (heading.get_attribute("lang"), heading.value_of_css_property("direction")) == ("ar", "rtl")
        form = chromium.find_element(By.CSS_SELECTOR, ".newsletter-box form")
        assert form.value_of_css_property("direction") == "ltr"  # its texts are English
        assert chromium.find_element(By.CSS_SELECTOR, ".newsletter-box fieldset input").is_selected()
