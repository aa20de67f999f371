"""A limit on the share of entries that a consumer may reject, as a broken release would reject all of them."""

from collections import deque

WINDOW = 1000
"""How many of the newest entries the limit looks at."""


class DeadLetterLimit:
    """Counts rejections among the newest `WINDOW` entries of one consumer process.

    A few poison entries go to the dead letters and the stream goes on. Very many of them mean that the consumer is
    broken, not the entries: it must stop before it moves the whole stream to the dead letters.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        """How many of the newest `WINDOW` entries may be rejected; 0: any number."""
        self._newest: deque[bool] = deque(maxlen=WINDOW)

    def exceeded_by(self, rejected: int) -> bool:
        """Return whether this number of further rejections would exceed the limit."""
        return bool(self.most) and sum(self._newest) + rejected > self.most

    def count(self, handled: int, rejected: int) -> None:
        """Note how many entries were handled, and how many rejected."""
        self._newest.extend([False] * min(handled, WINDOW))
        self._newest.extend([True] * min(rejected, WINDOW))

    def reason(self, rejected: int, why: str) -> str:
        """Return why the consumer stops, for operators."""
        return (
            f"stopped: more than {self.most} of the last {WINDOW} entries would be rejected"
            f" ({sum(self._newest)} are dead letters, {rejected} more wait; the latest: {why});"
            " nothing is lost: repair the cause and restart, or raise NEWSWIRE_DEAD_LETTER_LIMIT"
        )[:600]
