"""What mails say, and how they look in mail programs with little CSS."""

import re
from datetime import UTC, datetime

import pytest

from newswire_notify.newsletters.items import ChosenItems, Item
from newswire_notify.newsletters.mail_maker import CONFIRMATION
from newswire_notify.newsletters.models import Choices, Newsletter, NewsletterDraft
from newswire_notify.newsletters.rendering import NewsletterLinks, ReaderLinks, render_articles, render_signup
from newswire_notify.newsletters.schedule import Cadence
from newswire_notify.newsletters.texts import described_choices

DRAFT = {
    "slug": "ferries",
    "name": "Ferry News",
    "description": "What moves on the water.",
    "sender": {"name": "Harbour Post", "address": "news@harbour.example"},
}
NEWSLETTER = Newsletter("nl_1", "Post", "1", datetime(2026, 1, 1, tzinfo=UTC), NewsletterDraft.model_validate(DRAFT))
ARTICLE = Item("a1", 1, "A title", "https://news.example/a1", "", "", "en", "2026-11-26", "2026-11-26T07:00:00Z", None)
PAGE = "https://news.example/newsletters/ferries"


def mails() -> list[str]:
    links, reader = NewsletterLinks(PAGE, None), ReaderLinks(f"{PAGE}/unsubscribe/t", f"{PAGE}/preferences/t")
    return [
        render_articles(NEWSLETTER, ChosenItems((ARTICLE,)), links, reader, single=True).html,
        render_signup(NEWSLETTER, "en", *CONFIRMATION[:2], f"{PAGE}/confirm/t", *CONFIRMATION[2:]).html,
    ]


@pytest.mark.parametrize("html", mails(), ids=["alert", "confirmation"])
def test_outlook_pads_the_button_and_hides_the_preview(html: str) -> None:
    """Outlook on Windows pads cells only, and shows what is hidden in other ways."""
    assert re.search(r'<td class="frame" style="background:#a3221f;[^"]*"><a class="button"', html)
    [style] = re.findall(r"<!--\[if mso\]><style>(.*?)</style><!\[endif\]-->", html, re.DOTALL)
    assert ".frame { padding: 11px 18px; }" in style
    assert ".preview { mso-hide: all; }" in style
    assert '<div class="preview" style="display:none;' in html
    assert "mso-" not in html.replace(style, "")  # HTML checkers refuse such properties elsewhere


@pytest.mark.parametrize(
    ("choices", "language", "described"),
    [
        (Choices(Cadence.INSTANT, "UTC"), "en", "At once, one mail per article"),
        (Choices(Cadence.DAILY, "Europe/Berlin", 7), "de", "Einmal am Tag, 07:00 (Europe/Berlin)"),
        (Choices(Cadence.WEEKLY, "Asia/Tokyo", 18, 4), "en-GB", "Once a week, Friday, 18:00 (Asia/Tokyo)"),
        (Choices(Cadence.DAILY, "UTC", 0), "ar", "Once a day, 00:00 (UTC)"),
    ],
)
def test_choices_are_described_in_words(choices: Choices, language: str, described: str) -> None:
    assert described_choices(choices, language) == described
