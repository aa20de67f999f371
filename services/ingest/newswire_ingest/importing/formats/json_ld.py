"""Finds the article in the JSON-LD of a page, block by block: damage in one block does not affect the others."""

import html as entities
import json
import re
from collections.abc import Iterator
from typing import Any

from lxml import html

from newswire_ingest.importing.end_tags import EndTagFinder, enclosed

ARTICLES = re.compile(r"(?:^|[/:])(?:\w*Article|\w*BlogPosting|Report|LiveBlogPosting)$")
MAX_NODES = 10_000
_TYPE = re.compile(r"(?i)\s*application/ld\+json\s*(?:;.*)?")
_WRAPPERS = re.compile(
    r"^\s*+(?:/[/*]\s*+)?<!(?:--|\[CDATA\[)(?:\s*\*/)?|(?:/[/*]\s*+)?(?:-->|\]\]>)(?:\s*+\*/)?\s*+;?\s*+$"
)
_TOKENS = re.compile(r'(?P<text>"(?:\\.|[^"\\])*+")|//[^\n]*|(?P<comment>/\*)|,(?=\s*(?:,|[}\]]|\Z))', re.DOTALL)
_COMMENT_END = re.compile(r"\*/")
_WRONG_ESCAPE = re.compile(r'\\(?!["\\/bfnrtu])')
_MEMBER = re.compile(
    r'"(headline|alternativeHeadline|name|description|datePublished|dateModified|articleSection|inLanguage|url|articleBody|@type)"'
    r'\s*:\s*"((?:\\.|[^"\\])*)"'
)
_INSIDE = ("@graph", "mainEntity", "mainEntityOfPage", "@included")


def article(page: html.HtmlElement, address: str = "") -> dict[str, Any]:
    """Return the article in a page's JSON-LD, preferring that with the page's own address; {} if there is none."""
    found: list[dict[str, Any]] = []
    named: dict[str, dict[str, Any]] = {}
    for script in page.iter("script"):
        if _TYPE.fullmatch(script.get("type", "")):
            for node in _nodes(_values(script.text_content())):
                if isinstance(identity := node.get("@id"), str) and len(node) > 1:
                    named.setdefault(identity, node)
                kinds = node.get("@type")
                if any(ARTICLES.search(str(kind)) for kind in (kinds if isinstance(kinds, list) else [kinds])):
                    found.append(node)
    if not found:
        return {}
    own = next((node for node in found if address and address in _addresses(node)), None)
    best = own or next((node for node in found if node.get("headline")), found[0])
    return {name: _referred(value, named) for name, value in best.items()}


def people(value: Any) -> list[str | dict[str, str]]:
    """Return the authors in a value of ``author``: names, objects, and lists of both, however nested."""
    found: list[str | dict[str, str]] = []
    waiting = [value]
    while waiting and len(found) < MAX_NODES:
        person = waiting.pop(0)
        if isinstance(person, list):
            waiting = [*person, *waiting]
        elif isinstance(person, str) and person.strip():
            found.append(entities.unescape(person.strip()))
        elif isinstance(person, dict):
            name = person.get("name") or person.get("@list") or person.get("@value")
            address = person.get("url")
            is_url = isinstance(address, str) and address.startswith(("http://", "https://"))
            if isinstance(name, str) and name.strip():
                shown = entities.unescape(name.strip())
                found.append({"name": shown, "url": str(address)} if is_url else shown)
            elif isinstance(name, list):
                waiting = [*name, *waiting]
    once = {repr(person): person for person in reversed(found)}
    return [person for person in reversed(once.values()) if not (isinstance(person, str) and person.startswith("http"))]


def _values(script: str) -> list[Any]:
    """Read all values of one script, even if it contains wrappers for old browsers, comments or superfluous commas."""
    written = script.replace("\ufeff", "").strip()
    unwrapped = _WRAPPERS.sub("", _WRAPPERS.sub("", written))
    if '"' not in unwrapped:
        unwrapped = entities.unescape(unwrapped)
    bare = _bare(unwrapped)
    for text in (written, unwrapped, bare, _WRONG_ESCAPE.sub(r"\\\\", bare)):
        try:
            return _all_values(text)
        except (ValueError, RecursionError):
            continue
    members = {name: _unescaped(value) for name, value in reversed(_MEMBER.findall(written))}
    return [members] if "headline" in members and ARTICLES.search(str(members.get("@type", "Article"))) else []


def _bare(script: str) -> str:
    """Return a script without comments and superfluous commas."""
    parts, at = list[str](), 0
    for token, end in enclosed(script, _TOKENS, _end_of_token):
        if not token["text"]:
            parts.append(script[at : token.start()])
            at = end.end()
    return "".join([*parts, script[at:]])


def _end_of_token(token: "re.Match[str]", closings: EndTagFinder) -> "re.Match[str] | None":
    return closings.after(_COMMENT_END, token.end()) if token["comment"] else token


def _all_values(text: str) -> list[Any]:
    decoder = json.JSONDecoder(strict=False)
    values: list[Any] = []
    at = re.compile(r"[\[{]").search(text)
    while at and len(values) < MAX_NODES:
        value, end = decoder.raw_decode(text, at.start())
        values.append(value)
        at = re.compile(r"[\s;,]*([\[{])").match(text, end)
        at = re.compile(r"[\[{]").search(text, at.start(1)) if at else None
    return values


def _unescaped(written: str) -> str:
    try:
        return str(json.loads(f'"{_WRONG_ESCAPE.sub("", written)}"', strict=False))
    except ValueError:
        return written


def _nodes(values: list[Any]) -> Iterator[dict[str, Any]]:
    waiting, number = list(values), 0
    while waiting and number < MAX_NODES:
        node = waiting.pop(0)
        number += 1
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            yield node
            waiting += [node[name] for name in _INSIDE if name in node]


def _addresses(node: dict[str, Any]) -> list[Any]:
    page = node.get("mainEntityOfPage")
    return [node.get("url"), node.get("@id"), page.get("@id") if isinstance(page, dict) else page]


def _referred(value: Any, named: dict[str, dict[str, Any]]) -> Any:
    """Replace references by the objects that they name, one level deep."""
    if isinstance(value, list):
        return [_referred(each, named) for each in value]
    if isinstance(value, dict) and set(value) <= {"@id", "@type"}:
        return named.get(str(value.get("@id")), value)
    return value
