"""How mails leave: handed to a mail server by SMTP."""

import asyncio
from typing import Protocol, cast

from aiosmtplib import SMTP

from newswire_notify.newsletters.mail_composer import OutgoingMail
from newswire_notify.newsletters.outcome import Reply, Stage
from newswire_notify.newsletters.smtp_server import SmtpServer
from newswire_notify.newsletters.smtp_session import SmtpSession

MESSAGES_PER_CONNECTION = 20
"""Yahoo closes a connection after as many."""
_ENVELOPE = (Stage.SENDER, Stage.RECIPIENT, Stage.CONTENT)
"""The stages of MAIL, RCPT and DATA."""


class Transport(Protocol):
    """Delivers mails to a server or a folder; one for each worker, which sends one mail at a time."""

    async def send(self, mail: OutgoingMail, following: OutgoingMail | None = None) -> Reply:
        """Send a mail and return the reply. ``following`` is the next mail, if it is certain: it may be announced already."""

    async def drop(self) -> None:
        """Close the connection at once: what was announced is not sent."""

    async def close(self) -> None:
        """End the connection, if there is one."""


class SmtpTransport:
    """One connection to a mail server, made when it is needed and renewed after `MESSAGES_PER_CONNECTION` mails.

    Where the server takes several commands at once (RFC 2920), the envelope of the next mail goes out with the content of a mail.
    The content itself is not sent before the caller has the reply to the former one, so one mail at most is in doubt.
    """

    def __init__(
        self,
        url: str,
        *,
        local_hostname: str,
        timeout: float = 60.0,
        messages_per_connection: int = MESSAGES_PER_CONNECTION,
    ) -> None:
        self._server = SmtpServer(url, local_hostname, timeout)
        self._timeout = timeout
        self._messages_per_connection = messages_per_connection
        self._client: SMTP | None = None
        self._pipelines = self._takes_sizes = False
        """What the server offers: several commands at once (RFC 2920), and the size beforehand (RFC 1870)."""
        self._session = SmtpSession()
        self._sent = 0
        self._announced: OutgoingMail | None = None
        """The mail whose envelope was sent already, and whose replies were not read."""
        self._needs_reset = False
        """Whether the server holds the envelope of a mail that was refused."""
        self._stage = Stage.CONNECT
        """How far the current attempt has come."""

    async def send(self, mail: OutgoingMail, following: OutgoingMail | None = None) -> Reply:
        """Send a mail over the open connection, or over a new one."""
        if self._announced not in (None, mail):
            await self.drop()
        reused = self._is_open
        is_last = (self._sent if reused else 0) + 1 >= self._messages_per_connection
        if is_last:
            following = None
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self._open() or await self._transfer(mail, following, is_last=is_last)
                if reused and reply.stage in (Stage.SENDER, Stage.RECIPIENT) and reply.code in (0, 421):
                    await self.drop()  # the server has closed the connection meanwhile; nothing of the mail was taken
                    reply = await self._open() or await self._transfer(mail, None, is_last=False)
        except TimeoutError:
            await self.drop()
            return Reply(self._stage, 0, "no reply in time")
        self._sent += 1
        if reply.code in (0, 421) or is_last:
            await self.close()
        return reply

    async def close(self) -> None:
        """End the connection with QUIT, within a second."""
        if self._is_open and self._announced is None:
            try:
                async with asyncio.timeout(1):
                    await self._session.write(b"QUIT\r\n")
                    await self._session.reply()
            except (TimeoutError, OSError):
                pass  # it is closed all the same
        await self.drop()

    async def drop(self) -> None:
        """Close the connection at once: what was announced is not sent."""
        self._announced = None
        self._needs_reset = False
        if self._client is not None:
            self._client.close()
            self._client = None
            await asyncio.sleep(0)  # let the transport close

    @property
    def _is_open(self) -> bool:
        return self._client is not None and self._session.is_open

    async def _open(self) -> Reply | None:
        """Connect and log in, if there is no connection; return the reply where that fails."""
        if self._is_open:
            return None
        await self.drop()
        self._sent = 0
        self._stage = Stage.CONNECT
        found = await self._server.connect()
        if isinstance(found, Reply):
            return found
        self._pipelines, self._takes_sizes = map(found.supports_extension, ("pipelining", "size"))
        self._client, self._session = found, SmtpSession()
        self._session.take_over(cast("asyncio.Transport", found.transport))
        return None

    async def _transfer(self, mail: OutgoingMail, following: OutgoingMail | None, *, is_last: bool) -> Reply:
        self._stage = Stage.SENDER
        try:
            refused = await self._refusal(mail)
            if refused is not None:
                return refused
            self._stage = Stage.CONTENT
            content = _content(mail.data)
            if following is not None and self._pipelines:
                await self._session.write(content, self._envelope(following))
                self._announced = following
            elif is_last and self._pipelines:
                await self._session.write(content, b"QUIT\r\n")
            else:
                await self._session.write(content)
            reply = Reply(self._stage, *await self._session.reply())
            if is_last and self._pipelines:
                self._leave()
            return reply
        except (OSError, ValueError) as error:
            await self.drop()
            return Reply(self._stage, 0, str(error) or type(error).__name__)

    def _leave(self) -> None:
        """Let the connection end by itself, after QUIT."""
        self._session.finish()
        self._client = None

    def _envelope(self, mail: OutgoingMail) -> bytes:
        return b"".join(self._commands(mail))

    def _commands(self, mail: OutgoingMail) -> list[bytes]:
        size = b" SIZE=%d" % len(mail.data) if self._takes_sizes else b""
        return [
            b"MAIL FROM:<%b>%b\r\n" % (mail.sender.encode("ascii"), size),
            b"RCPT TO:<%b>\r\n" % mail.recipient.encode("ascii"),
            b"DATA\r\n",
        ]

    async def _refusal(self, mail: OutgoingMail) -> Reply | None:
        """Send the envelope, unless it is announced already, and read the replies; return the first one that refuses it."""
        commands = self._commands(mail)
        if self._announced is None:
            reset = b"RSET\r\n" if self._needs_reset else b""
            if self._pipelines:
                await self._session.write(reset, *commands)
                self._announced = mail
            elif reset:
                await self._session.write(reset)
            if reset:
                await self._session.reply()
                self._needs_reset = False
        refused = None
        for stage, command in zip(_ENVELOPE, commands, strict=True):
            if not self._pipelines:
                await self._session.write(command)
            code, text = await self._session.reply()
            if code == 421:
                return refused or Reply(stage, code, text)
            if code == 354 if stage is Stage.CONTENT else code < 300:
                self._stage = Stage.RECIPIENT  # until the content is sent, nothing of the mail was taken
                continue
            refused = refused or _refused(stage, code, text)
            if not self._pipelines:
                break
        else:
            if (
                refused is not None and code == 354
            ):  # it takes contents without a recipient: an empty one, which goes nowhere
                await self._session.write(b".\r\n")
                await self._session.reply()
        self._announced = None
        self._needs_reset = refused is not None
        return refused


def _refused(stage: Stage, code: int, text: str) -> Reply:
    """Return the reply that refuses an envelope; one to DATA that accepts a mail which was not sent is none."""
    if stage is Stage.CONTENT and code < 400:
        raise ConnectionAbortedError(f"the mail server answers DATA with {code}")
    return Reply(stage, code, text)


def _content(data: bytes) -> bytes:
    """Return a mail as DATA takes it: dots at the beginning of lines doubled, and one dot at the end (RFC 5321, section 4.5.2)."""
    if data.startswith(b"."):
        data = b"." + data
    data = data.replace(b"\r\n.", b"\r\n..")
    return data + (b".\r\n" if data.endswith(b"\r\n") else b"\r\n.\r\n")
