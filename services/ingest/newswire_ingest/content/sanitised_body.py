"""Sanitises the body of an article and extracts its plain text. It imports little: it runs in processes that start often."""

from dataclasses import dataclass

import orjson

from newswire_ingest.content.control_characters import without_control_characters
from newswire_ingest.content.markup_limits import MarkupLimitError, check
from newswire_ingest.content.plain_markup import split_plain_markup
from newswire_ingest.content.sanitise import joined_text, plain_text, sanitise

SMALL_MARKUP = 200
"""Bodies with at most this many tags and character references are not checked: the parser cannot take more than 3 ms, and the check
would take a third of the time of a legitimate body.
"""
SMALL_CHARACTERS = 8 * 1024


@dataclass(frozen=True, slots=True)
class SanitisedBody:
    """A sanitised body."""

    html: str
    text: str


def sanitised_body(sent: str, address: str | None, markup: int | None = None) -> SanitisedBody:
    """Check the structure of a body, sanitise it, and extract its text. ``markup``: its `markup_count`, if that is known.

    Raises:
        MarkupLimitError: its structure is over a limit.
    """
    sent = without_control_characters(sent)
    small = len(sent) <= SMALL_CHARACTERS and (markup_count(sent) if markup is None else markup) <= SMALL_MARKUP
    checked = sent if small else check(sent)
    if plain := split_plain_markup(checked):
        return SanitisedBody(checked, joined_text(*plain))
    safe = sanitise(checked, address)
    if "&#" in checked:  # the parser makes characters of them
        safe = without_control_characters(safe)
    return SanitisedBody(safe, plain_text(safe))


def markup_count(sent: str) -> int:
    """Return an upper bound of the number of tags and character references in HTML."""
    return sent.count("<") + (
        sent.count("&") if "&" in sent else 0
    )  # finding that there is none is faster than counting


def answer(request: bytes) -> bytes:
    """Process a request from another process; `read_answer` decodes the response."""
    sent, address = orjson.loads(request)
    try:
        body = sanitised_body(sent, address)
    except MarkupLimitError as error:
        return orjson.dumps({"problem": error.problem, "fix": error.fix})
    return orjson.dumps({"html": body.html, "text": body.text})


def read_answer(answered: bytes) -> SanitisedBody:
    """Decode the response of `answer`.

    Raises:
        MarkupLimitError: the structure of the body is over a limit.
    """
    found = orjson.loads(answered)
    if "problem" in found:
        raise MarkupLimitError(found["problem"], found["fix"])
    return SanitisedBody(found["html"], found["text"])
