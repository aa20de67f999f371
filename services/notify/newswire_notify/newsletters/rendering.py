"""The texts of mails: plain text, and HTML that mail programs show (tables, styles at the elements, no script, no tracking)."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

from newswire.http.templating import templates
from newswire.text.direction import direction_of
from newswire_notify.newsletters.items import SUMMARY_CHARACTERS, ChosenItems, Item, shortened
from newswire_notify.newsletters.message import MAX_HTML_BYTES, MailContent
from newswire_notify.newsletters.models import Newsletter
from newswire_notify.newsletters.texts import text_language, texts

PACKAGE = "newswire_notify.newsletters"
MAX_ITEMS = 25
"""Articles in a digest; the page of the newsletter has the others."""
_TEXT_COLUMNS = 72
templates(PACKAGE).globals["direction"] = direction_of


@dataclass(frozen=True, slots=True)
class ReaderLinks:
    """The addresses in a mail that differ for each reader."""

    unsubscribe: str
    preferences: str


@dataclass(frozen=True, slots=True)
class NewsletterLinks:
    """The addresses in a mail that are the same for all."""

    page: str
    archive: str | None


def render_articles(
    newsletter: Newsletter, chosen: ChosenItems, links: NewsletterLinks, reader: ReaderLinks, *, single: bool
) -> MailContent:
    """Return the mail of an alert, or of a digest; with fewer articles where it would grow too large."""
    count = MAX_ITEMS
    while True:
        content = _articles(newsletter, chosen, links, reader, single=single, count=count)
        # Room is left for the links of a reader, which are put in later.
        if count <= 1 or len(content.html.encode()) < MAX_HTML_BYTES - 4000:
            return content
        count = count * 2 // 3


def _articles(
    newsletter: Newsletter,
    chosen: ChosenItems,
    links: NewsletterLinks,
    reader: ReaderLinks,
    *,
    single: bool,
    count: int,
) -> MailContent:
    draft, wording = newsletter.draft, texts(newsletter.draft.language)
    shown = list(chosen.items[:count])
    if not single:
        shown = [replace(item, summary=shortened(item.summary, SUMMARY_CHARACTERS)) for item in shown]
    corrections = chosen.corrections[:count]
    more = len(chosen.items) - len(shown)
    first = shown[0] if shown else corrections[0]
    subject = first.title if single else wording["mail_digest_subject"].format(name=draft.name, title=first.title)
    html = _html(
        "mail_articles.html",
        newsletter,
        draft.language,
        subject=subject,
        preview=shortened(first.summary, 120),
        items=shown,
        corrections=corrections,
        more=more,
        single=single,
        page_url=links.page,
        archive_url=links.archive,
        unsubscribe_url=reader.unsubscribe,
        preferences_url=reader.preferences,
    )
    lines = [draft.name, "=" * min(len(draft.name), _TEXT_COLUMNS), ""]
    for item in shown:
        lines += _item_lines(item, wording["by"])
    if more:
        lines += [wording["mail_more"].format(count=more), links.page, ""]
    if corrections:
        lines += [wording["mail_corrections"], ""]
        for item in corrections:
            lines += [*_wrapped(f"{item.title}: {item.correction_note or ''}".rstrip(": ")), item.url, ""]
    lines += ["-- ", *_wrapped(wording["mail_why"].format(name=draft.name))]
    lines += [f"{wording['unsubscribe']}: {reader.unsubscribe}", f"{wording['preferences']}: {reader.preferences}"]
    if draft.brand.postal_address:
        lines += _wrapped(draft.brand.postal_address)
    return MailContent(subject, "\n".join(lines) + "\n", html)


def render_signup(
    newsletter: Newsletter, language: str, subject: str, message: str, link: str, button: str, closing: str
) -> MailContent:
    """Return a mail about a sign-up. It contains no text from the request, so forms cannot be used to send spam."""
    draft, wording = newsletter.draft, texts(language)
    filled = {name: wording[name].format(name=draft.name) for name in (subject, message)}
    ending = wording[closing].format(name=draft.name) if closing else ""
    html = _html(
        "mail_signup.html",
        newsletter,
        language,
        subject=filled[subject],
        preview=filled[message],
        message=filled[message],
        link=link,
        button_text=wording[button],
        closing=ending,
    )
    lines = [*_wrapped(filled[message]), "", link, "", *(_wrapped(ending) if ending else [])]
    if draft.brand.postal_address:
        lines += ["", *_wrapped(draft.brand.postal_address)]
    return MailContent(filled[subject], "\n".join(lines) + "\n", html)


def _html(template: str, newsletter: Newsletter, language: str, **values: object) -> str:
    draft = newsletter.draft
    return (
        templates(PACKAGE)
        .get_template(template)
        .render(
            name=draft.name,
            language=text_language(language),
            dir=direction_of(text_language(language)),
            t=texts(language),
            colour=draft.brand.colour,
            on_colour=readable_on(draft.brand.colour),
            logo_url=draft.brand.logo_url,
            postal_address=draft.brand.postal_address,
            **values,
        )
    )


def readable_on(colour: str) -> str:
    """Return black or white, whichever has the greater contrast on a colour (WCAG 2, relative luminance)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#ffffff" if luminance < 0.179 else "#000000"


def _item_lines(item: Item, by: str) -> list[str]:
    return [
        *_wrapped(item.title),
        *(_wrapped(by.format(names=item.authors)) if item.authors else []),
        *_wrapped(item.summary),
        item.url,
        "",
    ]


def _wrapped(text: str) -> Sequence[str]:
    return textwrap.wrap(text, _TEXT_COLUMNS, break_long_words=False, break_on_hyphens=False)
