"""A limit on the share of entries that a consumer may reject, because a broken release would reject all of them."""

from collections import deque

WINDOW = 1000
"""Number of the newest entries that the limit considers."""


class DeadLetterLimit:
    """Counts rejections among the newest `WINDOW` entries of one consumer process.

    A few poison entries become dead letters and the stream continues. Very many of them mean that the consumer is broken, not
    the entries: it must stop before it moves the whole stream to the dead letters.
    """

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        """Maximum of rejected entries among the newest `WINDOW`; 0: no limit."""
        self._newest: deque[bool] = deque(maxlen=WINDOW)

    def exceeded_by(self, rejected: int) -> bool:
        """Return whether this number of further rejections would exceed the limit."""
        return bool(self.maximum) and sum(self._newest) + rejected > self.maximum

    def count(self, handled: int, rejected: int) -> None:
        """Record how many entries were handled and rejected."""
        self._newest.extend([False] * min(handled, WINDOW))
        self._newest.extend([True] * min(rejected, WINDOW))

    def reason(self, rejected: int, why: str) -> str:
        """Return the reason for stopping, for operators."""
        return (
            f"stopped: more than {self.maximum} of the last {WINDOW} entries would be rejected"
            f" ({sum(self._newest)} are dead letters, {rejected} more wait; the latest: {why});"
            " nothing is lost: repair the cause and restart, or raise NEWSWIRE_DEAD_LETTER_LIMIT"
        )[:600]
