"""Retention of ended deliveries: one value object, created from the settings in one place."""

from dataclasses import dataclass

MARGIN_SECONDS = 86_400.0
"""How much longer than its stream entry the plan of an event is kept: a lagging group may still read the entry."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Retention times in seconds, and limits. They do not apply to deliveries that have not ended."""

    ended: float
    """Ended deliveries, their attempts and responses, and the totals of an event (``NEWSWIRE_DELIVERY_RETENTION``)."""
    dead: float
    """Dead deliveries (``NEWSWIRE_DEAD_LETTER_RETENTION``)."""
    stream: float
    """Entries of the article stream (``NEWSWIRE_STREAM_RETENTION``)."""
    history_bytes: int
    """Memory of the ended deliveries of one subscription (``NEWSWIRE_DELIVERY_HISTORY_BYTES``)."""
    dead_count: int
    """Number of dead deliveries (``NEWSWIRE_DEAD_DELIVERIES_MAX``)."""

    @property
    def decisions(self) -> float:
        """How long a completed plan is kept: as long as its entry can be read, plus a margin."""
        return max(self.ended, self.stream) + MARGIN_SECONDS
