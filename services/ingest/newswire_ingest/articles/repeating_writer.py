"""Sends writes to Redis, and repeats the recent ones when another server has taken over, which may lack them.

The functions compare the replication id of their server, its history, with the one that the caller knows, and write nothing if it
is another one. So nothing is written to a new primary before the recent writes are repeated there. What the server has already is
recognised by its write token. See docs/decisions/0033.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from redis.exceptions import RedisError

from newswire.concurrency.repetition import repeat
from newswire.storage.redis_functions import Call, FunctionLibrary
from newswire.storage.replication import SwitchedError
from newswire_ingest.articles.recent_writes import RecentWrite, RecentWrites

log = logging.getLogger(__name__)

GRACE_SECONDS = 1.0
"""How long new writes wait after a failover, until all processes have repeated theirs: each looks twice a second."""
ROUNDS = 4
"""How often a write is tried again meanwhile that follows one of another process."""
WATCH_SECONDS = 0.5
BATCH_SIZE = 64
_COMPARED = frozenset(("write", "retract", "cancel", "publish_due"))
"""The functions that compare the history."""
_MAY_FOLLOW = (b"STALE", b"LABEL_CONFLICT")
"""The replies to a write that may follow one of another process."""
MAX_LOGGED = 20


class RepeatingWriter:
    """Calls the functions of publishing, for one process."""

    def __init__(self, functions: FunctionLibrary) -> None:
        """Know no history yet: that of the first call counts."""
        self._functions = functions
        self._recent = RecentWrites()
        self._history: str | None = None
        self._turn = asyncio.Lock()

    async def send(self, calls: Sequence[Call]) -> list[Any]:
        """Call functions in one round trip; return the reply to each, or its exception."""
        async with self._turn:
            if self._history is None:
                self._history = await self._read_history()
            replies = await self._send(calls)
            late = [at for at, reply in enumerate(replies) if _other_history(reply)]
            if late:
                await self._repeat(_other_history(replies[late[0]]))
                for at, reply in zip(late, await self._send([calls[at] for at in late]), strict=True):
                    replies[at] = reply
            return [_switched() if _other_history(reply) else reply for reply in replies]

    async def keep_watching(self, stopping: asyncio.Event) -> None:
        """Call `watch` until stopping is set."""
        await repeat(self.watch, WATCH_SECONDS, stopping, log, "cannot see which server of Redis is the primary")

    async def watch(self) -> None:
        """Repeat the recent writes if another server has taken over, also while there are no new ones."""
        if self._history in (None, await self._read_history()):
            return
        async with self._turn:
            history = await self._read_history()
            if history != self._history:
                await self._repeat(history)

    async def _read_history(self) -> str:
        return str((await self._functions.call("history", [], {})).decode())

    async def _send(self, calls: Sequence[Call]) -> list[Any]:
        try:
            replies = await self._call(calls, {"history": self._history})
        except (RedisError, OSError) as error:
            for call in calls:
                self._recent.note(call, error)
            raise
        for call, reply in zip(calls, replies, strict=True):
            self._recent.note(call, reply)
        return replies

    async def _call(self, calls: Sequence[Call], more: Mapping[str, Any]) -> list[Any]:
        return await self._functions.call_all(
            [
                Call(call.function, call.keys, {**call.arguments, **more}, call.texts)
                if call.function in _COMPARED
                else call
                for call in calls
            ]
        )

    async def _repeat(self, history: str) -> None:
        """Repeat the recent writes on the server with this history.

        Raises:
            redis.exceptions.RedisError: it cannot be used; the next write tries again.
        """
        writes = self._recent.all()
        number, lost, barred = len(writes), 0, list[str]()
        for _ in range(ROUNDS):
            refused: list[RecentWrite] = []
            for at in range(0, len(writes), BATCH_SIZE):
                batch = writes[at : at + BATCH_SIZE]
                replies = await self._call([write.call for write in batch], {"history": history, "repeated": True})
                for write, reply in zip(batch, replies, strict=True):
                    if isinstance(reply, Exception):
                        raise reply
                    if _other_history(reply):
                        raise _switched()
                    lost += _was_lost(write, reply)
                    if reply[0] in _MAY_FOLLOW:
                        refused.append(write)
                    elif reply[0] != b"OK":  # its account or key was barred meanwhile, for example
                        barred.append(write.article_id)
            writes = refused
            await asyncio.sleep(GRACE_SECONDS / ROUNDS)
        self._history = history
        not_written = barred + [write.article_id for write in writes]
        log.warning(
            "another server of Redis took over; recent writes that it lacked were repeated",
            extra={"recent": number, "lost": lost, "refused": not_written[:MAX_LOGGED]},
        )


def _other_history(reply: Any) -> str:
    """Return the history of the server, if a function refused to write to it, else an empty string."""
    return reply[1].decode() if isinstance(reply, list) and reply[:1] == [b"SWITCHED"] else ""


def _was_lost(write: RecentWrite, reply: list[bytes]) -> bool:
    """Return whether a repeated call had an effect; set the new entry of its event."""
    if reply[0] != b"OK" or not reply[1] or reply[1] == write.entry:
        return False
    write.entry = reply[1]
    return True


def _switched() -> SwitchedError:
    return SwitchedError("another server became the primary before the write")
