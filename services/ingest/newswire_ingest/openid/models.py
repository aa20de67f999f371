"""What providers say when they send people back."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Answer:
    """The query parameters with which a provider sends a person back; empty where it sent none."""

    code: str
    state: str
    issuer: str
    error: str


@dataclass(frozen=True, slots=True)
class Person:
    """What a provider says about a person. ``email``: None unless the provider says that it belongs to the person."""

    issuer: str
    subject: str
    email: str | None
    name: str
    groups: frozenset[str]
    id_token: str = field(default="", repr=False)
    """For signing out at the provider; empty if it is too long for an address."""
