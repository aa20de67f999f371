"""How mails leave: handed to a mail server by SMTP."""

import asyncio
import ssl
from functools import cache
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import aiosmtplib
from aiosmtplib import SMTP

from newswire_notify.newsletters.mail_composer import OutgoingMail
from newswire_notify.newsletters.outcome import Reply, Stage
from newswire_notify.newsletters.smtp_session import SmtpSession

MESSAGES_PER_CONNECTION = 20
"""Yahoo closes a connection after as many."""


class Transport(Protocol):
    """Delivers mails to a server or a folder; one for each worker, which sends one mail at a time."""

    async def send(self, mail: OutgoingMail, following: OutgoingMail | None = None) -> Reply:
        """Send a mail and return the reply. ``following`` is the next mail, if it is certain: it may be announced already."""

    async def drop(self) -> None:
        """Close the connection at once: what was announced is not sent."""

    async def close(self) -> None:
        """End the connection, if there is one."""


class SmtpUrlError(ValueError):
    """The address of the mail server cannot be used; the message says why, without its password."""


class SmtpTransport:
    """One connection to a mail server, made when it is needed and renewed after `MESSAGES_PER_CONNECTION` mails.

    The URL is ``smtp://`` (with STARTTLS where the server offers it; ``?starttls=required`` or ``=never``) or ``smtps://``, with
    user and password percent-encoded.

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
        self._options = _client_options(url, local_hostname, timeout)
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
        if self._sent + 1 >= self._messages_per_connection:
            following = None
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self._open() or await self._transfer(mail, following)
                if reused and reply.stage in (Stage.SENDER, Stage.RECIPIENT) and reply.code in (0, 421):
                    await self.drop()  # the server has closed the connection meanwhile; nothing of the mail was taken
                    reply = await self._open() or await self._transfer(mail, None)
        except TimeoutError:
            await self.drop()
            return Reply(self._stage, 0, "no reply in time")
        self._sent += 1
        if reply.code in (0, 421) or self._sent >= self._messages_per_connection:
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
        client = SMTP(**self._options)
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await _greet(client)
        except aiosmtplib.SMTPAuthenticationError as error:
            client.close()
            return Reply(Stage.LOGIN, error.code, f"the login is refused: {error.message}")
        except aiosmtplib.SMTPResponseException as error:
            client.close()
            return Reply(Stage.CONNECT, error.code, error.message)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            client.close()
            return Reply(Stage.CONNECT, 0, str(error) or type(error).__name__)
        self._pipelines, self._takes_sizes = map(client.supports_extension, ("pipelining", "size"))
        self._client, self._session = client, SmtpSession()
        self._session.take_over(cast("asyncio.Transport", client.transport))
        return None

    async def _transfer(self, mail: OutgoingMail, following: OutgoingMail | None) -> Reply:
        self._stage = Stage.SENDER
        try:
            if self._pipelines and self._announced is None:
                await self._announce(mail)
            refused = await (self._announced_replies() if self._pipelines else self._step_by_step(mail))
            if refused is not None:
                return refused
            self._stage = Stage.CONTENT
            if following is not None and self._pipelines:
                await self._session.write(_content(mail.data), self._envelope(following))
                self._announced = following
            else:
                await self._session.write(_content(mail.data))
            return Reply(self._stage, *await self._session.reply())
        except (OSError, ValueError) as error:
            await self.drop()
            return Reply(self._stage, 0, str(error) or type(error).__name__)

    def _envelope(self, mail: OutgoingMail) -> bytes:
        return b"".join(self._commands(mail))

    def _commands(self, mail: OutgoingMail) -> list[bytes]:
        size = b" SIZE=%d" % len(mail.data) if self._takes_sizes else b""
        return [
            b"MAIL FROM:<%b>%b\r\n" % (mail.sender.encode("ascii"), size),
            b"RCPT TO:<%b>\r\n" % mail.recipient.encode("ascii"),
            b"DATA\r\n",
        ]

    async def _announce(self, mail: OutgoingMail) -> None:
        if self._needs_reset:
            await self._session.write(b"RSET\r\n", self._envelope(mail))
        else:
            await self._session.write(self._envelope(mail))
        self._announced = mail

    async def _announced_replies(self) -> Reply | None:
        """Read the replies to an envelope that was sent at once; return the first one that refuses it."""
        if self._needs_reset:
            await self._session.reply()
            self._needs_reset = False
        sender = await self._session.reply()
        refused = None
        if sender[0] >= 300:
            refused = Reply(Stage.SENDER, *sender)
            if sender[0] == 421:
                return refused
        else:
            self._stage = Stage.RECIPIENT
        recipient = await self._session.reply()
        if recipient[0] >= 300 and refused is None:
            refused = Reply(Stage.RECIPIENT, *recipient)
            if recipient[0] == 421:
                return refused
        self._announced = None
        return await self._data_reply(refused)

    async def _data_reply(self, refused: Reply | None) -> Reply | None:
        content = await self._session.reply()
        if refused is not None:
            if content[0] == 354:  # it takes contents without a recipient: an empty one, which goes nowhere
                await self._session.write(b".\r\n")
                await self._session.reply()
            self._needs_reset = True
            return refused
        if content[0] != 354:
            self._needs_reset = True
            return _refusal(Stage.CONTENT, *content)
        return None

    async def _step_by_step(self, mail: OutgoingMail) -> Reply | None:
        """Send the envelope, one command after the other; return the first reply that refuses it."""
        if self._needs_reset:
            await self._session.write(b"RSET\r\n")
            await self._session.reply()
            self._needs_reset = False
        for stage, command in zip((Stage.SENDER, Stage.RECIPIENT, Stage.CONTENT), self._commands(mail), strict=True):
            self._stage = stage
            await self._session.write(command)
            code, text = await self._session.reply()
            if code != 354 if stage is Stage.CONTENT else code >= 300:
                self._needs_reset = True
                return _refusal(stage, code, text)
        return None


def _refusal(stage: Stage, code: int, text: str) -> Reply:
    """Return the reply that refuses an envelope; one to DATA that accepts a mail which was not sent is none."""
    if stage is Stage.CONTENT and code < 400:
        raise ConnectionAbortedError(f"the mail server answers DATA with {code}")
    return Reply(stage, code, text)


async def _greet(client: SMTP) -> None:
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        await client.helo()


def _content(data: bytes) -> bytes:
    """Return a mail as DATA takes it: dots at the beginning of lines doubled, and one dot at the end (RFC 5321, section 4.5.2)."""
    if data.startswith(b"."):
        data = b"." + data
    data = data.replace(b"\r\n.", b"\r\n..")
    return data + (b".\r\n" if data.endswith(b"\r\n") else b"\r\n.\r\n")


def _client_options(url: str, local_hostname: str, timeout: float) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise SmtpUrlError("it is not smtp://host or smtps://host")
    options = dict(parse_qsl(parts.query))
    starttls = options.pop("starttls", "auto")
    if options or starttls not in ("auto", "required", "never") or parts.path not in ("", "/"):
        raise SmtpUrlError("only ?starttls=auto, required or never may follow the host")
    try:
        port = parts.port
    except ValueError:
        raise SmtpUrlError("its port is not a number from 1 to 65535") from None
    secure = parts.scheme == "smtps"
    return {
        "hostname": parts.hostname,
        "port": port or (465 if secure else 587 if parts.username else 25),
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "local_hostname": local_hostname,
        "use_tls": secure,
        "start_tls": None if secure or starttls == "auto" else starttls == "required",
        "timeout": timeout,
        "tls_context": _tls() if secure or starttls != "never" else None,
    }


@cache
def _tls() -> ssl.SSLContext:
    """Return the context of all connections: reading the certificates of the system takes long."""
    return ssl.create_default_context()
