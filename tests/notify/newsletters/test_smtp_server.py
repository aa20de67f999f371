"""TLS and logins of the SMTP client, against a mail server with certificates of its own."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from newswire_notify.newsletters import smtp_server
from newswire_notify.newsletters.mail_composer import OutgoingMail
from newswire_notify.newsletters.outcome import Outcome, Reply, Stage, outcome_of
from newswire_notify.newsletters.smtp_server import SmtpUrlError
from newswire_notify.newsletters.transport import SmtpTransport
from tests.notify.newsletters.mail_server import MailServer, mail_server

HOST = "mx.harbour.example"
MAIL = OutgoingMail("a@harbour.example", "b@example.org", "<x@y>", b"Subject: x\r\n\r\nx\r\n")
PASSWORD = "p%40ss%2Fword"


class Authority:
    """A certificate authority that the client trusts, and one that it does not."""

    def __init__(self, folder: Path) -> None:
        self._trusted, self._other = trustme.CA(), trustme.CA()
        self.path = folder / "authority.pem"
        self._trusted.cert_pem.write_to_path(self.path)

    def context(self, host: str = HOST, *, trusted: bool = True) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        (self._trusted if trusted else self._other).issue_cert(host).configure_cert(context)
        return context


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    found = Authority(tmp_path)
    context = ssl.create_default_context(cafile=found.path)
    monkeypatch.setattr(smtp_server, "_tls", lambda: context)
    return found


@pytest.fixture(autouse=True)
async def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the name of the mail server lead to this computer."""
    loop = asyncio.get_running_loop()
    resolve = loop.getaddrinfo

    async def lookup(host: str, *arguments: Any, **named: Any) -> Any:
        return await resolve("127.0.0.1" if host == HOST else host, *arguments, **named)

    monkeypatch.setattr(loop, "getaddrinfo", lookup)


def port_of(server: MailServer) -> str:
    return server.url.rpartition(":")[2]


async def send(url: str) -> Reply:
    transport = SmtpTransport(url, local_hostname="news.example", timeout=30)
    reply = await transport.send(MAIL)
    await transport.close()
    return reply


@pytest.mark.parametrize("option", ["", "?starttls=required"])
async def test_mails_go_over_starttls_where_it_is_offered(authority: Authority, option: str) -> None:
    async with mail_server(starttls=authority.context()) as server:
        assert (await send(f"smtp://{HOST}:{port_of(server)}{option}")).code == 250
    assert [mail.secure for mail in server.got] == [True]


@pytest.mark.parametrize("way", ["smtp", "smtps"])
@pytest.mark.parametrize(("name", "trusted"), [(HOST, False), ("other.example", True)], ids=["issuer", "name"])
async def test_a_certificate_that_cannot_be_verified_ends_the_attempt(
    authority: Authority, way: str, name: str, trusted: bool
) -> None:
    context = authority.context(name, trusted=trusted)
    ways = {"starttls": context} if way == "smtp" else {"tls": context}
    async with mail_server(**ways, login=True) as server:  # type: ignore[arg-type]
        reply = await send(f"{way}://house:{PASSWORD}@{HOST}:{port_of(server)}")
    assert (reply.stage, outcome_of(reply)) == (Stage.CONNECT, Outcome.UNAVAILABLE)
    assert "certificate" in reply.text
    assert (server.got, server.logins) == ([], [])


async def test_a_server_without_starttls_gets_mails_in_plain_text_unless_it_is_required() -> None:
    async with mail_server() as server:
        assert (await send(f"smtp://{HOST}:{port_of(server)}")).code == 250
        refused = await send(f"smtp://{HOST}:{port_of(server)}?starttls=required")
    assert [mail.secure for mail in server.got] == [False]
    assert outcome_of(refused) is Outcome.UNAVAILABLE
    assert "STARTTLS" in refused.text


async def test_starttls_never_does_without(authority: Authority) -> None:
    async with mail_server(starttls=authority.context(trusted=False)) as server:
        assert (await send(f"smtp://{HOST}:{port_of(server)}?starttls=never")).code == 250
    assert [mail.secure for mail in server.got] == [False]


async def test_mails_go_over_smtps(authority: Authority) -> None:
    async with mail_server(tls=authority.context(), login=True) as server:
        assert (await send(f"smtps://house:{PASSWORD}@{HOST}:{port_of(server)}")).code == 250
    assert len(server.got) == 1


@pytest.mark.parametrize(("without", "way"), [(("LOGIN",), "PLAIN"), (("PLAIN",), "LOGIN")])
async def test_logins_follow_the_change_to_tls(authority: Authority, without: tuple[str, ...], way: str) -> None:
    async with mail_server(starttls=authority.context(), login=True, without=without) as server:
        assert (await send(f"smtp://house:{PASSWORD}@{HOST}:{port_of(server)}")).code == 250
    assert server.logins == [(way, True)]
    assert len(server.got) == 1


async def test_a_refused_login_is_told_without_the_password(authority: Authority) -> None:
    async with mail_server(starttls=authority.context(), login=True) as server:
        reply = await send(f"smtp://house:wrong-password@{HOST}:{port_of(server)}")
    assert (reply.stage, reply.code, outcome_of(reply)) == (Stage.LOGIN, 535, Outcome.UNAVAILABLE)
    assert "wrong-password" not in reply.text
    assert server.got == []


def test_a_password_needs_tls() -> None:
    with pytest.raises(SmtpUrlError, match="TLS") as error:
        SmtpTransport(f"smtp://house:secret@{HOST}?starttls=never", local_hostname="x")
    assert "secret" not in str(error.value)
    for host in ("127.0.0.1", "[::1]", "localhost"):
        SmtpTransport(f"smtp://house:secret@{host}?starttls=never", local_hostname="x")


@asynccontextmanager
async def scripted(
    answer: Callable[[bytes], bytes], tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Run a server that answers each line; yield its port and the lines. With a context, it changes to TLS after STARTTLS."""
    seen: list[bytes] = []
    tasks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        try:
            writer.write(b"220 mx ESMTP\r\n")
            while line := await reader.readline():
                seen.append(line.rstrip())
                writer.write(answer(line))
                if line.startswith(b"STARTTLS") and tls is not None:
                    await writer.start_tls(tls)
        except OSError:
            pass  # the client has closed it
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], seen
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("user", ["", f"house:{PASSWORD}@"])
async def test_no_password_goes_to_a_server_from_whose_offer_starttls_was_taken(user: str) -> None:
    def answer(line: bytes) -> bytes:
        return b"250-mx\r\n250 AUTH PLAIN LOGIN\r\n" if line.startswith(b"EHLO") else b"502 no\r\n"

    async with scripted(answer) as (port, seen):
        reply = await send(f"smtp://{user}{HOST}:{port}?starttls={'auto' if user else 'required'}")
    assert (reply.stage, outcome_of(reply)) == (Stage.CONNECT, Outcome.UNAVAILABLE)
    assert "STARTTLS" in reply.text
    assert [line[:4] for line in seen if line] == [b"EHLO"]


@pytest.mark.parametrize("answer", [b"454 4.7.0 not now\r\n", b"501 no\r\n"])
async def test_a_refused_change_to_tls_does_not_lead_to_plain_text(answer: bytes) -> None:
    def answers(line: bytes) -> bytes:
        return b"250-mx\r\n250 STARTTLS\r\n" if line.startswith(b"EHLO") else answer

    async with scripted(answers) as (port, seen):
        reply = await send(f"smtp://{HOST}:{port}")
    assert (reply.stage, outcome_of(reply)) == (Stage.CONNECT, Outcome.UNAVAILABLE)
    assert [line[:4] for line in seen] == [b"EHLO", b"STAR"]


INJECTED = b"250-evil\r\n250 AUTH PLAIN\r\n235 welcome\r\n"


@pytest.mark.parametrize("injected", [b"", INJECTED], ids=["nothing", "replies"])
async def test_what_was_said_in_plain_text_is_forgotten_after_tls(authority: Authority, injected: bytes) -> None:
    """Offers before TLS may be changed on their way, and replies added behind the one to STARTTLS (RFC 3207, section 6)."""
    greetings = 0

    def answer(line: bytes) -> bytes:
        nonlocal greetings
        if line.startswith(b"STARTTLS"):
            return b"220 go ahead\r\n" + injected
        greetings += 1
        return b"250-mx\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n" if greetings == 1 else b"250-mx\r\n250 SIZE 1000\r\n"

    async with scripted(answer, authority.context()) as (port, seen):
        reply = await send(f"smtp://house:{PASSWORD}@{HOST}:{port}")
    assert outcome_of(reply) is Outcome.UNAVAILABLE
    assert not any(line.startswith((b"AUTH", b"MAIL")) for line in seen)
    if not injected:
        assert reply.stage is Stage.LOGIN
        assert "AUTH" in reply.text
        assert [line[:4] for line in seen] == [b"EHLO", b"STAR", b"EHLO"]
