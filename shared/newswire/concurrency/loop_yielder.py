"""Yields to the event loop while many articles are decoded on it, so that other requests are not delayed."""

import asyncio
from typing import Final

BYTES_PER_TURN: Final = 256 * 1024
"""Decoded before the loop yields: about 4 ms of processor time. A single article is not divided."""


class LoopYielder:
    """Counts the bytes decoded in one task, and yields after every `BYTES_PER_TURN`."""

    def __init__(self) -> None:
        self._bytes = 0

    async def add_bytes(self, size: int) -> None:
        """Count decoded bytes; let other tasks run if `BYTES_PER_TURN` were decoded since they last did."""
        self._bytes += size
        if self._bytes >= BYTES_PER_TURN:
            self._bytes = 0
            await asyncio.sleep(0)
