"""Makes the links and images of an article's HTML absolute, and removes those without a usable address."""

import html
import re
from urllib.parse import urljoin, urlsplit

from lxml import html as lxml_html

from newswire_ingest.importing.markup import inner

_TO_LOOK_AT = re.compile(
    r"""<a\b(?![^>]*\shref\s*=\s*["']?\s*(?:https?://|mailto:)[^\s"'>])|<a\b[^>]*>\s*</a"""
    r"""|<img\b(?![^>]*(?<![\w-])src\s*=\s*["']?\s*https?://)|<(?:amp-\w+|iframe|embed|object|audio|video|noscript|picture)\b""",
    re.IGNORECASE,
)
_LAZY = ("data-src", "data-lazy-src", "data-original", "data-lazy", "data-full-src", "data-image", "data-hi-res-src")
_LAZY_SETS = ("data-srcset", "data-lazy-srcset", "srcset")
_PLAYERS = ("iframe", "embed", "object", "audio", "video", "amp-iframe", "amp-video", "amp-audio", "amp-youtube")
_BLANK = re.compile(
    r"(?i)(?:^|/)(?:blank|spacer|pixel|placeholder|transparent|1x1|loading|lazy)[\w-]*\.(?:gif|png|svg|jpg)$"
)


def with_real_links(body: str, base: str = "") -> tuple[str, list[str]]:
    """Return the HTML with absolute addresses, and notes.

    Lazily loaded images get their real addresses and players become links; a link without an address is removed, its text is kept.
    """
    if not _TO_LOOK_AT.search(body):
        return body, []
    root = lxml_html.fragment_fromstring(body, create_parent="div")
    notes: dict[str, None] = {}
    _pictures(root, base, notes)
    _players(root, base, notes)
    _links(root, base, notes)
    return inner(root), list(notes)


def resolved(address: str, base: str = "") -> str:
    """Return an absolute http, https or mailto address; "" if there is none."""
    address = re.sub(r"[\x00-\x20\x7f]+", "", address) if "\n" in address or "\t" in address else address.strip()
    try:
        found = urljoin(base, address) if base else address
        parts = urlsplit(found)
    except ValueError:
        return ""
    usable = (parts.scheme in ("http", "https") and parts.netloc) or parts.scheme == "mailto"
    return found.replace(" ", "%20") if usable else ""


def picture_address(image: lxml_html.HtmlElement, base: str) -> str:
    """Return the real address of an image: pages show a placeholder until the image scrolls into view."""
    source = image.get("src", "")
    lazy = [image.get(name, "") for name in _LAZY]
    lazy += [_largest(image.get(name, "")) for name in _LAZY_SETS]
    is_blank = not source or source.startswith("data:") or bool(_BLANK.search(urlsplit_path(source)))
    order = (
        [*lazy, "" if source.startswith("data:") else source] if is_blank or image.get("data-src") else [source, *lazy]
    )
    return next((found for each in order if each and (found := resolved(each, base)).startswith("http")), "")


def urlsplit_path(address: str) -> str:
    """Return the path of an address; "" if it cannot be parsed."""
    try:
        return urlsplit(address).path
    except ValueError:
        return ""


def _pictures(root: lxml_html.HtmlElement, base: str, notes: dict[str, None]) -> None:
    for image in list(root.iter("img", "amp-img")):
        image.tag = "img"
        address = picture_address(image, base)
        picture = image.getparent()
        if not address and picture is not None and picture.tag == "picture":
            sources = (
                _largest(each.get("srcset", "") or each.get("data-srcset", "")) for each in picture.iter("source")
            )
            address = next((found for each in sources if each and (found := resolved(each, base))), "")
        if address:
            image.set("src", address)
        else:
            notes["an image without an address: omitted"] = None
            image.drop_tree()
    for frame in list(root.iter("noscript")):
        shown = {each.get("src") for each in root.iter("img") if frame not in each.iterancestors()}
        if any(each.get("src") not in shown for each in frame.iter("img")):
            frame.drop_tag()
    for picture in list(root.iter("picture")):
        for source in list(picture.iter("source")):
            source.drop_tree()
        picture.drop_tag()


def _players(root: lxml_html.HtmlElement, base: str, notes: dict[str, None]) -> None:
    for player in list(root.iter(*_PLAYERS)):
        if player.getparent() is None:
            continue
        inside = [each.get("src", "") for each in player.iter("source", "embed", "iframe")]
        video = player.get("data-videoid", "")
        listed = (player.get("src", ""), player.get("data-src", ""), player.get("data", ""), *inside)
        listed = (f"https://www.youtube.com/watch?v={video}",) if video and player.tag == "amp-youtube" else listed
        address = next((found for each in listed if each and (found := resolved(each, base)).startswith("http")), "")
        if address:
            link = lxml_html.fragment_fromstring(f'<p><a href="{html.escape(address)}"></a></p>')
            link[0].text = player.get("title") or address
            link.tail, player.tail = player.tail, None
            player.getparent().replace(player, link)
            notes["embedded media became links"] = None
        else:
            player.drop_tree()
            notes["embedded media without an address: omitted"] = None


def _links(root: lxml_html.HtmlElement, base: str, notes: dict[str, None]) -> None:
    for link in list(root.iter("a")):
        href = link.get("href", "").strip()
        empty = not link.text_content().strip() and next(link.iter("img"), None) is None
        address = "" if not href or href.startswith("#") else resolved(href, base)
        if address and not empty:
            link.set("href", address)
            continue
        if href and not href.startswith(("#", "javascript:", "tel:", "data:")) and not empty and not address:
            notes["a link without an http address: omitted, its text kept"] = None
        link.drop_tag()


def _largest(listed: str) -> str:
    """Return the largest image of a ``srcset``."""
    best, maximum = "", -1.0
    for candidate in re.split(r",\s+|,(?=https?:|/)", listed):
        address, _, size = candidate.strip().partition(" ")
        number = re.match(r"\s*([\d.]{1,8})[wx]", size)
        try:
            value = float(number[1]) if number else 0.0
        except ValueError:
            value = 0.0
        if address and value > maximum:
            best, maximum = address, value
    return best
