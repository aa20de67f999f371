"""Names of operations in the OpenAPI document, which become the names of functions in generated clients.

They are made from method and path: ``GET /v1/subscriptions/{id}/deliveries`` is ``listSubscriptionDeliveries``.
"""

import re
from typing import Final

from fastapi.routing import APIRoute

_ON_ITEM: Final = {"get": "get", "put": "replace", "patch": "update", "delete": "delete", "post": "create"}
_NOT_WORDS: Final = re.compile(r"[^A-Za-z0-9]+")


def operation_id(route: APIRoute) -> str:
    """Return the name of a route's operation, unless the route gives one itself."""
    return operation_name(min(route.methods or {"GET"}), route.path_format)


def operation_name(method: str, path: str) -> str:
    """Return the name of the operation of a method and a path."""
    parts = [part for part in re.sub(r"\.\{format\}$", "", path).split("/") if part not in ("", "v1")]
    is_admin = parts[:1] == ["admin"]
    parts = parts[1:] if is_admin else parts
    nouns: list[str] = []
    qualifier = ""
    for at, part in enumerate(parts):
        if part.startswith("by-"):
            qualifier = _pascal(part)
        elif static := part.partition("{")[0]:
            followed = at + 1 < len(parts) and ("{" in parts[at + 1] or parts[at + 1].startswith("by-"))
            nouns.append(_singular(static) if followed else static)
    verb = _verb(method.lower(), nouns, ends_in_item="{" in path.rpartition("/")[2].removesuffix(".{format}"))
    return verb + "".join(map(_pascal, nouns)) + qualifier + ("AsAdmin" if is_admin else "")


def _verb(method: str, nouns: list[str], *, ends_in_item: bool) -> str:
    """Return the verb of an operation; an action at the end of the path, such as ``pause``, is taken from the nouns."""
    last = nouns[-1] if nouns else ""
    if ends_in_item:
        return _ON_ITEM[method]
    if method == "get":
        return "list" if last.endswith("s") else "get"
    if method == "post" and not last.endswith("s") and len(nouns) > 1:
        return _camel(nouns.pop())
    if method == "post" and last.endswith("s"):
        nouns[-1] = _singular(last)
    return _ON_ITEM[method]


def _singular(noun: str) -> str:
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    return noun.removesuffix("s")


def _pascal(words: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in _NOT_WORDS.split(words))


def _camel(words: str) -> str:
    name = _pascal(words)
    return name[:1].lower() + name[1:]
