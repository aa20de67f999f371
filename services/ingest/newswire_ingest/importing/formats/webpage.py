"""Reads a saved HTML page: JSON-LD, then Open Graph, then microdata, then the visible text."""

import re
from collections.abc import Iterator
from typing import Any

import trafilatura
from lxml import html
from trafilatura.metadata import extract_metadata

from newswire_ingest.importing.decoding import text_of
from newswire_ingest.importing.formats.json_ld import ARTICLES, article, people
from newswire_ingest.importing.formats.page_text import main_text, prepare
from newswire_ingest.importing.formats.page_title import best_title
from newswire_ingest.importing.input_files import InputFile
from newswire_ingest.importing.links import resolved
from newswire_ingest.importing.markup import inner, paragraphs, plain
from newswire_ingest.importing.models import FailedItem, SourceArticle, SourceItem, UnreadableSourceError

_XML_DECLARATION = re.compile(r"\A\s*<\?xml\b[^>]*>")
_REFRESH = re.compile(r"(?i)\s*\d+\s*[;,]\s*url\s*=\s*['\"]?([^'\"]+)")
_LABELLED = re.compile(
    r"(?im)^[^\S\n]*+(posted by|written by|author|by|category|section|published|date)\s*+(?::\s++|(?<=\s))"
    r"(\S(?:.*\S)?)[^\S\n]*$"
)
_LABELS = {"posted by": "author", "written by": "author", "by": "author", "section": "category", "published": "date"}
MAX_LABELED_LINE_CHARACTERS = 120
"""A longer line is a sentence rather than a label with its value."""


def read(source: InputFile) -> Iterator[SourceItem]:
    """Read one article."""
    text = _XML_DECLARATION.sub("", text_of(source.whole(), source.charset)).replace("\0", "")
    page = trafilatura.load_html(text) if text.strip() else None
    if page is None:
        raise UnreadableSourceError("contains no readable HTML")
    meta, item = _meta(page), _microdata(page)
    base = resolved(_attribute(page, ".//base[@href]", "href"), source.url or "") or source.url or ""
    canonical = resolved(_link(page, "canonical"), base)
    linked = article(page, canonical or source.url or "")
    address = _address(canonical, linked, meta, item, base, source.url or "")
    seen = _visible(page, address)
    described = _first(linked.get("description"), meta.get("og:description"), meta.get("description"))
    title = best_title(
        page,
        _first(linked.get("headline"), item.get("headline"), linked.get("name")),
        _first(meta.get("og:title"), meta.get("twitter:title")),
        descriptions=[
            described,
            *(meta.get(name, "") for name in ("description", "og:description", "twitter:description")),
        ],
        site=meta.get("og:site_name", ""),
        address=address,
        guessed=seen.get("title", ""),
    )
    refresh = _REFRESH.match(_attribute(page, ".//meta[@http-equiv]", "content"))
    prepare(page, base or address)
    body, notes = _body(page, linked, title)
    if not body:
        reason = f"only redirects to {refresh[1][:200]}" if refresh else "contains no article text"
        yield FailedItem(source.name, None, reason)
        return
    if str(linked.get("isAccessibleForFree", "")).rpartition("/")[2].lower() == "false":
        notes.append("the page is behind a paywall: its text may be truncated")
    draft = {
        "title": plain(title),
        "body": body,
        "summary": plain(described),
        "authors": people(linked.get("author") or linked.get("creator"))
        or _listed(_first(meta.get("article:author"), item.get("author"), meta.get("author"), seen.get("author"))),
        "category": _first(
            _text(linked.get("articleSection")),
            meta.get("article:section"),
            item.get("articleSection"),
            seen.get("category"),
        ),
        "topics": _keywords(linked.get("keywords")) or meta["article:tag"] or _keywords(meta.get("keywords")),
        "language": _first(_language(linked.get("inLanguage")), page.get("lang"), meta.get("og:locale")),
        "published_at": _dates(linked, meta, item, seen),
        "external_id": address or source.relative,
        "canonical_url": address,
        "image": _image(linked.get("image"), meta, base or address),
    }
    expires = meta.get("article:expiration_time") or linked.get("expires")
    yield SourceArticle(source.name, 1, draft, tuple(notes), base=base or address, expires=expires)


def _dates(linked: dict[str, Any], meta: dict[str, Any], item: dict[str, str], seen: dict[str, str]) -> list[str]:
    """Return all candidates for the date of an article, best first."""
    found = (
        linked.get("datePublished"),
        meta.get("article:published_time"),
        item.get("datePublished"),
        seen.get("date"),
        linked.get("dateCreated"),
        linked.get("dateModified"),
        meta.get("article:modified_time"),
    )
    return [each.strip() for each in found if isinstance(each, str) and each.strip()]


def _address(
    canonical: str, linked: dict[str, Any], meta: dict[str, Any], item: dict[str, str], base: str, fetch: str
) -> str:
    """Return the page's address; the front page of the site, which some sites declare on every page, only if there is no other."""
    main = linked.get("mainEntityOfPage")
    named = (
        linked.get("url"),
        main.get("@id") if isinstance(main, dict) else main,
        meta.get("og:url"),
        item.get("url"),
    )
    found = [canonical, *(resolved(each, base) for each in named if isinstance(each, str) and each), fetch]
    found = [each for each in found if each.startswith(("http://", "https://"))]
    return next((each for each in found if each.partition("//")[2].rstrip("/").count("/")), next(iter(found), ""))


def _body(page: html.HtmlElement, linked: dict[str, Any], title: str) -> tuple[str, list[str]]:
    """Return the text: the marked one, else the visible one, unless the JSON-LD contains far more of it."""
    body = _microdata(page).get("articleBody", "") or main_text(page, title, _LABELLED)
    content = linked.get("articleBody")
    if isinstance(content, str) and len(plain(content)) > 2 * len(plain(body)):
        return (content if "</p>" in content else paragraphs(plain(content) if "\n" not in content else content)), []
    return body, []


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
    item = next((each for each in page.iterfind(".//*[@itemtype]") if ARTICLES.search(each.get("itemtype", ""))), None)
    if item is None:
        return found
    for element in item.iterfind(".//*[@itemprop]"):
        if next((above for above in element.iterancestors() if above.get("itemscope") is not None), item) is not item:
            continue  # it belongs to a nested item, such as the author
        for name in element.get("itemprop", "").split():
            if name == "articleBody":
                found.setdefault(name, inner(element))
            else:
                content = (
                    element.get("content") or element.get("datetime") or element.get("href") or element.text_content()
                )
                if name == "author":
                    content = element.get("content") or element.text_content()
                found.setdefault(name, " ".join(str(content).split()))
    return found


def _visible(page: html.HtmlElement, address: str) -> dict[str, str]:
    """Return what a reader sees: lines such as "Posted by Ida Roth", and what trafilatura extracts from the page."""
    guessed = extract_metadata(page, default_url=address or None)
    found = {"title": guessed.title or "", "author": guessed.author or "", "date": guessed.date or ""}
    lines = (" ".join(str(part).split()) for part in page.itertext())
    text = "\n".join(line for line in lines if line)
    joined = re.sub(r"(?im)^(posted by|written by|category|section|published|date):?\n", r"\1 ", text)
    labelled: dict[str, str] = {}
    for match in _LABELLED.finditer(joined):
        if len(match[0]) <= MAX_LABELED_LINE_CHARACTERS and not match[2].endswith((".", "!", "?")):
            labelled.setdefault(_LABELS.get(match[1].lower(), match[1].lower()), match[2])
    marked = (time.get("datetime", "") for time in page.iterfind(".//time[@datetime]"))
    if "date" not in labelled and (date := next((each for each in marked if re.match(r"\s*\d{4}-?\d\d", each)), "")):
        found["date"] = date
    labelled.pop("date", None)  # the line is worded for readers; trafilatura knows many such wordings
    return found | labelled


def _first(*values: Any) -> str:
    return next((value.strip() for value in values if isinstance(value, str) and value.strip()), "")


def _text(value: Any) -> str:
    value = value[0] if isinstance(value, list) and value else value
    return value if isinstance(value, str) else ""


def _listed(names: str) -> list[str]:
    return [] if names.startswith("http") else [name.strip() for name in re.split(r"\s*;\s*|\s+and\s+", names) if name]


def _keywords(value: Any) -> list[str]:
    found = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    return [word.strip() for word in found if isinstance(word, str) and word.strip()]


def _link(page: html.HtmlElement, relation: str) -> str:
    return next(
        (
            href
            for each in page.iter("link")
            if relation in each.get("rel", "").lower().split() and (href := each.get("href"))
        ),
        "",
    )


def _attribute(page: html.HtmlElement, path: str, name: str) -> str:
    return next((value for each in page.iterfind(path) if (value := each.get(name))), "")


def _language(value: Any) -> str:
    value = value[0] if isinstance(value, list) and value else value
    if isinstance(value, dict):
        value = value.get("alternateName") or value.get("name")
    return value if isinstance(value, str) else ""


def _image(value: Any, meta: dict[str, Any], address: str) -> dict[str, str] | None:
    value = value[0] if isinstance(value, list) and value else value
    found = (value.get("url") or value.get("contentUrl")) if isinstance(value, dict) else value
    found = found[0] if isinstance(found, list) and found else found
    named = _first(found, meta.get("og:image"))
    url = resolved(named, address) if named else ""
    alt = meta.get("og:image:alt", "")
    return {"url": url, **({"alt": alt} if alt else {})} if url.startswith(("http://", "https://")) else None
