"""Removes the tags of site generators from Markdown: Hugo's shortcodes, and Liquid tags of Jekyll.

Code is left unchanged: text between fences or backticks is displayed, not executed.
"""

import html
import re
from collections.abc import Callable
from functools import lru_cache

from newswire_ingest.importing.end_tags import EndTagFinder, enclosed, replaced

_CODE = re.compile(r"(?m)^(?P<fence>`{3,}|~{3,})[^\n]*\n|(?P<ticks>`+)")
_HUGO = re.compile(
    r"\{\{(?P<open>[<%])\s*(?P<end>/?)\s*(?P<name>[\w/.-]+)(?P<arguments>[^{}]{0,2000}?)(?P<self>/?)\s*[>%]\}\}"
)
_HUGO_SHOWN = re.compile(r"\{\{([<%])/\*(.{0,2000}?)\*/([>%])\}\}")
_HIGHLIGHT = re.compile(r"\{%-?\s*highlight\s+([\w+-]+)[^%]{0,200}%\}\n?")
_HIGHLIGHT_END = re.compile(r"\{%-?\s*endhighlight\s*-?%\}")
_RAW = re.compile(r"\{%-?\s*raw\s*-?%\}")
_RAW_END = re.compile(r"\{%-?\s*endraw\s*-?%\}")
_LIQUID = re.compile(r"\{%-?\s*(\w+)[^%]{0,2000}%\}")
_OUTPUT = re.compile(r"\{\{-?\s*([\w.]+)[^{}]{0,2000}\}\}")
_PARAMETER = re.compile(
    r"""([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|`([^`]*)`|([^\s"'`]+))|"([^"]*)"|'([^']*)'|([^\s"'`=]+)"""
)
_PAGES = {
    "youtube": "https://www.youtube.com/watch?v={}",
    "vimeo": "https://vimeo.com/{}",
    "gist": "https://gist.github.com/{}",
    "instagram": "https://www.instagram.com/p/{}/",
    "tweet": "https://twitter.com/i/status/{}",
    "twitter": "https://twitter.com/i/status/{}",
    "x": "https://twitter.com/i/status/{}",
}
MAX_SEARCHED_CHARACTERS = 2_000_000
"""Only this much of a text is searched for tags."""


def without_tags(content: str) -> tuple[str, list[str]]:
    """Return Markdown without the tags of site generators, and notes. The text inside tags, images and videos are kept."""
    if not ("{{" in content or "{%" in content) or len(content) > MAX_SEARCHED_CHARACTERS:
        return content, []
    notes: dict[str, None] = {}
    content = replaced(
        content, _HIGHLIGHT, _HIGHLIGHT_END, lambda begin, inside: f"\n```{begin[1]}\n{inside.rstrip()}\n```\n"
    )
    kept: list[str] = []

    def keep(text: str) -> str:
        kept.append(text)
        return f"\ue000{len(kept) - 1}\ue001"

    content = content.replace("\ue000", "").replace("\ue001", "")
    content = replaced(content, _RAW, _RAW_END, lambda _, inside: keep(inside))
    content = _with_code(content, keep)
    content = _HUGO_SHOWN.sub(lambda found: keep("{{" + found[1] + found[2] + found[3] + "}}"), content)
    content = _HUGO.sub(lambda found: _shortcode(found, notes), content)
    content = _LIQUID.sub(_removed("the tag {%% %s %%}", notes), content)
    content = _OUTPUT.sub(_removed("the variable {{ %s }}", notes), content)
    for _ in range(2):  # code may occur inside a raw block
        content = re.sub("\ue000(\\d+)\ue001", lambda found: kept[int(found[1])], content)
    return content, list(notes)


def _with_code(content: str, keep: Callable[[str], str]) -> str:
    """Replace code between fences or backticks by what `keep` returns."""
    parts, at = list[str](), 0
    for begin, end in enclosed(content, _CODE, _end_of_code):
        parts += [content[at : begin.start()], keep(content[begin.start() : end.end()])]
        at = end.end()
    return "".join([*parts, content[at:]])


def _end_of_code(begin: "re.Match[str]", closings: EndTagFinder) -> "re.Match[str] | None":
    fence, ticks = begin["fence"] or "", begin["ticks"] or ""
    end = closings.after(_closing(fence, ticks), begin.end())
    if end is None and fence.startswith("`"):  # three backticks may also delimit code within a line
        end = closings.after(_closing("", fence), begin.start() + len(fence))
    return end


@lru_cache(maxsize=256)
def _closing(fence: str, ticks: str) -> "re.Pattern[str]":
    return re.compile(rf"(?m)^{fence}[`~]*[ \t]*$" if fence else rf"(?<!`){ticks}(?!`)")


def _removed(what: str, notes: dict[str, None]) -> Callable[[re.Match[str]], str]:
    def remove(found: re.Match[str]) -> str:
        notes[f"{what % found[1]}: omitted"] = None
        return ""

    return remove


def _shortcode(found: re.Match[str], notes: dict[str, None]) -> str:
    name, arguments = found["name"].lower(), _parameters(found["arguments"])
    if found["end"]:
        return ""
    if name in ("figure", "img", "image") and (
        address := arguments.get("src") or arguments.get("link") or arguments.get("0")
    ):
        return _figure(address, arguments)
    if name in _PAGES and (number := arguments.get("id") or "/".join(_in_order(arguments))):
        address = _PAGES[name].format(number)
        return f"[{address}]({address})"
    if name in ("ref", "relref"):
        notes["links to other pages by file name: omitted"] = None
        return ""
    notes[f"the shortcode {found['name']!r}: omitted, the text inside kept"] = None
    return ""


def _figure(address: str, arguments: dict[str, str]) -> str:
    alt, caption = (
        arguments.get("alt", arguments.get("title", "")),
        arguments.get("caption", arguments.get("title", "")),
    )
    inside = f'<img src="{html.escape(address)}" alt="{html.escape(alt)}">'
    caption = f"<figcaption>{html.escape(caption, quote=False)}</figcaption>" if caption else ""
    return f"\n\n<figure>{inside}{caption}</figure>\n\n"


def _parameters(arguments: str) -> dict[str, str]:
    """Return named parameters by name, and the others by position."""
    found: dict[str, str] = {}
    for match in _PARAMETER.finditer(arguments):
        value = next((part for part in match.groups()[1:] if part is not None), "")
        found[match[1] or str(len(found))] = html.unescape(value)
    return found


def _in_order(arguments: dict[str, str]) -> list[str]:
    return [value for name, value in arguments.items() if name.isdigit()]
