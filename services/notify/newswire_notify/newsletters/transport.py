"""How mails leave: handed to a mail server by SMTP, or written to a folder where none is configured."""

import asyncio
import os
import re
import secrets
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

import aiosmtplib
from aiosmtplib import SMTP

from newswire_notify.newsletters.mail_maker import OutgoingMail
from newswire_notify.newsletters.outcome import Reply, Stage

MESSAGES_PER_CONNECTION = 20
"""Yahoo closes a connection after as many."""
MAIL_FOLDER = "mail"
_FILE_NAME = re.compile(r"[^A-Za-z0-9]")


class Transport(Protocol):
    """A way for mails to leave; one for each worker, which sends one mail at a time."""

    async def send(self, mail: OutgoingMail) -> Reply:
        """Send a mail and return the reply."""

    async def close(self) -> None:
        """End the connection, if there is one."""


class SmtpUrlError(ValueError):
    """The address of the mail server cannot be used; the message says why, without its password."""


class SmtpTransport:
    """One connection to a mail server, made when it is needed and renewed after `MESSAGES_PER_CONNECTION` mails.

    The URL is ``smtp://`` (with STARTTLS where the server offers it; ``?starttls=required`` or ``=never``) or ``smtps://``, with
    user and password percent-encoded.
    """

    def __init__(self, url: str, *, local_hostname: str, timeout: float = 60.0) -> None:
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
        self._client = SMTP(
            hostname=parts.hostname,
            port=port or (465 if secure else 587 if parts.username else 25),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            local_hostname=local_hostname,
            use_tls=secure,
            start_tls=None if secure or starttls == "auto" else starttls == "required",
            timeout=timeout,
        )
        self._timeout = timeout
        self._sent = 0
        self._stage = Stage.CONNECT
        """How far the current attempt has come."""

    async def send(self, mail: OutgoingMail) -> Reply:
        """Send a mail over the open connection, or over a new one."""
        reused = self._client.is_connected
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self._open() or await self._transfer(mail)
                if reused and reply.stage in (Stage.SENDER, Stage.RECIPIENT) and reply.code in (0, 421):
                    await self._drop()  # the server has closed the connection meanwhile; nothing of the mail was taken
                    reply = await self._open() or await self._transfer(mail)
        except TimeoutError:
            await self._drop()
            return Reply(self._stage, 0, "no reply in time")
        self._sent += 1
        if reply.code in (0, 421) or self._sent >= MESSAGES_PER_CONNECTION:
            await self.close()
        return reply

    async def close(self) -> None:
        """Say goodbye, within a second."""
        if self._client.is_connected:
            try:
                async with asyncio.timeout(1):
                    await self._client.quit()
            except (aiosmtplib.SMTPException, OSError, TimeoutError):
                pass  # the mail is settled; how the server ends the connection changes nothing
        await self._drop()

    async def _open(self) -> Reply | None:
        """Connect unless there is a connection; return the reply where that fails."""
        if self._client.is_connected:
            return None
        self._sent = 0
        self._stage = Stage.CONNECT
        try:
            await self._client.connect()
        except aiosmtplib.SMTPAuthenticationError as error:
            await self._drop()
            return Reply(Stage.LOGIN, error.code, f"the login is refused: {error.message}")
        except aiosmtplib.SMTPResponseException as error:
            await self._drop()
            return Reply(Stage.CONNECT, error.code, error.message)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            await self._drop()
            return Reply(Stage.CONNECT, 0, str(error) or type(error).__name__)
        return None

    async def _transfer(self, mail: OutgoingMail) -> Reply:
        self._stage = Stage.SENDER
        try:
            response = await self._client.mail(mail.sender, options=[f"size={len(mail.data)}"] if self._sizes else [])
            self._stage = Stage.RECIPIENT
            response = await self._client.rcpt(mail.recipient)
            self._stage = Stage.CONTENT
            response = await self._client.data(mail.data)
            return Reply(self._stage, response.code, response.message)
        except aiosmtplib.SMTPResponseException as error:
            await self._reset()
            return Reply(self._stage, error.code, error.message)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            await self._drop()
            return Reply(self._stage, 0, str(error) or type(error).__name__)

    @property
    def _sizes(self) -> bool:
        return self._client.supports_extension("size")

    async def _reset(self) -> None:
        try:
            await self._client.rset()
        except (aiosmtplib.SMTPException, OSError):
            await self._drop()

    async def _drop(self) -> None:
        self._client.close()
        await asyncio.sleep(0)  # let the transport close


class MailFolder:
    """Writes each mail to a file, under a name that its Message-ID decides: a repeat replaces it."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / MAIL_FOLDER

    async def send(self, mail: OutgoingMail) -> Reply:
        """Write a mail; the file appears complete."""
        try:
            await asyncio.to_thread(self._write, mail)
        except OSError as error:
            return Reply(Stage.CONNECT, 0, f"{self._folder} cannot be written: {error.strerror or error}")
        return Reply(Stage.CONTENT, 250, "written")

    async def close(self) -> None:
        """Nothing is open."""

    def _write(self, mail: OutgoingMail) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = _FILE_NAME.sub("", mail.message_id.partition("@")[0])[:40]
        temporary = self._folder / f".{name}.{secrets.token_hex(4)}"
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 (with a mode)
            file.write(mail.data)
        temporary.replace(self._folder / f"{name}.eml")
