"""Converts WordPress shortcodes: media become images and links, of others the text inside is kept; both add notes.

Text in brackets that is not a shortcode, such as ``[sic]``, is kept.
"""

import html
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from newswire_ingest.importing.end_tags import EndTagFinder, enclosed, end_tag

_CODE = re.compile(
    r"""\[(?P<escaped>\[?)(?P<close>/?)(?P<name>[A-Za-z][\w-]*)(?P<arguments>(?:\s(?:[^\[\]"']|"[^"]*"|'[^']*'|['"])*?)?)(?P<alone>/?)\]\]?"""
)
_PROTECTED = re.compile(r"(?i)<(?P<raw>pre|code|script|style|textarea)\b|<(?=[a-z/!])")
_TAG = re.compile(r"(?i)<[a-z/!](?:[^<>\"']|\"[^\"]*\"|'[^']*')*+>")
_ATTRIBUTE = re.compile(r"""([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"']+))|"([^"]*)"|'([^']*)'|(\S+)""")
_PICTURE = re.compile(r"(?is)((?:<a\b[^>]*>\s*)?<img\b[^>]*>(?:\s*</a>)?)(.*)")
_BARE = frozenset(
    "toc sitemap divider spacer clear clearfix hr raw ad ads adsense adrotate sidebar contact-form recent-posts sharethis"
    " print_link pagebreak nextpage more linebreak br cart checkout woocommerce_cart woocommerce_checkout".split()
)
_MAX_SHORTCODES = 10_000
"""Maximum of shortcodes per post; the remaining text is left unchanged."""
_PLAYED = ("src", "mp4", "m4v", "webm", "ogv", "mp3", "m4a", "ogg", "wav", "flac", "wmv", "flv", "url", "href", "link")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file attached to the posts of a site."""

    url: str
    alt: str = ""
    caption: str = ""
    parent: str = ""

    def as_html(self) -> str:
        """Return an image, or a link to any other file."""
        if not re.search(r"(?i)\.(?:jpe?g|png|gif|webp|avif|svg|bmp|tiff?)$", urlsplit(self.url).path):
            return link_to(self.url, self.caption)
        caption = f"<figcaption>{html.escape(self.caption)}</figcaption>" if self.caption else ""
        return f'<figure><img src="{html.escape(self.url)}" alt="{html.escape(self.alt)}">{caption}</figure>'


@dataclass
class _Code:
    name: str
    attributes: dict[str, str]
    written: str
    ends: bool
    parts: list[str] = field(default_factory=list)

    @property
    def inside(self) -> str:
        return "".join(self.parts)

    def address(self) -> str:
        """Return the first address among its attributes, or the address that is its only content."""
        found = (self.attributes.get(name, "") for name in (*_PLAYED, *map(str, range(5))))
        text = re.sub(r"<[^>]*>", "", self.inside).strip()
        return next((each for each in (*found, text) if re.fullmatch(r"https?://\S+", each)), "")


def expanded(content: str, gallery: Callable[[Mapping[str, str]], list[Attachment]]) -> tuple[str, list[str]]:
    """Return the content without shortcodes, and notes. `gallery` finds attachments by attributes."""
    tokens = _tokens(content)
    if not tokens:
        return content, []
    ended = _ended(tokens)
    notes: dict[str, None] = {}
    open_codes = [_Code("", {}, "", ends=True)]
    at = 0
    for index, token in enumerate(tokens):
        open_codes[-1].parts.append(content[at : token.start()])
        at = token.end()
        name = token["name"]
        if token["escaped"] and token[0].endswith("]]"):
            open_codes[-1].parts.append(token[0][1:-1])
        elif token["close"]:
            if index in ended:
                code = open_codes.pop()
                open_codes[-1].parts.append(_written(code, gallery, notes))
            elif name.lower() in _WRITERS:
                notes[f"the end of a shortcode without a start, [/{name}]: omitted"] = None
            else:
                open_codes[-1].parts.append(token[0])
        elif index in ended or _is_code(token):
            code = _Code(name.lower(), _attributes(token["arguments"]), token[0], ends=index in ended)
            if index in ended:
                open_codes.append(code)
            else:
                open_codes[-1].parts.append(_written(code, gallery, notes))
        else:
            open_codes[-1].parts.append(token[0])
    open_codes[0].parts.append(content[at:])
    return open_codes[0].inside, list(notes)


def link_to(address: str, text: str = "") -> str:
    """Return a paragraph with a link."""
    shown = text or unquote(posixpath.basename(urlsplit(address).path)) or address
    return f'\n\n<p><a href="{html.escape(address)}">{html.escape(shown)}</a></p>\n\n'


def _tokens(content: str) -> list["re.Match[str]"]:
    if "[" not in content:
        return []
    protected = [(begin.start(), end.end()) for begin, end in enclosed(content, _PROTECTED, _end_of_protected)]
    found: list[re.Match[str]] = []
    at = 0
    for token in _CODE.finditer(content):
        while at < len(protected) and protected[at][1] <= token.start():
            at += 1
        if at == len(protected) or token.start() < protected[at][0]:
            found.append(token)
        if len(found) >= _MAX_SHORTCODES:
            break
    return found


def _end_of_protected(begin: "re.Match[str]", closings: EndTagFinder) -> "re.Match[str] | None":
    """Return where a tag ends, or where an element with verbatim content ends."""
    end = closings.after(end_tag(begin["raw"].lower()), begin.end()) if begin["raw"] else None
    return end or _TAG.match(begin.string, begin.start())


def _ended(tokens: list["re.Match[str]"]) -> set[int]:
    """Return the indexes of start and end tags that belong together."""
    pairs: set[int] = set()
    waiting: list[tuple[str, int]] = []
    counts: dict[str, int] = {}
    for index, token in enumerate(tokens):
        name = token["name"].lower()
        if token["escaped"] or token["alone"]:
            continue
        if not token["close"]:
            waiting.append((name, index))
            counts[name] = counts.get(name, 0) + 1
        elif counts.get(name):
            while waiting:
                opened, number = waiting.pop()
                counts[opened] -= 1
                if opened == name:
                    pairs |= {number, index}
                    break
    return pairs


def _is_code(token: "re.Match[str]") -> bool:
    name = token["name"]
    return (
        name.lower() in _WRITERS
        or name.lower() in _BARE
        or "_" in name
        or bool(token["alone"])
        or bool(re.search(r"\s[\w-]+=[\"'\w]|\shttps?://", token["arguments"]))
        or bool(re.match(r"contact-form-7\b", name))
    )


def _attributes(arguments: str) -> dict[str, str]:
    arguments = arguments.replace("&quot;", '"').translate(str.maketrans("“”″‘’", '"""\'\''))
    attributes: dict[str, str] = {}
    for name, *values in _ATTRIBUTE.findall(arguments):
        value = next((value for value in values if value), "")
        attributes.setdefault(name.lower() or str(len(attributes)), html.unescape(value))
    return attributes


def _written(code: _Code, gallery: Callable[[Mapping[str, str]], list[Attachment]], notes: dict[str, None]) -> str:
    writer = _WRITERS.get(code.name)
    if writer is not None:
        return writer(code, gallery, notes)
    address = code.address()
    notes[f"the shortcode [{code.name}]: omitted" + (", the text inside kept" if code.inside.strip() else "")] = None
    if address and re.sub(r"<[^>]*>", "", code.inside).strip() in ("", address):
        return link_to(address, address)
    return code.inside


def _caption(code: _Code, _: object, notes: dict[str, None]) -> str:
    found = _PICTURE.search(code.inside)
    if found is None:
        return code.inside or html.escape(code.attributes.get("caption", ""))
    text = found[2].strip() or html.escape(code.attributes.get("caption", ""))
    caption = f"<figcaption>{text}</figcaption>" if text else ""
    return f"{code.inside[: found.start()]}<figure>{found[1]}{caption}</figure>"


def _gallery(code: _Code, gallery: Callable[[Mapping[str, str]], list[Attachment]], notes: dict[str, None]) -> str:
    attachments = gallery(code.attributes)
    if not attachments:
        notes[f"[{code.name}]: omitted, its files are not in this export"] = None
    return "".join(each.as_html() for each in attachments) + code.inside


def _player(code: _Code, _: object, notes: dict[str, None]) -> str:
    address = code.address() or next((value for name in _PLAYED if (value := code.attributes.get(name, ""))), "")
    if not address:
        notes[f"[{code.name}] without an address: omitted"] = None
        return code.inside
    notes["embedded media became links"] = None
    rest = "" if re.sub(r"<[^>]*>", "", code.inside).strip() == address else code.inside
    return link_to(address, address if code.name == "embed" else "") + rest


_WRITERS: dict[str, Callable[..., str]] = {
    "caption": _caption,
    "wp_caption": _caption,
    "gallery": _gallery,
    "playlist": _gallery,
    "audio": _player,
    "video": _player,
    "embed": _player,
}
