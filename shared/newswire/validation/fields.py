"""The field types of request bodies: text of every kind, identifiers, addresses, languages, times."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError, PydanticKnownError

from newswire.validation.characters import has_visible_text, headline_violation, label_violation, prose_violation
from newswire.validation.language_tags import MAX_LENGTH as MAX_LANGUAGE_LENGTH
from newswire.validation.language_tags import check_language_tag
from newswire.validation.rfc3339 import EXAMPLE, FIX, parse_date_time
from newswire.validation.rules import broken_rule
from newswire.validation.web_addresses import MAX_URL_LENGTH, check_web_address

METADATA_LIMIT = 4096
"""Total size of the names and values of an article's metadata, in bytes."""


def _storable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain a NUL character")
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must not contain a lone surrogate") from None
    return value


def _one_line(value: str) -> str:
    line = " ".join(value.split())
    if not line:
        raise ValueError("must not be blank")
    return line


def _line_of(max_length: int, unfit: Callable[[str], str | None]) -> AfterValidator:
    """Return a validator of one line of text: white space is reduced to single spaces, and characters are checked.

    ``unfit`` must accept printable ASCII, in which most lines are written: nothing else is checked of it.
    """

    def check(value: str) -> str:
        if (
            value.isascii()
            and value.isprintable()
            and len(value) <= max_length
            and value[:1] not in ("", " ")
            and value[-1] != " "
            and "  " not in value
        ):
            return value
        line = _SPACES.sub(" ", _storable(value)).strip()
        if len(line) > max_length:
            raise PydanticKnownError("string_too_long", {"max_length": max_length})
        if found := unfit(line):
            raise _must_not_contain(found)
        if not has_visible_text(line):
            raise broken_rule("must not be blank", "send some visible text")
        return line

    return AfterValidator(check)


def _described(max_length: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "minLength": 1, "maxLength": max_length})


def _prose(value: str) -> str:
    if found := prose_violation(value):
        raise _must_not_contain(found)
    return value


def _metadata_value(value: str) -> str:
    return (
        value if len(value) > METADATA_LIMIT else _prose(value)
    )  # larger values are rejected together with all metadata


def _integer(value: Any) -> Any:
    if isinstance(value, bool | str):
        raise PydanticKnownError("int_type")
    return value


def _identifier(value: str) -> str:
    if found := label_violation(value):
        raise _must_not_contain(found)
    if not has_visible_text(value):
        raise broken_rule("must not be blank", "send a visible identifier")
    return value


def _must_not_contain(what: str) -> PydanticCustomError:
    return broken_rule(f"must not contain {what}", "remove it, or send the visible character that was meant")


def _parse_date_time(value: Any) -> datetime:
    """Parse a date-time. Numbers and digit strings are rejected; pydantic would read them as seconds since 1970."""
    try:
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(UTC)
        if isinstance(value, str):
            return parse_date_time(value)
    except OverflowError:
        raise broken_rule("is outside the years 1 to 9999", FIX) from None
    except ValueError as error:
        raise broken_rule(str(error), FIX) from None
    raise broken_rule(f"must be an RFC 3339 date-time such as {EXAMPLE}", FIX)


_SPACES = re.compile(r"[\t\n\r \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
"""Tabs, line breaks and every Unicode space; the other characters at which `str.split` splits are control characters."""

WHOLE = BeforeValidator(_integer)
"""For ``int``, after its bounds: an integer as JSON Schema defines it. ``5.0`` is one; a boolean or a digit string is not."""
Number = Annotated[float, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
"""``true`` or ``false``; no number or word in their place."""
Text = Annotated[str, AfterValidator(_storable)]
Line = Annotated[str, StringConstraints(min_length=1), AfterValidator(_storable), AfterValidator(_one_line)]
Label = Annotated[str, _line_of(100, label_violation), _described(100)]
Name = Annotated[str, _line_of(200, label_violation), _described(200)]
Headline = Annotated[str, _line_of(300, headline_violation), _described(300)]
Note = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_storable), AfterValidator(_prose)]
LongNote = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_storable), AfterValidator(_prose)]
Url = Annotated[
    str, StringConstraints(max_length=MAX_URL_LENGTH), AfterValidator(_storable), AfterValidator(check_web_address)
]
Moment = Annotated[datetime, BeforeValidator(_parse_date_time)]
ExternalId = Annotated[
    str, StringConstraints(min_length=1, max_length=200), AfterValidator(_storable), AfterValidator(_identifier)
]
MetadataName = Annotated[
    str, StringConstraints(min_length=1, max_length=100), AfterValidator(_storable), AfterValidator(_identifier)
]
MetadataValue = Annotated[str, AfterValidator(_storable), AfterValidator(_metadata_value)]
LanguageTag = Annotated[str, StringConstraints(max_length=MAX_LANGUAGE_LENGTH), AfterValidator(check_language_tag)]
