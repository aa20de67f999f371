"""A saved HTML page: JSON-LD, then Open Graph, then microdata, then what a reader would see."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import trafilatura
from lxml import html
from trafilatura.metadata import extract_metadata

from newswire_cli.importing.markup import inner, paragraphs, plain
from newswire_cli.importing.sources import Source
from newswire_cli.importing.stories import Fault, Found, Story, Unreadable

_ARTICLES = re.compile(r"(?:^|[/:])(?:\w*Article|\w*BlogPosting|Report|LiveBlogPosting)$")
_LABELLED = re.compile(r"(?im)^\s*(posted by|written by|author|by|category|section|published|date)\s*:?\s+(\S.*?)\s*$")
_LABELS = {"posted by": "author", "written by": "author", "by": "author", "section": "category", "published": "date"}
LONGEST_LABELLED = 120
"""Characters of a line that may be a label and its value, rather than a sentence."""


def read(source: Source) -> Iterator[Found]:
    """Read one article."""
    page = trafilatura.load_html(source.whole())
    if page is None:
        raise Unreadable("holds no HTML that can be read")
    linked, meta, item = _json_ld(page), _meta(page), _microdata(page)
    address = _first(linked.get("url"), _link(page, "canonical"), meta.get("og:url"), item.get("url"), source.url)
    seen = _visible(page, address)
    identity = address or source.relative
    title = _first(linked.get("headline"), meta.get("og:title"), item.get("headline"), seen.get("title"))
    body = item.pop("articleBody", "") or _main_text(page, title) or paragraphs(str(linked.get("articleBody", "")))
    if not body:
        yield Fault(source.name, None, "no article's text is found in it")
        return
    dates = linked.get("datePublished"), meta.get("article:published_time"), item.get("datePublished"), seen.get("date")
    draft = {
        "title": plain(title),
        "body": body,
        "summary": plain(_first(linked.get("description"), meta.get("og:description"), meta.get("description"))),
        "authors": _people(linked.get("author"))
        or _listed(_first(meta.get("article:author"), item.get("author"), seen.get("author"))),
        "category": _first(
            _text(linked.get("articleSection")),
            meta.get("article:section"),
            item.get("articleSection"),
            seen.get("category"),
        ),
        "topics": _keywords(linked.get("keywords")) or meta["article:tag"] or _keywords(meta.get("keywords")),
        "language": _first(linked.get("inLanguage"), page.get("lang")),
        "published_at": [date for date in dates if isinstance(date, str)],
        "external_id": identity,
        "canonical_url": address,
        "image": _image(linked.get("image"), meta, address),
    }
    yield Story(source.name, 1, draft, expires=meta.get("article:expiration_time") or linked.get("expires"))


def _json_ld(page: html.HtmlElement) -> dict[str, Any]:
    """Return the first article among the page's JSON-LD, also from within a ``@graph``."""
    for script in page.iterfind('.//script[@type="application/ld+json"]'):
        try:
            waiting = [json.loads(script.text or "")]
        except (ValueError, RecursionError):
            continue  # the page says it in other ways too
        while waiting:
            node = waiting.pop(0)
            if isinstance(node, list):
                waiting += node
            elif isinstance(node, dict):
                kinds = node.get("@type")
                if any(_ARTICLES.search(str(kind)) for kind in (kinds if isinstance(kinds, list) else [kinds])):
                    return node
                waiting += [node.get("@graph"), node.get("mainEntity")]
    return {}


def _meta(page: html.HtmlElement) -> dict[str, Any]:
    found: dict[str, Any] = {"article:tag": []}
    for element in page.iter("meta"):
        name = element.get("property") or element.get("name") or ""
        value = (element.get("content") or "").strip()
        if name == "article:tag":
            found[name].append(value)
        elif value:
            found.setdefault(name.lower(), value)
    return found


def _microdata(page: html.HtmlElement) -> dict[str, str]:
    found: dict[str, str] = {}
    item = next((each for each in page.iterfind(".//*[@itemtype]") if _ARTICLES.search(each.get("itemtype", ""))), None)
    if item is None:
        return found
    for element in item.iterfind(".//*[@itemprop]"):
        if next((above for above in element.iterancestors() if above.get("itemscope") is not None), item) is not item:
            continue  # it belongs to an item inside, such as the author
        for name in element.get("itemprop", "").split():
            if name == "articleBody":
                found.setdefault(name, inner(element))
            else:
                said = (
                    element.get("content") or element.get("datetime") or element.get("href") or element.text_content()
                )
                if name == "author":
                    said = element.get("content") or element.text_content()
                found.setdefault(name, " ".join(str(said).split()))
    return found


def _visible(page: html.HtmlElement, address: str) -> dict[str, str]:
    """Return what a reader sees: lines such as "Posted by Ida Roth", and what trafilatura makes of the page."""
    guessed = extract_metadata(page, default_url=address or None)
    found = {"title": guessed.title or "", "author": guessed.author or "", "date": guessed.date or ""}
    lines = (" ".join(str(part).split()) for part in page.itertext())
    text = "\n".join(line for line in lines if line)
    joined = re.sub(r"(?im)^(posted by|written by|category|section|published|date):?\n", r"\1 ", text)
    labelled: dict[str, str] = {}
    for match in _LABELLED.finditer(joined):
        if len(match[0]) <= LONGEST_LABELLED and not match[2].endswith((".", "!", "?")):
            labelled.setdefault(_LABELS.get(match[1].lower(), match[1].lower()), match[2])
    if "date" not in labelled and (marked := page.find(".//time[@datetime]")) is not None:
        found["date"] = marked.get("datetime", "")
    labelled.pop("date", None)  # its wording is a reader's; trafilatura knows many of them
    return found | labelled


def _main_text(page: html.HtmlElement, title: str) -> str:
    """Return the article's HTML, without the title and the "Posted by" lines above it."""
    extracted = trafilatura.extract(
        page,
        output_format="html",
        include_comments=False,
        include_links=True,
        include_images=True,
        include_formatting=True,
    )
    if not extracted:
        return ""
    body: Any = html.fromstring(extracted).find(".//body")
    if body is None:
        return ""
    while len(body) and (
        _LABELLED.fullmatch(seen := " ".join(str(body[0].text_content()).split())) or seen == plain(title)
    ):
        body.remove(body[0])
    return inner(body)


def _first(*values: Any) -> str:
    return next((value.strip() for value in values if isinstance(value, str) and value.strip()), "")


def _text(value: Any) -> str:
    value = value[0] if isinstance(value, list) and value else value
    return value if isinstance(value, str) else ""


def _people(value: Any) -> list[str | dict[str, str]]:
    people: list[str | dict[str, str]] = []
    for person in value if isinstance(value, list) else [value]:
        if isinstance(person, str) and person.strip():
            people.append(person)
        elif isinstance(person, dict) and isinstance(name := person.get("name"), str):
            address = person.get("url")
            is_address = isinstance(address, str) and address.startswith(("http://", "https://"))
            people.append({"name": name, "url": str(address)} if is_address else name)
    return people


def _listed(names: str) -> list[str]:
    return [] if names.startswith("http") else [name.strip() for name in re.split(r"\s*;\s*|\s+and\s+", names) if name]


def _keywords(value: Any) -> list[str]:
    found = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    return [word.strip() for word in found if isinstance(word, str) and word.strip()]


def _link(page: html.HtmlElement, relation: str) -> str:
    found = page.find(f'.//link[@rel="{relation}"]')
    return "" if found is None else found.get("href", "")


def _image(value: Any, meta: dict[str, Any], address: str) -> dict[str, str] | None:
    value = value[0] if isinstance(value, list) and value else value
    found = value.get("url") if isinstance(value, dict) else value
    named = _first(found, meta.get("og:image"))
    url = urljoin(address, named) if named else ""
    alt = meta.get("og:image:alt", "")
    return {"url": url, **({"alt": alt} if alt else {})} if url.startswith(("http://", "https://")) else None
