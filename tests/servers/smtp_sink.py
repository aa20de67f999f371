"""A mail server that is fast, and misbehaves on request: it delays, defers, refuses, and breaks connections off."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import cast


class Step(Enum):
    """Where in a mail a fault may happen."""

    RECIPIENT = "RCPT TO"
    CONTENT = "DATA"
    """Before the content."""
    END = "."
    """After the content, which is taken by then if the reply accepts it, or if there is none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server does. ``reply`` None: it closes the connection."""

    reply: str | None
    delay: float = 0.0
    held: asyncio.Event | None = None
    """It waits for this."""


Behaviour = Callable[[Step, str], Answer | None]
"""What happens at a step of a mail to a recipient; None: all is well."""
GOOD = {Step.RECIPIENT: "250 2.1.5 OK", Step.CONTENT: "354 go on", Step.END: "250 2.0.0 taken"}


@dataclass(frozen=True, slots=True)
class TakenMail:
    """A mail that the server took, with the time of that on `time.time`."""

    recipient: str
    message_id: str
    at: float


@dataclass
class SmtpSink:
    """What all connections share."""

    behaviour: Behaviour = field(default=lambda _step, _recipient: None)
    pipelining: bool = True
    keep: bool = True
    """Whether mails are listed in ``taken``; else only counted."""
    taken: list[TakenMail] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    keep_contents: bool = False
    count: int = 0
    last: float = 0.0
    connections: int = 0
    transports: set[asyncio.Transport] = field(default_factory=set)
    """The open connections."""
    commands: list[bytes] = field(default_factory=list)
    """The commands of the last connection, where ``keep_contents`` is set."""

    def take(self, recipient: str, content: bytes) -> None:
        """Note a mail."""
        self.count += 1
        self.last = time.perf_counter()
        if self.keep:
            head = b"\r\n" + content.partition(b"\r\n\r\n")[0].lower()
            found = head.partition(b"\r\nmessage-id:")[2].partition(b"\r\n")[0].strip().decode()
            self.taken.append(TakenMail(recipient, found, time.time()))
        if self.keep_contents:
            self.contents.append(content)


class Connection(asyncio.Protocol):
    """One connection. Commands are carried out in order, also those that came together (RFC 2920)."""

    def __init__(self, sink: SmtpSink) -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._recipient: str | None = None
        self._in_content = False
        self._waiting: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._sink.connections += 1
        self._sink.transports.add(self._transport)
        self._sink.commands.clear()
        self._transport.write(b"220 mx.example ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._waiting is None:
            self._work()

    def connection_lost(self, error: Exception | None) -> None:
        self._sink.transports.discard(self._transport)
        if self._waiting is not None:
            self._waiting.cancel()

    def _work(self) -> None:
        self._waiting = None
        while self._waiting is None and not self._transport.is_closing():
            if self._in_content:
                start = self._buffer.startswith(b".\r\n")
                end = 0 if start else self._buffer.find(b"\r\n.\r\n")
                if end < 0:
                    return
                content = bytes(self._buffer[: 0 if start else end + 2])
                del self._buffer[: 3 if start else end + 5]
                self._in_content = False
                self._end(content)
            else:
                end = self._buffer.find(b"\r\n")
                if end < 0:
                    return
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 2]
                self._command(line)

    def _command(self, line: bytes) -> None:
        if self._sink.keep_contents:
            self._sink.commands.append(line)
        verb = line[:4].upper()
        if verb == b"EHLO":
            offered = ["mx.example", *(["PIPELINING"] if self._sink.pipelining else []), "SIZE 1000000", "8BITMIME"]
            lines = [f"250{'-' if at < len(offered) - 1 else ' '}{text}\r\n" for at, text in enumerate(offered)]
            self._transport.write("".join(lines).encode())
        elif verb == b"MAIL":
            self._reply("250 2.1.0 OK")
        elif verb == b"RCPT":
            recipient = line.partition(b"<")[2].partition(b">")[0].decode()
            self._carry_out(Step.RECIPIENT, recipient)
        elif verb == b"DATA":
            if self._recipient is None:
                self._reply("503 5.5.1 no recipient")
            else:
                self._carry_out(Step.CONTENT, self._recipient)
        elif verb == b"RSET":
            self._recipient = None
            self._reply("250 2.0.0 OK")
        elif verb == b"QUIT":
            self._reply("221 2.0.0 goodbye")
            self._transport.close()
        else:
            self._reply("250 2.0.0 OK")

    def _end(self, content: bytes) -> None:
        recipient, self._recipient = self._recipient or "", None
        answer = self._sink.behaviour(Step.END, recipient) or Answer(GOOD[Step.END])
        if answer.reply is None or answer.reply.startswith("2"):
            self._sink.take(recipient, content)
        self._give(answer)

    def _carry_out(self, step: Step, recipient: str) -> None:
        answer = self._sink.behaviour(step, recipient) or Answer(GOOD[step])
        if answer.reply is not None and answer.reply[0] in "23":
            self._recipient = recipient
            self._in_content = step is Step.CONTENT
        self._give(answer)

    def _give(self, answer: Answer) -> None:
        if answer.held is not None and not answer.held.is_set():
            self._waiting = asyncio.get_running_loop().call_later(0.01, self._give_held, answer)
        elif answer.delay:
            self._waiting = asyncio.get_running_loop().call_later(answer.delay, self._after, answer)
        else:
            self._now(answer)

    def _give_held(self, answer: Answer) -> None:
        if answer.held is not None and answer.held.is_set():
            self._after(answer)
        else:
            self._give(answer)

    def _after(self, answer: Answer) -> None:
        self._waiting = None
        self._now(answer)
        self._work()

    def _now(self, answer: Answer) -> None:
        if answer.reply is None:
            self._transport.abort()
            return
        self._reply(answer.reply)
        if answer.reply.startswith("421"):
            self._transport.close()

    def _reply(self, text: str) -> None:
        self._transport.write(text.encode() + b"\r\n")


@asynccontextmanager
async def listen(sink: SmtpSink, port: int = 0) -> AsyncIterator[str]:
    """Serve on a port of the loopback; yield the URL."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(sink), "127.0.0.1", port, backlog=512)
    async with server:
        yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}?starttls=never"
        for transport in sink.transports:
            transport.abort()
        while sink.transports:
            await asyncio.sleep(0)
