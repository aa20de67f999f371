"""How many entries a consumer group has not read, also where the server cannot say.

Redis does not know the lag of a group while an entry that it has not read yet was erased, until it has caught up (``lag`` is nil in
XINFO GROUPS). That is every backlog with a retraction: the time when the number matters. It is estimated then, from how many
entries had been added up to ids that were seen before.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import Any

MAX_SEEN = 2000


class LagEstimator:
    """Notes of a stream how many entries had been added up to an id. Erased entries count as added."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def note(self, entry_id: bytes, added: int) -> None:
        """Note that so many entries were added up to this one; without effect for one before the newest noted."""
        newest = (position(entry_id), added)
        if self._seen and newest <= self._seen[-1]:
            return
        self._seen.append(newest)
        if len(self._seen) > MAX_SEEN:
            del self._seen[1::2]  # the ends stay, and half of what is between them

    def lag(self, delivered: bytes, stream: Mapping[str, Any]) -> int:
        """Return how many entries were added after one, given the reply to XINFO STREAM."""
        added, length = stream["entries-added"], stream["length"]
        self.note(stream["last-generated-id"], added)
        at = position(delivered)
        known = self._seen
        if first := stream["first-entry"]:
            start = (position(first[0]), added - length + 1)
            if at < start[0]:
                return int(length)
            if start < known[0]:
                known = [start, *known]
        after = bisect_right(known, at, key=_at)
        if after == len(known) or (before := after - 1) < 0:
            return 0 if after else int(length)
        (from_id, from_count), (to_id, to_count) = known[before], known[after]
        share = (at - from_id) / (to_id - from_id)
        return min(int(length), added - round(from_count + share * (to_count - from_count)))

    def forget_before(self, delivered: bytes) -> None:
        """Forget what was noted before the newest id that is not after this one."""
        del self._seen[: max(bisect_left(self._seen, position(delivered), key=_at) - 1, 0)]


def position(entry_id: bytes) -> float:
    """Return the time of an entry in ms; further ones of the same millisecond follow it."""
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds) + min(int(sequence), 9999) / 10_000


def _at(seen: tuple[float, int]) -> float:
    return seen[0]
