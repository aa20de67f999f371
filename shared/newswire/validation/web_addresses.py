"""Validates addresses that clients send and that go on to readers, feeds and headers: only absolute http or https URLs."""

import re
import unicodedata
from ipaddress import IPv4Address
from typing import Final
from urllib.parse import urlsplit

from pydantic import AnyHttpUrl, ValidationError

from newswire.validation.characters import label_violation, named
from newswire.validation.rules import broken_rule

MAX_URL_LENGTH: Final = 2000

_FIX: Final = "send an absolute http or https address"
_DELIMITERS: Final = re.compile(r"[\s<>\"\\^`{|}]")
"""Delimiters that RFC 3986 does not allow in an address, and that would end one within a header or a tag."""

_HOSTNAME: Final = re.compile(r"(?=.{1,253}\.?\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE | re.ASCII)
_OTHER_DOTS: Final = re.compile("[\u3002\uff0e\uff61]")
"""Characters that browsers treat as dots of a host name, and other programs do not."""


def check_web_address(address: str) -> str:
    """Return a web address unchanged.

    Raises:
        PydanticCustomError: it is not one, contains white space, control or format characters, a user name or a password, or a host
            name that is invalid or that programs interpret differently.
    """
    if found := _DELIMITERS.search(address):
        raise broken_rule(f"must not contain {named(found[0])}", "percent-encode it")
    if unfit := label_violation(address):
        raise broken_rule(f"must not contain {unfit}", "percent-encode it")
    try:
        parsed = AnyHttpUrl(address)
        parts = urlsplit(address)
    except (ValidationError, ValueError):
        raise broken_rule("is not an absolute http or https address", _FIX) from None
    # Browsers accept any number of slashes; other programs require two.
    if not re.match("https?://[^/?#]", address, re.IGNORECASE) or not parts.hostname:
        raise broken_rule("is not an absolute http or https address", _FIX)
    if "@" in parts.netloc:
        raise broken_rule(
            "contains a user name or a password, which every reader would see", "remove everything before '@'"
        )
    if parsed.port == 0:
        raise broken_rule("names port 0", "remove the port, or use another one")
    _check_host(parts.hostname, parsed.host or "")
    return address


def _check_host(host: str, encoded: str) -> None:
    """Raise if a host is neither a name nor a usual IP address; ``encoded`` is the host as browsers encode it (IDNA)."""
    if ":" in host:
        return  # an IPv6 address, parsed already
    mapped = unicodedata.normalize("NFKC", host) != unicodedata.normalize("NFC", host) or _OTHER_DOTS.search(host)
    if mapped:
        raise broken_rule("has a host in characters that browsers replace by others", f"write it as {encoded[:253]}")
    name = host if host.isascii() else encoded
    if not _HOSTNAME.fullmatch(name):
        raise broken_rule("does not have a valid host", _FIX)
    last = name.rstrip(".").rpartition(".")[2]
    if (last.isdigit() or last.startswith("0x")) and not _is_usual_ipv4(name):
        raise broken_rule("writes an IP address in an unusual way", "write it as four numbers, or use a name")


def _is_usual_ipv4(host: str) -> bool:
    try:
        return str(IPv4Address(host)) == host
    except ValueError:
        return False
