"""The mail server that a URL names: connects, with TLS where it can and where it must, and logs in."""

import ssl
from functools import cache
from ipaddress import ip_address
from urllib.parse import parse_qsl, unquote, urlsplit

import aiosmtplib
from aiosmtplib import SMTP

from newswire_notify.newsletters.outcome import Reply, Stage

STARTTLS = ("auto", "required", "never")


class SmtpUrlError(ValueError):
    """The address of the mail server cannot be used; the message says why, without its password."""


class SmtpServer:
    """A mail server by its URL: ``smtp://host`` or ``smtps://host``, with user and password percent-encoded.

    ``smtp://`` uses STARTTLS where the server offers it. ``?starttls=required`` insists on it, and so does a password: an attacker
    who removes the offer could read it otherwise. ``?starttls=never`` does without. Certificates are checked always.
    """

    def __init__(self, url: str, local_hostname: str, timeout: float) -> None:
        """``local_hostname``: how this program introduces itself. ``timeout``: seconds for each command.

        Raises:
            SmtpUrlError: the URL cannot be used.
        """
        parts = urlsplit(url)
        if parts.fragment or ("@" in url and "@" not in parts.netloc):
            raise SmtpUrlError("percent-encode what is special in user and password: / is %2F, ? is %3F, # is %23")
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise SmtpUrlError("it is not smtp://host or smtps://host")
        options = dict(parse_qsl(parts.query))
        self._starttls = options.pop("starttls", "auto")
        if options or self._starttls not in STARTTLS or parts.path not in ("", "/"):
            raise SmtpUrlError("only ?starttls=auto, required or never may follow the host")
        try:
            port = parts.port
        except ValueError:
            raise SmtpUrlError("its port is not a number from 1 to 65535") from None
        self._secure = parts.scheme == "smtps"
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        if self._starttls == "never" and self._user and not self._secure and not _is_loopback(parts.hostname):
            raise SmtpUrlError("a password is sent over TLS alone: leave ?starttls=never out, or use smtps://")
        self._host = parts.hostname
        self._port = port or (465 if self._secure else 587 if self._user else 25)
        self._local_hostname = local_hostname
        self._timeout = timeout

    async def connect(self) -> SMTP | Reply:
        """Return a connection, ready for mails; the reply where there is none."""
        client = SMTP(
            hostname=self._host,
            port=self._port,
            local_hostname=self._local_hostname,
            use_tls=self._secure,
            start_tls=False,
            timeout=self._timeout,
            tls_context=_tls() if self._secure or self._starttls != "never" else None,
        )
        stage = Stage.CONNECT
        try:
            await client.connect()
            await _greet(client)
            problem = await self._encrypt(client)
            if problem is None and self._user:
                stage = Stage.LOGIN
                problem = await self._log_in(client)
        except aiosmtplib.SMTPResponseException as error:
            problem = Reply(stage, error.code, error.message)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            problem = Reply(stage, 0, str(error) or type(error).__name__)
        if problem is None:
            return client
        client.close()
        return problem

    async def _encrypt(self, client: SMTP) -> Reply | None:
        """Change to TLS where the server offers it; return the reply where it must and does not."""
        if self._secure or self._starttls == "never":
            return None
        if client.supports_extension("starttls"):
            await client.starttls()
            await _greet(client)  # what it offered before may have been changed on its way (RFC 3207, section 4.2)
            return None
        if self._starttls == "required":
            return Reply(Stage.CONNECT, 0, "it does not offer STARTTLS, which ?starttls=required insists on")
        if self._user and not _is_loopback(self._host):
            return Reply(Stage.CONNECT, 0, "it does not offer STARTTLS, and a password is sent over TLS alone")
        return None

    async def _log_in(self, client: SMTP) -> Reply | None:
        if not client.supports_extension("auth"):
            return Reply(Stage.LOGIN, 0, "it does not offer a login (AUTH), and the URL has a user")
        try:
            await client.login(self._user, self._password)
        except aiosmtplib.SMTPAuthenticationError as error:
            return Reply(Stage.LOGIN, error.code, f"the login is refused: {error.message}")
        return None


async def _greet(client: SMTP) -> None:
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        await client.helo()


def _is_loopback(host: str) -> bool:
    """Return whether a host is this computer, so that its traffic cannot be read on a network."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@cache
def _tls() -> ssl.SSLContext:
    """Return the context of all connections: reading the certificates of the system takes long."""
    return ssl.create_default_context()
