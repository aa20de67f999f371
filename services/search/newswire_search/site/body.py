"""The body of an article as its page shows it: sanitised HTML, with what readers and browsers need besides."""

import re
from collections.abc import Callable
from typing import Final

_TAG: Final = re.compile(r'<(/?)([a-z][a-z0-9]*)((?:\s+[a-z-]+="[^"]*+")*+)\s*/?>')
"""A whole tag with its attributes, so that nothing inside an attribute is taken for a tag."""
_CHANGED: Final = re.compile(r"<(?:img|table|pre)\b")
_INSECURE: Final = re.compile(r'(\ssrc=")http://', re.IGNORECASE)
_ALT: Final = re.compile(r"\salt=\"")
INLINE_CHARACTERS: Final = 100_000
"""Longer bodies are changed off the event loop: this many characters take about 2 ms."""


def page_body(body: str, table_name: str, code_name: str) -> str:
    """Return a body in which pictures load late and by https, and tables and code can be scrolled by keyboard.

    Args:
        body: what `newswire_ingest` sanitised.
        table_name: the accessible name of a table's region.
        code_name: the accessible name of preformatted text.
    """
    if not _CHANGED.search(body):
        return body
    return _TAG.sub(_changes(table_name, code_name), body)


def secure_address(url: str) -> str:
    """Return the address of a picture by https: the content security policy of pages admits no other."""
    return f"https://{url[7:]}" if url[:7].lower() == "http://" else url


def _changes(table_name: str, code_name: str) -> Callable[[re.Match[str]], str]:
    region = f'<div class="scroll" role="region" aria-label="{table_name}" tabindex="0">'

    def changed(tag: re.Match[str]) -> str:
        closing, name, attributes = tag.groups()
        if name == "img":
            return f'<img{_image_attributes(attributes)} loading="lazy" decoding="async">'
        if name == "table":
            return "</table></div>" if closing else f"{region}<table{attributes}>"
        if name == "pre" and not closing:
            return f'<pre role="region" aria-label="{code_name}" tabindex="0"{attributes}>'
        return tag[0]

    return changed


def _image_attributes(attributes: str) -> str:
    secure = _INSECURE.sub(r"\1https://", attributes)
    return secure if _ALT.search(secure) else f'{secure} alt=""'
