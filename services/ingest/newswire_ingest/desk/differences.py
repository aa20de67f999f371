"""What an act would change: a published article compared with a draft, field by field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice
from typing import Any, Literal

from newswire_ingest.content.sanitise import plain_text

MAX_COMPARED_CHARS = 60_000
"""Maximum length that is compared: the time grows faster than the text. For the rest, only whether it differs is shown."""
MAX_WORDS = 2000
"""Of a changed paragraph that is compared word by word."""
_COMPARED = ("title", "summary", "category", "topics", "authors", "language", "urgency", "canonical_url", "image")

Kind = Literal["same", "added", "removed"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text that is in both, in the new one alone, or in the old one alone."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A member that differs: the pieces of each paragraph that has changed."""

    member: str
    paragraphs: Sequence[Sequence[Piece]]
    is_longer: bool = False
    """Whether only the beginning was compared."""


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """Return what differs between two articles."""
    found = []
    for member in _COMPARED:
        before, after = _text(member, old.get(member)), _text(member, new.get(member))
        if before != after:
            found.append(Difference(member, [_words(before, after)]))
    before, after = plain_text(old.get("body", "")), plain_text(new.get("body", ""))
    if old.get("body") != new.get("body"):
        found.append(_body(before, after))
    return found


def _body(before: str, after: str) -> Difference:
    is_longer = max(len(before), len(after)) > MAX_COMPARED_CHARS
    old, new = before[:MAX_COMPARED_CHARS].split("\n"), after[:MAX_COMPARED_CHARS].split("\n")
    paragraphs: list[Sequence[Piece]] = []
    for action, at, to, new_at, new_to in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if action == "equal":
            continue
        removed, added = old[at:to], new[new_at:new_to]
        shared = min(len(removed), len(added))
        paragraphs += [_words(*pair) for pair in zip(removed[:shared], added[:shared], strict=True)]
        paragraphs += [[Piece("removed", each)] for each in removed[shared:] if each]
        paragraphs += [[Piece("added", each)] for each in added[shared:] if each]
    return Difference("body", paragraphs, is_longer)


def _words(before: str, after: str) -> Sequence[Piece]:
    old, new = before.split(" "), after.split(" ")
    if max(len(old), len(new)) > MAX_WORDS:
        return _pieces(("removed", before), ("added", after))
    pieces: list[tuple[Kind, str]] = []
    for action, at, to, new_at, new_to in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if action == "equal":
            pieces.append(("same", " ".join(old[at:to])))
        else:
            pieces += [("removed", " ".join(old[at:to])), ("added", " ".join(new[new_at:new_to]))]
    return _pieces(*pieces)


def _pieces(*found: tuple[Kind, str]) -> Sequence[Piece]:
    return [Piece(kind, text) for kind, text in found if text]


def _text(member: str, value: Any) -> str:
    """Return a member as a person reads it."""
    match value:
        case None | "" | []:
            return ""
        case dict():
            return " · ".join(str(value[name]) for name in ("url", "alt", "caption", "credit") if value.get(name))
        case list():
            names = [each["name"] if isinstance(each, dict) else str(each) for each in islice(value, 100)]
            return ", ".join(names)
        case "und" if member == "language":
            return ""
        case _:
            return str(value)
