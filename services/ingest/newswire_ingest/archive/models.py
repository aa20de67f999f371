"""What is archived: versions of an article whose documents are in Redis, and how far the search for them is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OldVersion:
    """A version whose document is to be archived."""

    number: int
    document: bytes
    """As Redis stores it."""
    summary: bytes
    """Its summary without its number, for lists."""


@dataclass(frozen=True, slots=True)
class OldVersions:
    """Successive versions of an article that are to be archived; none if they only have to be recorded as archived."""

    article: str
    versions: tuple[OldVersion, ...]
    archived: int
    """The number of the version up to which all are archived then."""


@dataclass(frozen=True, slots=True)
class Pass:
    """A search through all articles."""

    since: float | None
    """The creation time (ms) of the last article that was looked at; None if no search is under way."""
    ended: int
    """When the last one ended (ms); 0 if none has."""


@dataclass(frozen=True, slots=True)
class ArchiveState:
    """The archive in numbers."""

    documents: int
    bytes: int
    erasures: int
    """Retracted articles that are to be deleted from it."""
    last_pass: Pass
