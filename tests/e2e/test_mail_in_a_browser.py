"""The HTML of mails in a real browser: it fits a phone, and all of it can be read, light and dark, without pictures."""

from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome

from newswire_notify.newsletters.items import ChosenItems, Item
from newswire_notify.newsletters.mail_maker import CONFIRMATION
from newswire_notify.newsletters.models import Newsletter, NewsletterDraft
from newswire_notify.newsletters.rendering import NewsletterLinks, ReaderLinks, render_articles, render_signup
from tests.e2e.test_reader_site import AXE, LONG, MAX_SCROLL, resize
from tests.npm import node_with

TOKEN = "tA9x" * 40
PAGE = "https://news.example/newsletters/ferries"
LINKS = NewsletterLinks(PAGE, f"{PAGE}/archive")
READER = ReaderLinks(f"{PAGE}/unsubscribe/{TOKEN}", f"{PAGE}/preferences/{TOKEN}")
AXE_RULES = """
const done = arguments[arguments.length - 1];
axe.run({rules: {'landmark-one-main': {enabled: false}, 'page-has-heading-one': {enabled: false}, region: {enabled: false}}})
  .then((found) => done(found.violations.map((each) => [each.id, each.nodes[0].html])));
"""
"""A mail is no page: it has no landmarks, and its subject is its heading."""


def newsletter(language: str, colour: str) -> Newsletter:
    draft = {
        "slug": "ferries",
        "name": "Ferry News",
        "description": "What moves on the water.",
        "sender": {"name": "Harbour Post", "address": "news@harbour.example"},
        "language": language,
        "brand": {
            "logo_url": "https://news.example/logo.png",
            "colour": colour,
            "postal_address": f"Harbour Post, {LONG} 1, 20457 Hamburg",
        },
    }
    return Newsletter("nl_1", "Post", "1", datetime(2026, 1, 1, tzinfo=UTC), NewsletterDraft.model_validate(draft))


def item(title: str, language: str = "en", summary: str = "The night ferry runs again. " * 8) -> Item:
    return Item(
        "a1",
        1,
        title,
        "https://news.example/articles/a1",
        summary,
        "Ada Quill, Tom Marrow",
        language,
        "2026-11-26",
        "2026-11-26T07:00:00Z",
        "The name of the ferry was wrong.",
    )


def mails() -> dict[str, str]:
    items = (
        item("The night ferry is back"),
        item((LONG * 2)[:100], "de", LONG * 3),
        item("العبّارة تبحر من جديد", "ar", "غادرت العبّارة الميناء بعد أسبوع من الضباب."),
    )
    found = {}
    for colour in ("#a3221f", "#ffe45c", "#0b1220"):
        letter = newsletter("de", colour)
        found[f"alert {colour}"] = render_articles(letter, ChosenItems(items[:1]), LINKS, READER, single=True).html
        found[f"digest {colour}"] = render_articles(
            letter, ChosenItems(items * 10, items[:2]), LINKS, READER, single=False
        ).html
        found[f"confirmation {colour}"] = render_signup(
            letter, "fr", *CONFIRMATION[:2], f"{PAGE}/confirm/{TOKEN}", *CONFIRMATION[2:]
        ).html
    return found


@pytest.mark.timeout(300)
def test_mails_fit_and_can_be_read(chromium: Chrome, tmp_path: Path) -> None:
    node_with("axe-core", AXE)
    axe = (AXE / "node_modules/axe-core/axe.min.js").read_text()
    chromium.execute_cdp_cmd("Network.enable", {})
    chromium.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["http*"]})
    seen: dict[str, Any] = {}
    for (name, html), width in product(mails().items(), (320, 600)):
        file = tmp_path / "mail.html"
        file.write_text(html)
        resize(chromium, width)
        for scheme in ("light", "dark"):
            chromium.execute_cdp_cmd(
                "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            )
            chromium.get(file.as_uri())
            assert chromium.execute_script(MAX_SCROLL) == 0, (name, width)
            chromium.execute_script(axe)
            if problems := chromium.execute_async_script(AXE_RULES):
                seen[f"{name}, {width}, {scheme}"] = problems
    assert seen == {}
