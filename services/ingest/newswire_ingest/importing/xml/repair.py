"""Repairs broken XML: each step changes only what the previous steps left unreadable, and notes what it changed."""

import html
import html.entities
import re
from collections.abc import Callable, Iterator, Mapping

from newswire_ingest.importing.decoding import REPAIRED_BYTE

_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REFERENCE = re.compile(r"&(?:#(?:[xX]([0-9A-Fa-f]{1,8})|([0-9]{1,10}));|([A-Za-z][A-Za-z0-9]{1,31});)?")
_HALVES = re.compile(r"(?i)&#(?:x(d[89ab][0-9a-f]{2})|(5[56]\d{3}));&#(?:x(d[c-f][0-9a-f]{2})|(5[67]\d{3}));")
_BARE_LESS = re.compile(r"<(?![A-Za-z_:/!?])")
_OPEN = "<![CDATA["
_CLOSE = "]]>"
_TAG_BEFORE = re.compile(r"<([A-Za-z_][\w.:-]*)[^<>]*>\s*\Z")
_NESTED = re.compile(r"<!\[CDATA\[(?:(?!\]\]>).)*?<!\[CDATA\[", re.DOTALL)
_XML_ENTITIES = frozenset("amp lt gt quot apos".split())
_TAG = re.compile(r"""<([A-Za-z_][\w.:-]*)((?:[\s/](?:[^<>"']|"[^"]*"|'[^']*')*+)?)>""")
_ATTRIBUTE = re.compile(r"""([A-Za-z_:][\w.:-]*)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+))?""")
_FIELD = re.compile(r"""<([A-Za-z_][\w.:-]*)((?:\s(?:[^<>"']|"[^"]*"|'[^']*')*+)?)(?<!/)>""")
_END = re.compile(r"</([A-Za-z_][\w.:-]*)")
_ESCAPED_TAG = re.compile(r"&lt;/?[A-Za-z]")
_RAW_TAG = re.compile(r"</?[A-Za-z]")
STRUCTURED = frozenset(
    "author contributor source group postmeta comment person itemMeta contentMeta contentSet".split()
)
"""Local names of elements that contain elements, not text."""
MAX_FIELDS = 1000
"""Maximum of members of one item that are repaired one by one."""


def cleaned(text: str) -> tuple[str, list[str]]:
    """Remove invalid characters and references from a text, and escape bare ``&``, ``<`` and ``]]>``."""
    notes: dict[str, None] = {}
    if REPAIRED_BYTE in text:
        text = text.replace(REPAIRED_BYTE, "")
        notes["bytes that are not UTF-8 read as Windows-1252"] = None
    text, number = _ILLEGAL.subn("", text)
    if number:
        notes["control characters removed"] = None
    text = _with_whole_cdata(text, notes)
    parts = [part if in_cdata else _outside(part, notes) for part, in_cdata in _sections(text)]
    return "".join(parts), list(notes)


def with_whole_tags(text: str) -> str:
    """Repair start tags: duplicate attributes, missing quotes, ``<`` in values."""
    return "".join(
        part if in_cdata else _TAG.sub(_whole_tag, part) if "=" in part else part for part, in_cdata in _sections(text)
    )


def with_whole_fields(text: str, parses: Callable[[str], bool]) -> tuple[str, list[str]]:
    """Escape the content of members that is not well-formed, such as ``<description><p>open</description>``.

    `parses` returns whether an element is well-formed.
    """
    start = text.find(">") + 1
    end = text.rfind("</")
    if not 0 < start <= end:
        return text, []
    closed = {found[1]: found.start() for found in _END.finditer(text, start, end)}
    parts, notes, at = [text[:start]], dict[str, None](), start
    for _ in range(MAX_FIELDS):
        found = _FIELD.search(text, at, end)
        if found is None:
            break
        parts.append(_between(text[at : found.start()], notes))
        name = found[1]
        inside, at = _inside(text, found.end(), end, name, closed)
        element = f"{found[0]}{inside}</{name}>"
        if name.rpartition(":")[2] not in STRUCTURED and not parses(element):
            element = f"{found[0]}{_as_text(inside)}</{name}>"
            notes[f"<{name}> is not well-formed: its content is read as HTML"] = None
        elif not text.endswith(f"</{name}>", 0, at):
            notes[f"<{name}> is not closed"] = None
        parts.append(element)
    parts += [_between(text[at:end], notes), text[end:]]
    return "".join(parts), list(notes)


def _with_whole_cdata(text: str, notes: dict[str, None]) -> str:
    """Join the text of a member between ``<![CDATA[`` and ``]]></member>`` into one CDATA section, even if it contains ``]]>``."""
    if text.count(_OPEN) == text.count(_CLOSE) and not _NESTED.search(text):
        return text
    parts, at = list[str](), 0
    for _ in range(MAX_FIELDS):
        start = text.find(_OPEN, at)
        tag = _TAG_BEFORE.search(text, max(start - 300, at), max(start, 0))
        end = re.compile(rf"\]\]>\s*</{re.escape(tag[1])}\s*>").search(text, start) if tag else None
        if start < 0 or text.find(_CLOSE, start) < 0:
            break
        if end is None:
            stop = text.find(_CLOSE, start) + 3
            parts.append(text[at:stop])
            at = stop
            continue
        inside = text[start + len(_OPEN) : end.start()]
        if _CLOSE in inside or _OPEN in inside:
            inside = _one_text(inside)
            notes["CDATA within CDATA"] = None
        parts += [text[at:start], _OPEN, inside.replace(_CLOSE, "]]]]><![CDATA[>"), _CLOSE]
        at = end.start() + 3
    return "".join([*parts, text[at:]])


def _one_text(inside: str) -> str:
    """Return the text of several CDATA sections, consecutive or nested."""
    inside = inside.replace("]]]]><![CDATA[>", "\0")
    inside = re.sub(r"\]\]>\s*<!\[CDATA\[", "", inside)
    nested = inside.count(_OPEN)
    return inside.replace(_OPEN, "").replace(_CLOSE, "", nested).replace("\0", _CLOSE)


def _outside(text: str, notes: dict[str, None]) -> str:
    """Clean the text outside CDATA."""
    if "&" in text:
        joined = _HALVES.sub(_joined, text)
        if joined != text:
            notes["references to surrogate halves joined"] = None
        text = _REFERENCE.sub(lambda found: _reference(found, notes), joined)
    if "<" in text:
        text, number = _BARE_LESS.subn("&lt;", text)
        if number:
            notes["'<' that does not begin a tag: read as text"] = None
    if _CLOSE in text:
        text = text.replace(_CLOSE, "]]&gt;")
        notes["']]>' outside CDATA: read as text"] = None
    return text


def _reference(found: "re.Match[str]", notes: dict[str, None]) -> str:
    hexadecimal, decimal, name = found.groups()
    if name in _XML_ENTITIES:
        return found[0]
    if name:
        characters = html.entities.html5.get(f"{name};")
        if characters is not None:
            notes[f"the entity &{name}; of HTML: read as its character"] = None
            return html.escape(characters, quote=False)
    elif hexadecimal or decimal:
        number = int(hexadecimal, 16) if hexadecimal else int(decimal)
        if number > 0x10FFFF or 0xD800 <= number < 0xE000 or _ILLEGAL.match(chr(number)):
            notes["references to characters that XML does not allow: removed"] = None
            return "\ufffd" if 0xD800 <= number < 0xE000 else ""
        return found[0]
    notes["'&' that does not begin an entity: read as text"] = None
    return "&amp;" + found[0][1:]


def _joined(found: "re.Match[str]") -> str:
    high = int(found[1], 16) if found[1] else int(found[2])
    low = int(found[3], 16) if found[3] else int(found[4])
    if not (0xD800 <= high < 0xDC00 <= low < 0xE000):
        return found[0]
    return chr(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00)


def _sections(text: str) -> Iterator[tuple[str, bool]]:
    """Split a text into parts outside and inside CDATA; a section that does not end is closed before the next end tag."""
    at = 0
    while (start := text.find(_OPEN, at)) >= 0:
        end = text.find(_CLOSE, start)
        if end < 0:
            break
        yield text[at:start], False
        yield text[start : end + 3], True
        at = end + 3
    yield text[at:], False


def _whole_tag(found: "re.Match[str]") -> str:
    attributes: dict[str, str] = {}
    written = found[2].rstrip()
    closing = "/" if written.endswith("/") else ""
    for name, value in _ATTRIBUTE.findall(written):
        bare = value[1:-1] if value[:1] in ('"', "'") else value
        attributes.setdefault(name, bare.replace("<", "&lt;").replace('"', "&quot;"))
    kept = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f"<{found[1]}{kept}{closing}>"


def _inside(text: str, start: int, end: int, name: str, closed: Mapping[str, int]) -> tuple[str, int]:
    """Return the content of the element that begins here, and the position after it; `closed` holds the last end tags."""
    if closed.get(name, -1) >= start:
        first = re.compile(r"\s*").match(text, start, end)
        if first and text.startswith(_OPEN, first.end()):
            whole = re.compile(rf"\]\]>\s*</{re.escape(name)}\s*>").search(text, start, end)
            if whole:
                return text[start : whole.start() + 3], whole.end()
        if found := re.compile(rf"</{re.escape(name)}\s*>").search(text, start, end):
            return text[start : found.start()], found.end()
    following = next((found.start() for found in _FIELD.finditer(text, start, end) if found[1] in closed), end)
    return re.sub(r"</[\w.:-]*\s*>\s*\Z", "", text[start:following]), following


def _as_text(inside: str) -> str:
    """Escape content that was meant to be text, even if it is partly escaped already."""
    stripped = inside.strip()
    if stripped.startswith(_OPEN):
        content = stripped.removeprefix(_OPEN).removesuffix(_CLOSE)
        content = content.replace("]]]]><![CDATA[>", _CLOSE)
        if _OPEN in content:
            content = content.replace(_OPEN, "").replace(_CLOSE, "")
        return html.escape(content, quote=False)
    inside = inside.replace(_OPEN, "").replace(_CLOSE, "")
    if len(_ESCAPED_TAG.findall(inside)) > len(_RAW_TAG.findall(inside)):
        return inside.replace("<", "&lt;")
    return html.escape(inside, quote=False)


def _between(text: str, notes: dict[str, None]) -> str:
    """Keep only the self-closing elements of the text between members."""
    if text and not text.isspace():
        kept = [found[0] for found in _TAG.finditer(text) if found[0].endswith("/>")]
        if _TAG.sub("", text).strip():
            notes["text between the members of an item: omitted"] = None
        return "".join(kept)
    return text
