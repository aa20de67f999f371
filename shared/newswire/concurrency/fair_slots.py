"""Limits concurrent work, and gives its slots to clients in turn."""

import asyncio
from collections import OrderedDict, deque


class FairSlots:
    """A fair semaphore: a client's requests are served in order, and clients take turns."""

    def __init__(self, max_slots: int) -> None:
        """Create the slots; 0 for no limit."""
        self._limited = max_slots > 0
        self._free = max_slots
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def acquire(self, client: str) -> bool:
        """Wait for a slot; return whether the call had to wait. Give each slot back with `release`."""
        if not self._limited:
            return False
        if self._free and not self._waiting:
            self._free -= 1
            return False
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()
            raise
        return True

    def release(self) -> None:
        """Pass the slot to the next waiting client, or free it."""
        if not self._limited:
            return
        while self._waiting:
            client, turns = next(iter(self._waiting.items()))
            turn = turns.popleft()
            if turns:
                self._waiting.move_to_end(client)
            else:
                del self._waiting[client]
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
