"""The open connection to a mail server: commands go out together where the server takes that (RFC 2920), replies come in order."""

import asyncio
from collections import deque
from collections.abc import Sequence

MAX_REPLY_BYTES = 64 * 1024
"""Of one reply with all its lines."""
MAX_UNREAD_REPLIES = 64
FINISH_SECONDS = 1.0
"""How long a connection waits for the reply to QUIT."""

ServerReply = tuple[int, str]
"""Code and text of a reply."""


class SmtpSession(asyncio.Protocol):
    """One connection, after the greeting and the login."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._lines: list[str] = []
        self._reply_bytes = 0
        self._replies: deque[ServerReply] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._lost: Exception | None = None
        self._finishing = False
        self._can_write = asyncio.Event()
        self._can_write.set()

    def take_over(self, transport: asyncio.Transport) -> None:
        """Become the protocol of a transport."""
        self._transport = transport
        transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        """Whether the connection is open, as far as is known."""
        return self._transport is not None and self._lost is None and not self._transport.is_closing()

    async def write(self, *pieces: bytes) -> None:
        """Send bytes; wait while the server does not take any.

        Raises:
            ConnectionError: the connection is lost.
        """
        if self._transport is None or not self.is_open:
            raise self._lost or ConnectionResetError("the connection is closed")
        self._transport.writelines(pieces)
        if not self._can_write.is_set():
            await self._can_write.wait()
            if self._lost is not None:
                raise self._lost

    async def reply(self) -> ServerReply:
        """Return the next reply.

        Raises:
            ConnectionError: the connection is lost, and no reply is left.
        """
        while not self._replies:
            if self._lost is not None:
                raise self._lost
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        return self._replies.popleft()

    async def replies(self, count: int) -> Sequence[ServerReply]:
        """Return the next replies.

        Raises:
            ConnectionError: the connection is lost, and there are fewer.
        """
        return [await self.reply() for _ in range(count)]

    def finish(self) -> None:
        """End the connection once QUIT, which was sent, has its reply, and after `FINISH_SECONDS` at the latest."""
        if self._transport is None:
            return
        if self._replies:
            self._transport.close()
        self._finishing = True
        asyncio.get_running_loop().call_later(FINISH_SECONDS, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        """Read lines, and replies of one or several lines (RFC 5321, section 4.2.1)."""
        *lines, self._received = (self._received + data).split(b"\n") if self._received else data.split(b"\n")
        for line in lines:
            self._take(line.rstrip(b"\r"))
        if len(self._received) + self._reply_bytes > MAX_REPLY_BYTES or len(self._replies) > MAX_UNREAD_REPLIES:
            self._fail(ConnectionAbortedError("the mail server sends too much"))

    def _take(self, line: bytes) -> None:
        code, separator, text = line[:3], line[3:4], line[4:].decode("utf-8", "replace")
        if not code.isdigit() or len(code) < 3 or separator not in (b"-", b" ", b""):
            self._fail(ConnectionAbortedError("the mail server sent what is no reply"))
            return
        self._lines.append(text)
        self._reply_bytes += len(line) + 2
        if separator == b"-":
            return
        self._replies.append((int(code), "\n".join(self._lines)))
        self._lines, self._reply_bytes = [], 0
        if self._finishing and self._transport is not None:
            self._transport.close()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Note it, and wake what waits."""
        self._lost = self._lost or ConnectionResetError(str(error) if error else "the connection was closed")
        self._wake()
        self._can_write.set()

    def pause_writing(self) -> None:
        """Let writers wait."""
        self._can_write.clear()

    def resume_writing(self) -> None:
        """Let writers continue."""
        self._can_write.set()

    def _fail(self, error: ConnectionError) -> None:
        self._lost = self._lost or error
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
