"""Extracts the text of a saved page without navigation, advertisements and other boilerplate."""

import re
from typing import Any

import trafilatura
from lxml import etree, html

from newswire_ingest.importing.links import picture_address, resolved
from newswire_ingest.importing.markup import inner, plain

_AROUND = re.compile(
    r"(?i)(?:^|[\s_-])(?:related|recirc\w*|teasers?|recommend\w*|read-?more|more-(?:stories|news|from)|also-(?:read|like)|trending"
    r"|most-?(?:read|popular|viewed)|popular-posts|outbrain|taboola|sponsored|cookies?|cookie-?(?:banner|notice|consent|bar)|consent"
    r"|gdpr|cmp|onetrust|newsletter|subscribe|signup|sign-up|share|sharing|social(?:-\w+)?|sharedaddy|breadcrumbs?|advert\w*|ad-slot"
    r"|promo|paywall-\w+|comments?|comment-list|sidebar|widget|skip-link|site-(?:header|footer|nav\w*))(?:$|[\s_-])"
)
_ALWAYS = ("script", "style", "template", "nav", "form", "dialog", "button", "svg")
MAX_BOILERPLATE_SHARE = 0.4
"""Share of a page's text above which an element is not boilerplate, whatever its class is called."""


def prepare(page: html.HtmlElement, base: str) -> None:
    """Remove boilerplate from a page, and give images and links their real addresses."""
    for each in list(page.iter("noscript")):
        if each.getparent() is not None:
            each.drop_tag() if next(each.iter("img"), None) is not None else each.drop_tree()
    for each in list(page.iter(*_ALWAYS, etree.Comment)):
        if each.getparent() is not None:
            each.drop_tree()
    whole = len(page.text_content())
    for each in list(page.iter("div", "section", "aside", "ul", "ol", "p", "header", "footer", "figure", "span")):
        name = f"{each.get('class', '')} {each.get('id', '')} {each.get('role', '')}"
        if (
            _AROUND.search(name)
            and each.getparent() is not None
            and next(each.iter("h1", "article", "main"), None) is None
            and len(each.text_content()) < MAX_BOILERPLATE_SHARE * whole
        ):
            each.drop_tree()
    seen = set()
    for image in list(page.iter("img", "amp-img")):
        image.tag = "img"
        address = picture_address(image, base)
        if not address or address in seen:
            image.drop_tree()
            continue
        seen.add(address)
        kept = {name: value for name in ("alt", "width", "height", "title") if (value := image.get(name))}
        image.attrib.clear()
        image.attrib.update(kept)
        image.set("src", address)
    for link in page.iter("a"):
        if base and (address := resolved(link.get("href", ""), base)):
            link.set("href", address)


def main_text(page: html.HtmlElement, title: str, is_label: "re.Pattern[str]") -> str:
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
        is_label.fullmatch(seen := " ".join(str(body[0].text_content()).split())) or seen == plain(title)
    ):
        body.remove(body[0])
    return inner(body)
