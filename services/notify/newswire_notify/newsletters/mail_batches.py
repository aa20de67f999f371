"""Makes the mails of several connections together: what they ask for while a batch is made goes into the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from redis.exceptions import RedisError

from newswire_notify.newsletters.issues import ClaimedMail
from newswire_notify.newsletters.mail_composer import NotSent, OutgoingMail

MAX_MAILS = 100
"""Of a batch. Signed, they keep a processor busy for a tenth of a second, during which their first one grows old."""
MAX_BATCHES = 2
"""Batches at a time: Redis is read for one while the other is composed."""

MadeMails = list[OutgoingMail | NotSent]


class MailBatches:
    """The mails that are being made in one process."""

    def __init__(self, make: Callable[[Sequence[ClaimedMail]], Awaitable[MadeMails]]) -> None:
        self._make = make
        self._waiting: list[tuple[Sequence[ClaimedMail], asyncio.Future[MadeMails]]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def make_all(self, mails: Sequence[ClaimedMail]) -> MadeMails:
        """Return each mail, or why there is none.

        Raises:
            redis.exceptions.RedisError: Redis cannot be used.
        """
        made: asyncio.Future[MadeMails] = asyncio.get_running_loop().create_future()
        self._waiting.append((mails, made))
        if len(self._running) < MAX_BATCHES:
            task = asyncio.create_task(self._run())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await made

    async def _run(self) -> None:
        while self._waiting:
            taken = self._take()
            try:
                made = await self._make([mail for mails, _ in taken for mail in mails])
            except (RedisError, OSError) as error:
                for _, waiting in taken:
                    if not waiting.done():
                        waiting.set_exception(error)
            except BaseException:
                for _, waiting in taken:
                    waiting.cancel()
                raise
            else:
                at = 0
                for mails, waiting in taken:
                    if not waiting.done():  # else the connection was cancelled
                        waiting.set_result(made[at : at + len(mails)])
                    at += len(mails)

    def _take(self) -> list[tuple[Sequence[ClaimedMail], "asyncio.Future[MadeMails]"]]:
        taken: list[tuple[Sequence[ClaimedMail], asyncio.Future[MadeMails]]] = []
        count = 0
        while self._waiting and (not taken or count + len(self._waiting[0][0]) <= MAX_MAILS):
            taken.append(self._waiting.pop(0))
            count += len(taken[-1][0])
        return taken
