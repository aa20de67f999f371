"""Runs work in a separate process, which is killed when it exceeds its CPU time.

For native code that a deadline cannot interrupt, such as an HTML parser with quadratic run time.
A worker reads requests and writes responses, each prefixed with its length, on its standard streams:

    python -m newswire.concurrency.worker_process PROCESSOR_SECONDS MEMORY_BYTES MODULE:FUNCTION

The function takes bytes and returns bytes. The limit is CPU time, not wall-clock time, so a busy machine kills no legitimate work.
"""

import contextlib
import importlib
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

LOWER_PRIORITY = 10
"""Added to the niceness of a worker: the event loops and the stores, which everyone waits for, come first."""
_LENGTH = struct.Struct("!I")


class WorkerKilledError(Exception):
    """The work used up its processor time or memory."""


class WorkerProcess:
    """One worker, started on first use, and again after it was killed. Only one caller may use it at a time."""

    def __init__(self, function: str, processor_seconds: float, memory_bytes: int) -> None:
        """Take the function as ``module:name``."""
        self._command = [sys.executable, "-m", __name__, str(processor_seconds), str(memory_bytes), function]
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._using = threading.Lock()

    def call(self, request: bytes) -> bytes:
        """Process a request; blocks until the response is complete.

        Raises:
            WorkerKilledError: the work used up its time or memory.
        """
        with self._using:
            process = self._running()
            try:
                _write(_pipe(process.stdin), request)
                answer = _read(_pipe(process.stdout))
            except BrokenPipeError:
                answer = None
            if answer is None:
                self._stop()
                raise WorkerKilledError
            return answer

    def close(self) -> None:
        """End the process."""
        with self._using:
            self._stop()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._owner != os.getpid() or self._process is None or self._process.poll() is not None:
            self._stop()
            # The command is this interpreter and this module; no part of it comes from a client.
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
            self._owner = os.getpid()
        return self._process

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(BrokenPipeError):
                _pipe(pipe).close()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ValueError("the worker was started without pipes")
    return stream


def _write(stream: IO[bytes], message: bytes) -> None:
    stream.write(_LENGTH.pack(len(message)))
    stream.write(message)
    stream.flush()


def _read(stream: IO[bytes]) -> bytes | None:
    """Return the next message; None if the stream ends before it is complete."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    message = stream.read(length)
    return message if len(message) == length else None


def main(processor_seconds: float, memory_bytes: int, function: str) -> None:
    """Process requests until standard input ends."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole process group; the parent closes our input instead
    module, _, name = function.partition(":")
    work = getattr(importlib.import_module(module), name)
    os.nice(LOWER_PRIORITY)
    with contextlib.suppress(OSError):  # Linux: if memory runs out, this process is ended rather than the service
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(ValueError, OSError):  # not every system supports this limit
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    reading, writing = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    while (request := _read(reading)) is not None:
        signal.setitimer(signal.ITIMER_PROF, processor_seconds)  # its signal ends a process that does not handle it
        answer = work(request)
        signal.setitimer(signal.ITIMER_PROF, 0)
        _write(writing, answer)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
