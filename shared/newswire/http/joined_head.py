"""Writes the head of a response together with the beginning of its body.

uvicorn writes a head as soon as the application starts the response, and the event loop sends it at once: a system call more, and a
client that is woken to read a head without a body. An application usually sends the body next, without waiting in between.
"""

import asyncio


class JoinedHead:
    """The transport of one response: the first write waits for the second one, until the next turn of the event loop at most."""

    __slots__ = ("_flush", "_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """Write nothing yet."""
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = None
        self._flush: asyncio.Handle | None = None
        """Set from the first write on."""

    def write(self, data: bytes) -> None:
        """Write data, in order; the first write is kept for a moment."""
        if self._flush is None:
            self._head = data
            self._flush = self._loop.call_soon(self.flush)
        elif self._head is None:
            self._transport.write(data)
        else:
            head, self._head = self._head, None
            self._flush.cancel()
            self._transport.writelines((head, data))

    def flush(self) -> None:
        """Write what is kept."""
        head, self._head = self._head, None
        if head is not None and not self._transport.is_closing():
            self._transport.write(head)

    def is_closing(self) -> bool:
        """Return whether the connection is closed or about to be."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Close the connection after everything is written."""
        self.flush()
        self._transport.close()
