"""Addresses that clients send and that go on to readers, feeds and headers: absolute http or https addresses, and nothing else."""

import re
from typing import Final
from urllib.parse import urlsplit

from pydantic import AnyHttpUrl, ValidationError

from newswire.characters import named, unfit_for_label
from newswire.rules import broken_rule

MAX_URL_LENGTH: Final = 2000

_FIX: Final = "send an absolute http or https address"
_DELIMITERS: Final = re.compile(r"[\s<>\"\\^`{|}]")
"""What RFC 3986 allows in no address, and what would end one within a header or a tag."""


def check_web_address(address: str) -> str:
    """Return an address of the web as it was sent.

    Raises:
        PydanticCustomError: it is none, holds white space, control or format characters, or names a user or a password.
    """
    if found := _DELIMITERS.search(address):
        raise broken_rule(f"must not hold {named(found[0])}", "percent-encode it")
    if unfit := unfit_for_label(address):
        raise broken_rule(f"must not hold {unfit}", "percent-encode it")
    try:
        AnyHttpUrl(address)
        parts = urlsplit(address)
    except (ValidationError, ValueError):
        raise broken_rule("is not an absolute http or https address", _FIX) from None
    # Browsers take any number of slashes, or none, for two; other readers do not.
    if not re.match("https?://[^/?#]", address, re.IGNORECASE) or not parts.hostname:
        raise broken_rule("is not an absolute http or https address", _FIX)
    if "@" in parts.netloc:
        raise broken_rule(
            "names a user or a password, which every reader would see", "leave out what stands before '@'"
        )
    return address
