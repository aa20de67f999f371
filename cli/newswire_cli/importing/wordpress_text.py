"""The paragraphs that WordPress shows but does not store.

A classic post holds no ``<p>``: blank lines part its paragraphs, a line break is a ``<br>``, and block elements such as ``<div>``
and ``<pre>`` stand by themselves. The block editor stores whole HTML, between comments that say which block it is.
"""

import html
import re
from collections.abc import Iterator

_BLOCKS = frozenset(
    "table thead tfoot caption col colgroup tbody tr td th div dl dd dt ul ol li form map area blockquote address p h1 h2 h3"
    " h4 h5 h6 hr fieldset legend section article aside hgroup header footer nav figure math details menu summary".split()
)
_TOKEN = re.compile(
    r"(?is)(?=[<\n])(?:(?P<whole><(?P<raw>pre|script|style|svg|textarea|video|audio|object|select|iframe)\b.*?</(?P=raw)\s*>)|(?P<comment><!--.*?-->|<!\[CDATA\[.*?\]\]>)"
    r"|<(?P<close>/?)(?P<name>[a-z][a-z0-9]*)(?=[\s/>])(?:[^<>\"']|\"[^\"]*\"|'[^']*')*+>"
    r"|(?P<blank>\n[ \t\r\f\v\xa0]*\n\s*))"
)
_TWO_BREAKS = re.compile(r"<br\s*/?>\s*<br\s*/?>", re.IGNORECASE)
_CAPTION = re.compile(r"\s*(</?figcaption\b[^>]*>)\s*", re.IGNORECASE)
_BETWEEN_TAGS = re.compile(r"(?<=>)\s+(?=<)")
_KEPT = frozenset(("script", "svg", "textarea"))
_BREAK_BEFORE = re.compile(r"<br\s*/?>\s*\Z", re.IGNORECASE)
_BLOCK_COMMENT = re.compile(r"<!--\s+(/?)wp:([a-z][a-z0-9/_-]*)\s+(?:\{(?:(?!-->).)*\}\s+)?(/?)-->", re.DOTALL)
_BARE_ADDRESS = re.compile(r"(?m)^[ \t]*(https?://[^\s<>\"\[\]]+)[ \t\r]*$")
_SILENT_BLOCKS = frozenset("more nextpage spacer separator post-title post-date post-author page-break".split())


def body(content: str) -> tuple[str, list[str]]:
    """Return the HTML that WordPress would show, and what there is to remark."""
    content = content.replace("\r\n", "\n").replace("\r", "\n")
    content = _BARE_ADDRESS.sub(lambda found: _link(found[1]), content)
    if "<!-- wp:" in content:
        return _without_block_comments(content)
    return "\n".join(paragraphs(content)), []


def paragraphs(content: str) -> Iterator[str]:
    """Go through the blocks of a classic post; what stands between them is put into paragraphs."""
    content = _CAPTION.sub(r"\1", _TWO_BREAKS.sub("\n\n", content))
    opening, inline = "", list[str]()
    at = 0
    for token in _TOKEN.finditer(content):
        name = (token["name"] or "").lower()
        if not (token["whole"] or token["blank"] or name in _BLOCKS):
            continue
        inline.append(content[at : token.start()])
        at = token.end()
        if token["whole"] and token["raw"].lower() not in ("pre", "style"):
            inline.append(token[0] if token["raw"].lower() in _KEPT else _BETWEEN_TAGS.sub("", token[0]))
            continue
        closing = token[0] if token["close"] else ""
        if written := _block(opening, "".join(inline), closing):
            yield written
        opening, inline = "", []
        if token["whole"] or (name == "hr" and not closing) or (name and token[0].endswith("/>")):
            yield token[0]
        elif name and not closing and not token[0].endswith("/>"):
            opening = token[0]
    if written := _block(opening, "".join([*inline, content[at:]]), ""):
        yield written


def _block(opening: str, inline: str, closing: str) -> str:
    """Put together a block's tag, what follows it without a blank line, and the end tag that comes next."""
    text = _with_breaks(inline.strip())
    begins, ends = _name(opening), _name(closing)
    if not re.sub(r"(?s)<!--.*?-->", "", text).strip():
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
    """Make a ``<br>`` of each line break that stands neither within a tag nor after one."""
    if "\n" not in text:
        return text
    parts, at = list[str](), 0
    for token in _TOKEN.finditer(text):
        parts += [_broken(text[at : token.start()], "".join(parts[-1:])), token[0]]
        at = token.end()
    parts.append(_broken(text[at:], "".join(parts[-1:])))
    return "".join(parts)


def _broken(text: str, before: str) -> str:
    lines = text.split("\n")
    written = lines[0]
    for line in lines[1:]:
        said = written if written.strip() else before + written
        written = written.rstrip() + ("\n" if _BREAK_BEFORE.search(said) else "<br />\n") + line.lstrip(" \t")
    return written


def _without_block_comments(content: str) -> tuple[str, list[str]]:
    notes: dict[str, None] = {}

    def gone(found: "re.Match[str]") -> str:
        name = found[2].removeprefix("core/")
        if found[3] and name not in _SILENT_BLOCKS:
            notes[f"the block '{name}', which WordPress fills when it shows it, left out"] = None
        return ""

    return _BLOCK_COMMENT.sub(gone, content).strip(), list(notes)


def _link(address: str) -> str:
    shown = html.escape(html.unescape(address))
    return f'<a href="{shown}">{shown}</a>'
