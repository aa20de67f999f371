"""Why the text of a draft is no article yet: the member, and the kind of mistake, which pages say in the language of the reader."""

from dataclasses import dataclass
from enum import StrEnum

from newswire_ingest.articles.errors import InvalidDraftError, InvalidMemberError

MAX_REFUSALS = 50
_ADDRESSES = frozenset({"canonical_url", "image.url", "authors.url"})
_MISSING = frozenset({"missing", "string_too_short", "too_short"})
_TOO_LONG = frozenset({"string_too_long", "too_long", "bytes_too_long"})


class Mistake(StrEnum):
    """What is wrong with a member."""

    MISSING = "missing"
    TOO_LONG = "too_long"
    NO_ADDRESS = "no_address"
    NO_LANGUAGE = "no_language"
    CHARACTERS = "characters"
    OTHER = "other"
    """The message says what."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A member with which a draft is refused. ``message`` is in English."""

    member: str
    mistake: Mistake
    message: str


def refusals_of(error: InvalidDraftError | InvalidMemberError) -> list[Refusal]:
    """Return what is wrong, each member and message once."""
    if isinstance(error, InvalidMemberError):
        mistake = Mistake.MISSING if error.problem == "is missing" else Mistake.OTHER
        return [Refusal(error.member, mistake, error.problem)]
    found = {}
    for each in error.cause.errors(include_url=False, include_input=False)[:MAX_REFUSALS]:
        member = ".".join(str(part) for part in each["loc"] if not isinstance(part, int)) or "$"
        message = each["msg"].removeprefix("Value error, ")
        found[member, message] = Refusal(member, _mistake(member, each["type"], message), message)
    return list(found.values())


def refusal_of(member: str, message: str) -> Refusal:
    """Return what is wrong with a member by the message of a problem document alone."""
    name = ".".join(part for part in member.split(".") if not part.isdecimal())
    return Refusal(name, Mistake.MISSING if message == "is missing" else _mistake(name, "", message), message)


def _mistake(member: str, type_: str, message: str) -> Mistake:
    if type_ in _MISSING or "blank" in message:
        return Mistake.MISSING
    if type_ in _TOO_LONG or "at most" in message:
        return Mistake.TOO_LONG
    if member in _ADDRESSES:
        return Mistake.NO_ADDRESS
    if member == "language":
        return Mistake.NO_LANGUAGE
    if "character" in message or "surrogate" in message or "U+" in message:
        return Mistake.CHARACTERS
    return Mistake.OTHER
