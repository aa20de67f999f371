"""Adds the paragraphs that WordPress displays but does not store.

A classic post contains no ``<p>``: blank lines separate its paragraphs, a line break is a ``<br>``, and block elements such as
``<div>`` and ``<pre>`` are not put into paragraphs. The block editor stores complete HTML, between comments that name the blocks.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from newswire_ingest.importing.end_tags import EndTagFinder, enclosed, end_tag, replaced

_BLOCKS = frozenset(
    "table thead tfoot caption col colgroup tbody tr td th div dl dd dt ul ol li form map area blockquote address p h1 h2 h3"
    " h4 h5 h6 hr fieldset legend section article aside hgroup header footer nav figure math details menu summary".split()
)
_RAW = frozenset("pre script style svg textarea video audio object select iframe".split())
_BEGIN = re.compile(
    rf"(?i)<(?P<raw>{'|'.join(sorted(_RAW))})\b|(?P<comment><!--|<!\[CDATA\[)"
    r"|(?P<blank>\n[ \t\r\f\v\xa0]*\n\s*)|<(?=/?[a-z])"
)
_TAG = re.compile(r"(?i)<(?P<close>/?)(?P<name>[a-z][a-z0-9]*)(?=[\s/>])(?:[^<>\"']|\"[^\"]*\"|'[^']*')*+>")
_COMMENT, _COMMENT_END, _CDATA_END = re.compile("<!--"), re.compile("-->"), re.compile(r"\]\]>")
_TWO_BREAKS = re.compile(r"<br\s*/?>\s*<br\s*/?>", re.IGNORECASE)
_CAPTION = re.compile(r"(</?figcaption\b[^<>]*>)", re.IGNORECASE)
_BETWEEN_TAGS = re.compile(r"(?<=>)\s+(?=<)")
_KEPT = frozenset(("script", "svg", "textarea"))
_BREAK_BEFORE = re.compile(r"<br\s*/?>\s*\Z", re.IGNORECASE)
_BLOCK_COMMENT = re.compile(r"<!--\s+(/?)wp:([a-z][a-z0-9/_-]*)\s+(?:\{.*\}\s+)?(/?)-->", re.DOTALL)
_BARE_ADDRESS = re.compile(r"(?m)^[ \t]*(https?://[^\s<>\"\[\]]+)[ \t\r]*$")
_SILENT_BLOCKS = frozenset("more nextpage spacer separator post-title post-date post-author page-break".split())


@dataclass(frozen=True, slots=True)
class _Token:
    """A tag, a comment, a blank line, or an element whose content is not markup."""

    start: int
    end: int
    text: str
    raw: str = ""
    """The name of an element whose content is not markup."""
    name: str = ""
    closes: bool = False
    blank: bool = False


def body(content: str) -> tuple[str, list[str]]:
    """Return the HTML that WordPress would display, and notes."""
    content = content.replace("\r\n", "\n").replace("\r", "\n")
    content = _BARE_ADDRESS.sub(lambda found: _link(found[1]), content)
    if "<!-- wp:" in content:
        return _without_block_comments(content)
    return "\n".join(paragraphs(content)), []


def paragraphs(content: str) -> Iterator[str]:
    """Yield the blocks of a classic post; text between blocks is put into paragraphs."""
    content = _without_space_around_captions(_TWO_BREAKS.sub("\n\n", content))
    opening, inline = "", list[str]()
    at = 0
    for token in _tokens(content):
        name = token.name
        if not (token.raw or token.blank or name in _BLOCKS):
            continue
        inline.append(content[at : token.start])
        at = token.end
        if token.raw and token.raw not in ("pre", "style"):
            inline.append(token.text if token.raw in _KEPT else _BETWEEN_TAGS.sub("", token.text))
            continue
        closing = token.text if token.closes else ""
        if written := _block(opening, "".join(inline), closing):
            yield written
        opening, inline = "", []
        alone = token.text.endswith("/>")
        if token.raw or (name == "hr" and not closing) or (name and alone):
            yield token.text
        elif name and not closing and not alone:
            opening = token.text
    if written := _block(opening, "".join([*inline, content[at:]]), ""):
        yield written


def _tokens(content: str) -> Iterator[_Token]:
    for begin, end in enclosed(content, _BEGIN, _end_of_token):
        text = content[begin.start() : end.end()]
        if end.re is _TAG:
            yield _Token(begin.start(), end.end(), text, name=end["name"].lower(), closes=bool(end["close"]))
        else:
            raw = (begin["raw"] or "").lower()
            yield _Token(begin.start(), end.end(), text, raw=raw, blank=bool(begin["blank"]))


def _end_of_token(begin: "re.Match[str]", closings: EndTagFinder) -> "re.Match[str] | None":
    if begin["blank"]:
        return begin
    if begin["comment"]:
        return closings.after(_COMMENT_END if begin[0] == "<!--" else _CDATA_END, begin.end())
    end = closings.after(end_tag(begin["raw"].lower()), begin.end()) if begin["raw"] else None
    return end or _TAG.match(begin.string, begin.start())


def _block(opening: str, inline: str, closing: str) -> str:
    """Return a block's tag, the text that follows it without a blank line, and the next end tag, as one piece."""
    text = _with_breaks(inline.strip())
    begins, ends = _name(opening), _name(closing)
    if not replaced(text, _COMMENT, _COMMENT_END, lambda *_: "").strip():
        return opening + text + closing
    if begins == "p" or ends == "p":
        return f"{opening if begins == 'p' else f'{opening}<p>'}{text}</p>{closing if ends != 'p' else ''}"
    if opening and (begins != "blockquote"):
        return f"{opening}{text}{closing}"
    return f"{opening}<p>{text}</p>{closing}"


def _name(tag: str) -> str:
    found = re.match(r"</?([A-Za-z0-9]+)", tag)
    return found[1].lower() if found else ""


def _with_breaks(text: str) -> str:
    """Replace each line break by ``<br>``, except within a tag and after one."""
    if "\n" not in text:
        return text
    parts, at = list[str](), 0
    for token in _tokens(text):
        parts += [_broken(text[at : token.start], "".join(parts[-1:])), token.text]
        at = token.end
    parts.append(_broken(text[at:], "".join(parts[-1:])))
    return "".join(parts)


def _broken(text: str, before: str) -> str:
    first, *lines = text.split("\n")
    parts = [first]
    for line in lines:
        while parts and not parts[-1].strip():
            parts.pop()
        if parts:
            parts[-1] = parts[-1].rstrip()
        breaks = _BREAK_BEFORE.search(parts[-1] if parts else before)
        parts += ["\n" if breaks else "<br />\n", line.lstrip(" \t")]
    return "".join(parts)


def _without_space_around_captions(content: str) -> str:
    parts = _CAPTION.split(content)
    parts[2::2] = map(str.lstrip, parts[2::2])
    parts[:-1:2] = map(str.rstrip, parts[:-1:2])
    return "".join(parts)


def _without_block_comments(content: str) -> tuple[str, list[str]]:
    notes: dict[str, None] = {}
    parts, at = list[str](), 0
    while (end := content.find("-->", at)) >= 0:
        begin, end = content.rfind("<!--", at, end), end + 3
        found = _BLOCK_COMMENT.fullmatch(content, begin, end) if begin >= 0 else None
        parts.append(content[at : begin if found else end])
        at = end
        if found and found[3] and (name := found[2].removeprefix("core/")) not in _SILENT_BLOCKS:
            notes[f"the block '{name}', which WordPress fills when it displays it: omitted"] = None
    return "".join([*parts, content[at:]]).strip(), list(notes)


def _link(address: str) -> str:
    shown = html.escape(html.unescape(address))
    return f'<a href="{shown}">{shown}</a>'
