"""Heartbeats of silent clients and the ends of their access, for all clients of the live stream by one periodic task."""

import asyncio
import math
import time
from collections.abc import Callable

from newswire.concurrency.backoff import pause
from newswire_notify.streaming.sse_client import EXPIRED, SseClient

SLOTS = 64
"""Turns of the wheel in the time of a heartbeat, which is late by at most one turn."""
MIN_TURN_SECONDS = 0.01
CLIENTS_PER_TURN = 256
"""Heartbeats sent before other tasks run: about 2 ms."""


class ClientTimers:
    """A wheel of clients in the order in which their next heartbeat may be due.

    An event written to a client costs nothing here: only when the turn of a client comes, the wheel looks at how long it has been
    silent.
    """

    def __init__(
        self,
        heartbeat: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Send a comment after ``heartbeat`` seconds of silence."""
        self._heartbeat = heartbeat
        self._turn = max(heartbeat / SLOTS, MIN_TURN_SECONDS)
        self._clock = clock
        self._wall_clock = wall_clock
        self._wheel: list[set[SseClient]] = [set() for _ in range(math.ceil(heartbeat / self._turn) + 2)]
        self._at = 0
        self._next_turn = clock() + self._turn
        self._expiring: set[SseClient] = set()
        self._next_end = math.inf

    def add(self, client: SseClient) -> None:
        """Watch a client that has just been connected."""
        client.written_at = self._clock()
        self._place(client, self._heartbeat)
        if client.ends is not None:
            self._expiring.add(client)
            self._next_end = min(self._next_end, client.ends)

    def remove(self, client: SseClient) -> None:
        """Forget a client."""
        self._wheel[client.slot].discard(client)
        self._expiring.discard(client)

    def now(self) -> float:
        """Return the time on the clock of the wheel."""
        return self._clock()

    async def run(self, stopping: asyncio.Event) -> None:
        """Send heartbeats and end clients until stopping is set."""
        while not await pause(stopping, min(self._turn, max(self._next_end - self._wall_clock(), 0.0))):
            self.expire()
            await self.turn()

    def expire(self) -> None:
        """End the clients whose access has ended."""
        now = self._wall_clock()
        if now < self._next_end:
            return
        for client in [each for each in self._expiring if each.ends is not None and each.ends <= now]:
            self._expiring.discard(client)
            client.end(EXPIRED)
        self._next_end = min((each.ends for each in self._expiring if each.ends is not None), default=math.inf)

    async def turn(self) -> None:
        """Send the heartbeats that are due, a number of them at a time."""
        seen = 0
        while self._next_turn <= (now := self._clock()):
            slot = self._wheel[self._at]
            while slot:
                client = slot.pop()
                if client.written_at + self._heartbeat <= now:
                    client.beat(now)
                    self._place(client, self._heartbeat)
                else:
                    self._place(client, client.written_at + self._heartbeat - now)
                seen += 1
                if seen % CLIENTS_PER_TURN == 0:
                    await asyncio.sleep(0)
            self._at = (self._at + 1) % len(self._wheel)
            self._next_turn += self._turn

    def _place(self, client: SseClient, seconds: float) -> None:
        ahead = min(max(math.ceil(seconds / self._turn), 1), len(self._wheel) - 1)
        client.slot = (self._at + ahead) % len(self._wheel)
        self._wheel[client.slot].add(client)
