"""A service that counts how long its event loop was busy at a stretch: ``python -m bench.heartbeat BEAT_PORT SERVICE PORT``.

A connection to the beat's port is answered with two numbers and closed: the longest time between two beats since the last
answer, in ms of the processor time of the loop's thread, and in ms of the clock. The first one does not depend on what else
the machine does.
"""

import asyncio
import sys
import time
from importlib import import_module

from newswire.http.application import run, serve
from newswire.http.listening import bind
from newswire.observability.json_logging import log_as_json
from newswire.settings import Settings
from newswire_cli.commands.serve import MODULES

BEAT_SECONDS = 0.005


class Heartbeat:
    """Measures the event loop that it runs on."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._processor = 0.0
        self._clock = 0.0
        self._beating: asyncio.Task[None]

    async def start(self) -> None:
        """Start measuring."""
        self._beating = asyncio.create_task(self._beat())
        await asyncio.start_server(self._answer, "127.0.0.1", self._port)

    async def _beat(self) -> None:
        processor, clock = time.thread_time(), time.monotonic()
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            processor_now, clock_now = time.thread_time(), time.monotonic()
            self._processor = max(self._processor, processor_now - processor)
            self._clock = max(self._clock, clock_now - clock - BEAT_SECONDS)
            processor, clock = processor_now, clock_now

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{self._processor * 1000} {self._clock * 1000}".encode())
        self._processor = self._clock = 0.0
        writer.close()


if __name__ == "__main__":
    log_as_json()
    service = import_module(MODULES[sys.argv[2]]).service
    heartbeat = Heartbeat(int(sys.argv[1]))
    run(serve([service], Settings(), bind("127.0.0.1", int(sys.argv[3])), started=heartbeat.start))
