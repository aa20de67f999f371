"""The acknowledged writes that a failover of Redis may lose: those of the last minute, as long as they fit into memory."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from newswire.storage.redis_functions import Call

MAX_AGE_SECONDS = 60.0
"""More than replicas are behind, and than it takes until a process leaves a former primary."""
MAX_BYTES = 32 * 1024 * 1024
_BYTES_BESIDE_TEXTS = 2048
"""What a call takes beside its texts."""


@dataclass(slots=True)
class RecentWrite:
    """A call that changed an article, or may have done so."""

    call: Call
    entry: bytes | None
    """The entry of its event on the stream, as the function returned it; None if the reply was lost."""
    at: float
    size: int

    @property
    def article_id(self) -> str:
        """The id of its article."""
        return str(self.call.arguments["id"])


class RecentWrites:
    """Keeps calls in their order, and drops them with age, beyond a total size, and once an article is withdrawn."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep nothing yet."""
        self._clock = clock
        self._writes: dict[int, RecentWrite] = {}
        self._of_article: dict[str, list[int]] = {}
        self._number = 0
        self._bytes = 0

    def all(self) -> list[RecentWrite]:
        """Return the kept writes, oldest first."""
        self._drop_old()
        return list(self._writes.values())

    def note(self, call: Call, reply: Any) -> None:
        """Keep a call after its reply, if a failover may lose what it did."""
        if not _is_kept(call, reply):
            return
        entry = None if isinstance(reply, Exception) else reply[1]
        article_id = call.arguments["id"]
        if call.function != "write":  # the text is erased, also from this memory
            for number in self._of_article.pop(article_id, ()):
                self._drop(number)
        size = sum(map(len, call.texts)) + _BYTES_BESIDE_TEXTS
        self._number += 1
        self._writes[self._number] = RecentWrite(call, entry, self._clock(), size)
        self._of_article.setdefault(article_id, []).append(self._number)
        self._bytes += size
        self._drop_old()

    def _drop_old(self) -> None:
        oldest = self._clock() - MAX_AGE_SECONDS
        while self._writes:
            number, write = next(iter(self._writes.items()))
            if write.at >= oldest and self._bytes <= MAX_BYTES:
                return
            of_article = self._of_article[write.article_id]
            of_article.remove(number)
            if not of_article:
                del self._of_article[write.article_id]
            self._drop(number)

    def _drop(self, number: int) -> None:
        self._bytes -= self._writes.pop(number).size


def _is_kept(call: Call, reply: Any) -> bool:
    """Return whether a failover may lose what a call did.

    Without a reply, a write is kept if it has an idempotency record: a repeat of the request must find the same article.
    """
    if call.function not in ("write", "retract", "cancel"):
        return False
    if isinstance(reply, Exception):
        changes = call.function == "write" and call.arguments["action"] != "nothing"
        return changes and bool(call.keys[2])
    return bool(reply[0] == b"OK")
