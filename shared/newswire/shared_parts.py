"""Parts that are written to many receivers: the same bytes for all of them."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(eq=False, slots=True)
class SharedPart:
    """A part of what many receivers get; it must not be empty."""

    data: bytes
    framed: bytes | None = None
    """As the server frames it, from the first write on."""


class PartWriter(Protocol):
    """Writes to one receiver without waiting."""

    def write(self, part: SharedPart) -> bool:
        """Write a part now; return whether it was written."""


class RefusingWriter:
    """Of a receiver that is written to by its own task alone."""

    __slots__ = ()

    def write(self, part: SharedPart) -> bool:
        """Refuse a part."""
        return False
