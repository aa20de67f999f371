"""Addresses that clients send and that go on to readers, feeds and headers: absolute http or https addresses, and nothing else."""

import re
import unicodedata
from ipaddress import IPv4Address
from typing import Final
from urllib.parse import urlsplit

from pydantic import AnyHttpUrl, ValidationError

from newswire.validation.characters import named, unfit_for_label
from newswire.validation.rules import broken_rule

MAX_URL_LENGTH: Final = 2000

_FIX: Final = "send an absolute http or https address"
_DELIMITERS: Final = re.compile(r"[\s<>\"\\^`{|}]")
"""What RFC 3986 allows in no address, and what would end one within a header or a tag."""

_HOSTNAME: Final = re.compile(r"(?=.{1,253}\.?\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE | re.ASCII)
_OTHER_DOTS: Final = re.compile("[\u3002\uff0e\uff61]")
"""What browsers take for the dots of a host, and other programs do not."""


def check_web_address(address: str) -> str:
    """Return an address of the web as it was sent.

    Raises:
        PydanticCustomError: it is none, holds white space, control or format characters, names a user or a password, or a host
            that cannot be, or that programs read differently.
    """
    if found := _DELIMITERS.search(address):
        raise broken_rule(f"must not hold {named(found[0])}", "percent-encode it")
    if unfit := unfit_for_label(address):
        raise broken_rule(f"must not hold {unfit}", "percent-encode it")
    try:
        parsed = AnyHttpUrl(address)
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
    if parsed.port == 0:
        raise broken_rule("names port 0", "leave the port out, or name another")
    _check_host(parts.hostname, parsed.host or "")
    return address


def _check_host(host: str, encoded: str) -> None:
    """Raise where a host is no name and no IP address in its usual form; ``encoded`` is the host as browsers encode it (IDNA)."""
    if ":" in host:
        return  # an IPv6 address, parsed already
    mapped = unicodedata.normalize("NFKC", host) != unicodedata.normalize("NFC", host) or _OTHER_DOTS.search(host)
    if mapped:
        raise broken_rule("writes its host in characters that stand for others", f"write it as {encoded[:253]}")
    name = host if host.isascii() else encoded
    if not _HOSTNAME.fullmatch(name):
        raise broken_rule("names no possible host", _FIX)
    last = name.rstrip(".").rpartition(".")[2]
    if (last.isdigit() or last.startswith("0x")) and not _is_usual_ipv4(name):
        raise broken_rule("writes an IP address in an unusual way", "write it as four numbers, or use a name")


def _is_usual_ipv4(host: str) -> bool:
    try:
        return str(IPv4Address(host)) == host
    except ValueError:
        return False
