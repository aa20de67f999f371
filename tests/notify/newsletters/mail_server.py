"""A real mail server for tests (aiosmtpd), which refuses, defers and breaks off as it is told."""

import asyncio
import email
import email.policy
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import partial
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

BREAK_OFF = "break off"
"""In place of a reply: the connection is closed without one."""


@dataclass(frozen=True)
class ReceivedMail:
    """A mail as it came in."""

    sender: str
    recipient: str
    data: bytes
    peer: Any
    secure: bool = False
    """Whether it came over STARTTLS."""

    @property
    def message(self) -> EmailMessage:
        return email.message_from_bytes(self.data, policy=email.policy.default)

    def part(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        assert isinstance(part, EmailMessage)
        return str(part.get_content())

    @property
    def text(self) -> str:
        return self.part("plain")


@dataclass
class MailServer:
    """What the server has received, and what it answers."""

    url: str = ""
    got: list[ReceivedMail] = field(default_factory=list)
    recipient_replies: dict[str, list[str]] = field(default_factory=dict)
    """Replies to RCPT by address, in turn; after the last one the address is accepted."""
    data_replies: dict[str, list[str]] = field(default_factory=dict)
    """Replies after the final dot by recipient, in turn; `BREAK_OFF` takes the mail and gives no reply."""
    connections: int = 0
    logins: list[tuple[str, bool]] = field(default_factory=list)
    """The attempts to log in: the way, and whether the connection was encrypted by STARTTLS."""

    def to(self, address: str) -> list[ReceivedMail]:
        return [mail for mail in self.got if mail.recipient == address]

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        if replies := self.recipient_replies.get(address):
            reply = replies.pop(0)
            if reply == BREAK_OFF:
                assert server.transport is not None
                server.transport.abort()  # type: ignore[attr-defined]
                return "421 closing"
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        [recipient] = envelope.rcpt_tos
        replies = self.data_replies.get(recipient)
        reply = replies.pop(0) if replies else "250 2.0.0 taken"
        if reply == BREAK_OFF or reply.startswith("2"):
            assert isinstance(envelope.content, bytes)
            self.got.append(
                ReceivedMail(
                    str(envelope.mail_from), recipient, envelope.content, session.peer, session.ssl is not None
                )
            )
        if reply == BREAK_OFF:
            assert server.transport is not None
            server.transport.abort()  # type: ignore[attr-defined]
        return reply


def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
    assert isinstance(server.event_handler, MailServer)
    server.event_handler.logins.append((mechanism, session.ssl is not None))
    return AuthResult(success=data == LoginPassword(b"house", b"p@ss/word"), handled=False)


@asynccontextmanager
async def mail_server(
    port: int = 0,
    *,
    login: bool = False,
    starttls: ssl.SSLContext | None = None,
    tls: ssl.SSLContext | None = None,
    without: tuple[str, ...] = (),
) -> AsyncIterator[MailServer]:
    """Run a mail server; yield what it receives. ``without``: the ways of logging in that it does not offer."""
    taking = MailServer()
    make = partial(SMTP, taking, hostname="mx.example", enable_SMTPUTF8=False, tls_context=starttls)
    if login:
        make = partial(
            make, authenticator=_authenticate, auth_require_tls=starttls is not None, auth_exclude_mechanism=without
        )

    def connected() -> SMTP:
        taking.connections += 1
        return make(loop=asyncio.get_running_loop())

    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", port, ssl=tls)
    taking.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield taking
    finally:
        server.close()
