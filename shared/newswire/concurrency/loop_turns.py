"""Turns for other work on the event loop, while many large articles are decoded there one after the other."""

import asyncio
from typing import Final

TURN_BYTES: Final = 256 * 1024
"""Decoded at a stretch: about 4 ms. One article is not divided."""


class LoopTurns:
    """Counts what is decoded in one piece of work."""

    def __init__(self) -> None:
        self._bytes = 0

    async def decoded(self, size: int) -> None:
        """Let other work run, if enough was decoded since it last did."""
        self._bytes += size
        if self._bytes >= TURN_BYTES:
            self._bytes = 0
            await asyncio.sleep(0)
