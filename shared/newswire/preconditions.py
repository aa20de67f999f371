"""Conditions of a write or a read: the states, named by ETags, in which it is done (RFC 9110, sections 8.8.3 and 13.1)."""

import re
from dataclasses import dataclass

_ADDED_BY_COMPRESSION = re.compile(r'^W/|-(?:gzip|br|zstd|deflate)(?="$)')


class PreconditionError(Exception):
    """The current state does not meet a precondition; nothing was written.

    Args:
        header: the condition, as ``If-Match``.
        what: the kind of resource.
        tag: its ETag; None if there is no such resource.
    """

    def __init__(self, header: str, what: str, tag: str | None) -> None:
        self.header = header
        self.what = what
        self.tag = tag
        self.found = f"the {what} is in state {tag}" if tag else f"there is no such {what}"
        super().__init__(f"{header} failed: {self.found}; nothing was written")


class PreconditionRequiredError(Exception):
    """Changes need ``If-Match`` here, and none was sent."""

    def __init__(self, what: str, tag: str) -> None:
        self.what = what
        self.tag = tag
        super().__init__(f"read the {what}, and send its ETag as If-Match: {tag}")


@dataclass(frozen=True, slots=True)
class Preconditions:
    """The preconditions of a request on the current state; None requires nothing, "*" requires that a state exists."""

    match: frozenset[str] | None = None
    none_match: frozenset[str] | None = None
    must_match: bool = False
    """Whether a change without ``If-Match`` is rejected."""

    def check(self, state: str | None, what: str = "article") -> None:
        """Check the current state, None if there is no resource, against the preconditions.

        Raises:
            PreconditionError: the state differs.
            PreconditionRequiredError: a precondition is required.
        """
        tag = etag(state) if state is not None else None
        if tag is not None and self.must_match and self.match is None:
            raise PreconditionRequiredError(what, tag)
        if self.match is not None and (tag is None or not self.match & {tag, "*"}):
            raise PreconditionError("If-Match", what, tag)
        if self.none_match is not None and tag is not None and {tag, "*"} & self.none_match:
            raise PreconditionError("If-None-Match", what, tag)

    def known(self, state: str) -> bool:
        """Return whether the client has this state already."""
        return self.none_match is not None and bool({etag(state), "*"} & self.none_match)


UNCONDITIONAL = Preconditions()
"""Requires nothing."""


def etag(state: str) -> str:
    """Return the ETag of a state: of an article that is ``version-revision``."""
    return f'"{state}"'


def without_compression(tag: str) -> str:
    """Return an ETag without what a proxy adds where it compresses the response.

    nginx and Cloudflare make the tag a weak one, Apache and Caddy add the name of the method. Clients send back what they got. By
    the letter, a weak tag never meets ``If-Match``; but ours name a state and not its bytes, and behind such a proxy nothing could
    be changed.
    """
    return _ADDED_BY_COMPRESSION.sub("", tag)
