"""Checks a webhook as a receiver got it, and says which mistake explains a wrong signature. Secrets stay on the server.

A signature is over the id, the time and the bytes of the body. Where it is wrong, the check tries what would make it right: another
secret, or a body that was changed in one of the ways in which frameworks change it.
"""

import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import orjson

from newswire_notify.webhooks.signing import signature

TOLERANCE_SECONDS = 300
"""How far the time of a webhook may differ from that of the receiver, as in the libraries of Standard Webhooks."""
HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
MAX_SIGNATURES = 10
MAX_SECRETS = 100
MAX_HEADER_CHARS = 32 * 1024
"""Of the pasted headers; the rest is not read."""


class Verdict(StrEnum):
    """What a check found; each is the name of two texts: `check_<name>` and `check_<name>_fix`."""

    VALID = "valid"
    FORMER_SECRET = "former_secret"  # noqa: S105 (the name of a verdict)
    CLOCK = "clock"
    WRONG_SECRET = "wrong_secret"  # noqa: S105 (the name of a verdict)
    RESERIALISED = "reserialised"
    LINE_ENDS = "line_ends"
    CHANGED_BODY = "changed_body"
    CHANGED_HEADERS = "changed_headers"
    UNKNOWN = "unknown"
    MISSING_HEADER = "missing_header"
    MALFORMED_TIME = "malformed_time"
    MALFORMED_SIGNATURE = "malformed_signature"


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """The parts of a webhook that its signature covers, and the signatures."""

    id: str
    timestamp: int
    signatures: Sequence[str]
    body: bytes


@dataclass(frozen=True, slots=True)
class KnownSecrets:
    """The secrets that may have signed. They are never shown."""

    current: str
    former: Sequence[str] = ()
    others: Mapping[str, str] | None = None
    """Those of other subscriptions of the account: id to secret."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The verdict, and what it is about: a header, seconds, or the subscription whose secret signed."""

    verdict: Verdict
    about: str = ""


_NAME = r"(?<![\w-])(?:http_)?webhook[-_]"
_BETWEEN = r"(?![\w-])(?:\W|\b(?:array|string|b|0)(?=\W)){1,80}"
"""What is between a name and its value: signs, and the words of languages that print lists."""
_NO_NAME = r"(?!(?:http_)?webhook[-_])"
_WORD = r"[!#-&*-Z^-z|~]{1,255}+"
"""ASCII without spaces, quotes and brackets."""
_VALUES = {
    "id": r"[a-z0-9][\w.-]{0,255}+(?![\"']?\s{0,9}+[:=])",
    "timestamp": _WORD,
    "signature": rf"{_WORD}(?:\s{{1,9}}+v\d[a-z]?,{_WORD}){{0,{MAX_SIGNATURES}}}+",
}
_HEADERS = {
    f"webhook-{name}": re.compile(f"(?ai){_NAME}{name}{_BETWEEN}{_NO_NAME}({value})") for name, value in _VALUES.items()
}


def read_headers(text: str) -> dict[str, str]:
    """Return the headers that are checked, as people paste them: lines, output or options of curl, or what a language prints."""
    found = {name: header.search(text[:MAX_HEADER_CHARS]) for name, header in _HEADERS.items()}
    return {name: match[1].strip(",;") for name, match in found.items() if match}


def read_request(headers: Mapping[str, str], body: bytes) -> SignedRequest | CheckResult:
    """Return a request, or what its headers lack."""
    for name in HEADERS:
        if not headers.get(name):
            return CheckResult(Verdict.MISSING_HEADER, name)
    time = headers["webhook-timestamp"]
    if not (time.isascii() and time.isdigit() and len(time) <= 12):
        return CheckResult(Verdict.MALFORMED_TIME, time[:40])
    signatures = [each for each in headers["webhook-signature"].split()[:MAX_SIGNATURES] if each.startswith("v1,")]
    if not signatures:
        return CheckResult(Verdict.MALFORMED_SIGNATURE)
    return SignedRequest(headers["webhook-id"], int(time), signatures, body)


def check(request: SignedRequest, secrets: KnownSecrets, sent_body: bytes | None, now: float) -> CheckResult:
    """Return what is right or wrong with a request. ``sent_body``: what was sent under its id, if that is known."""

    def signs(secret: str, body: bytes = request.body) -> bool:
        expected = signature(secret, request.id, request.timestamp, body).encode()
        return any(hmac.compare_digest(expected, each.encode()) for each in request.signatures)

    own = (secrets.current, *secrets.former)
    if any(map(signs, own)):
        late = round(now - request.timestamp)
        if abs(late) > TOLERANCE_SECONDS:
            return CheckResult(Verdict.CLOCK, str(late))
        return CheckResult(Verdict.VALID if signs(secrets.current) else Verdict.FORMER_SECRET)
    for subscription, secret in list((secrets.others or {}).items())[:MAX_SECRETS]:
        if signs(secret):
            return CheckResult(Verdict.WRONG_SECRET, subscription)
    return _explained(request, own, sent_body, signs)


def _explained(
    request: SignedRequest, own: Sequence[str], sent_body: bytes | None, signs: Callable[[str, bytes], bool]
) -> CheckResult:
    """Return why no secret fits the body as it is."""
    for verdict, body in _originals(request.body):
        if any(signs(secret, body) for secret in own):
            return CheckResult(verdict)
    if sent_body is None:
        return CheckResult(Verdict.UNKNOWN)
    if any(signs(secret, sent_body) for secret in own):
        same = _parsed(request.body) is not None and _parsed(request.body) == _parsed(sent_body)
        return CheckResult(Verdict.RESERIALISED if same else Verdict.CHANGED_BODY)
    return CheckResult(Verdict.CHANGED_HEADERS if request.body == sent_body else Verdict.UNKNOWN)


def _originals(body: bytes) -> Iterator[tuple[Verdict, bytes]]:
    """Yield bodies of which frameworks and editors make this one."""
    if body.endswith((b"\n", b"\r", b" ")):
        yield Verdict.LINE_ENDS, body.rstrip()
    if b"\r\n" in body:
        yield Verdict.LINE_ENDS, body.replace(b"\r\n", b"\n").rstrip()
    parsed = _parsed(body)
    if parsed is not None:
        yield Verdict.RESERIALISED, orjson.dumps(parsed)


def _parsed(body: bytes) -> object:
    try:
        parsed: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return parsed
