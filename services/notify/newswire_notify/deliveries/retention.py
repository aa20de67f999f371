"""How long, and how much of, what has ended is kept: one value object, made from the settings in one place."""

from dataclasses import dataclass

MARGIN_SECONDS = 86_400.0
"""How much longer than its stream entry the decision about an event is kept: a lagging group may still read the entry."""


@dataclass(frozen=True, slots=True)
class Retention:
    """What the settings say about keeping; times in seconds. Nothing here applies to a delivery that has not ended."""

    ended: float
    """Ended deliveries, their attempts and answers, and the totals of an event (``NEWSWIRE_DELIVERY_RETENTION``)."""
    dead: float
    """Dead deliveries (``NEWSWIRE_DEAD_LETTER_RETENTION``)."""
    stream: float
    """Entries of the article stream (``NEWSWIRE_STREAM_RETENTION``)."""
    history_bytes: int
    """Of ended deliveries, for one subscription (``NEWSWIRE_DELIVERY_HISTORY_BYTES``)."""
    dead_count: int
    """Dead deliveries in all (``NEWSWIRE_DEAD_DELIVERIES_MAX``)."""

    @property
    def decisions(self) -> float:
        """How long the decision about an expanded event is kept: for as long as its entry can be read, and a margin."""
        return max(self.ended, self.stream) + MARGIN_SECONDS
