"""The body of an article as its page shows it: sanitised HTML, with what readers and browsers need besides."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

_TAG: Final = re.compile(r'<(/?)([a-z][a-z0-9]*)((?:\s+[a-z-]+="[^"]*+")*+)\s*/?>')
"""A whole tag with its attributes, so that nothing inside an attribute is taken for a tag."""
_CHANGED: Final = re.compile(r"<(?:img|table|pre)\b")
_INSECURE: Final = re.compile(r'(\ssrc=")http://', re.IGNORECASE)
_ALT: Final = re.compile(r"\salt=\"")
_SOURCE: Final = re.compile(r'\ssrc="([^"]*)"')
_SIZE: Final = re.compile(r'\s(?:width|height)="[^"]*"')
INLINE_CHARACTERS: Final = 100_000
"""Longer bodies are changed off the event loop: this many characters take about 2 ms."""


@dataclass(frozen=True, slots=True)
class OwnImage:
    """An image that this installation stores: its address, its path on this site, its size, and the smaller ones."""

    url: str
    path: str
    width: int
    height: int
    srcset: str


OwnImages = Mapping[str, OwnImage]
"""Images by the folders of their addresses (`folder_of`), so that an address of any size finds its image."""


def folder_of(url: str) -> str:
    """Return an address up to its last slash."""
    return url.rpartition("/")[0]


def page_body(body: str, table_name: str, code_name: str, own: OwnImages | None = None, sizes: str = "") -> str:
    """Return a body in which pictures load late and by https, and tables and code can be scrolled by keyboard.

    Args:
        body: what `newswire_ingest` sanitised.
        table_name: the accessible name of a table's region.
        code_name: the accessible name of preformatted text.
        own: the images that this installation stores; they get their size, and smaller ones to choose from.
        sizes: how wide the body shows images.
    """
    if not _CHANGED.search(body):
        return body
    return _TAG.sub(_changes(table_name, code_name, own or {}, sizes), body)


def secure_address(url: str) -> str:
    """Return the address of a picture by https: the content security policy of pages admits no other."""
    return f"https://{url[7:]}" if url[:7].lower() == "http://" else url


def _changes(table_name: str, code_name: str, own: OwnImages, sizes: str) -> Callable[[re.Match[str]], str]:
    region = f'<div class="scroll" role="region" aria-label="{table_name}" tabindex="0">'

    def changed(tag: re.Match[str]) -> str:
        closing, name, attributes = tag.groups()
        if name == "img":
            return f'<img{_image_attributes(attributes, own, sizes)} loading="lazy" decoding="async">'
        if name == "table":
            return "</table></div>" if closing else f"{region}<table{attributes}>"
        if name == "pre" and not closing:
            return f'<pre role="region" aria-label="{code_name}" tabindex="0"{attributes}>'
        return tag[0]

    return changed


def _image_attributes(attributes: str, own: OwnImages, sizes: str) -> str:
    source = _SOURCE.search(attributes) if own else None
    image = own.get(folder_of(source[1])) if source else None
    if image is not None:
        rest = _SIZE.sub("", _SOURCE.sub("", attributes))
        choice = f' srcset="{image.srcset}" sizes="{sizes}"' if image.srcset else ""
        attributes = f'{rest} src="{image.path}"{choice} width="{image.width}" height="{image.height}"'
    secure = _INSECURE.sub(r"\1https://", attributes)
    return secure if _ALT.search(secure) else f'{secure} alt=""'
