"""SMTP as mail servers see it: commands together where they take that, and one mail in doubt at most."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from newswire_notify.newsletters.mail_composer import OutgoingMail
from newswire_notify.newsletters.outcome import Outcome, Reply, Stage, outcome_of
from newswire_notify.newsletters.transport import SmtpTransport
from tests.polling import DEADLINE_SECONDS
from tests.servers.smtp_sink import Answer, Behaviour, SmtpSink, Step, listen

PIPELINING = pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "one by one"])


def mail(number: int, data: bytes | None = None) -> OutgoingMail:
    body = b"Message-ID: <%d@x>\r\nSubject: x\r\n\r\nHello\r\n" % number
    return OutgoingMail("news@harbour.example", f"r{number}@example.org", f"<{number}@x>", data or body)


@asynccontextmanager
async def served(behaviour: Behaviour | None = None, **changes: Any) -> AsyncIterator[tuple[SmtpSink, SmtpTransport]]:
    pipelining = changes.pop("pipelining", True)
    sink = SmtpSink(pipelining=pipelining, keep_contents=True)
    sink = dataclasses.replace(sink, behaviour=behaviour) if behaviour else sink
    async with listen(sink) as url:
        transport = SmtpTransport(url, local_hostname="news.example", **{"timeout": 30.0} | changes)
        yield sink, transport
        await transport.close()


@asynccontextmanager
async def scripted(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[SmtpTransport]:
    """Run a server that follows a script, until its connections have ended."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        writer.write(b"220 mx ESMTP\r\n")
        try:
            await serve(reader, writer)
        except ConnectionError:
            pass  # the client has closed it
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}?starttls=never"
    transport = SmtpTransport(url, local_hostname="news.example", timeout=30)
    async with server:
        yield transport
        await transport.close()
        await asyncio.gather(*tasks)
        await asyncio.sleep(0)


async def send_all(transport: SmtpTransport, count: int) -> list[Reply]:
    mails = [mail(number) for number in range(count)]
    return [await transport.send(each, following) for each, following in zip(mails, [*mails[1:], None], strict=True)]


def once(step: Step, number: int, answer: Answer) -> Behaviour:
    left = [answer]

    def behaviour(at: Step, recipient: str) -> Answer | None:
        return left.pop() if left and at is step and recipient == f"r{number}@example.org" else None

    return behaviour


@PIPELINING
async def test_mails_arrive_once_and_in_order(pipelining: bool) -> None:
    async with served(pipelining=pipelining) as (sink, transport):
        replies = await send_all(transport, 45)
    assert {outcome_of(reply) for reply in replies} == {Outcome.ACCEPTED}
    assert [taken.recipient for taken in sink.taken] == [f"r{number}@example.org" for number in range(45)]
    assert [taken.message_id for taken in sink.taken] == [f"<{number}@x>" for number in range(45)]
    assert sink.connections == 3


@PIPELINING
@pytest.mark.parametrize(
    ("step", "reply", "stage"),
    [
        (Step.RECIPIENT, "550 5.1.1 no such user", Stage.RECIPIENT),
        (Step.RECIPIENT, "450 4.2.0 later", Stage.RECIPIENT),
        (Step.CONTENT, "451 4.3.0 not now", Stage.CONTENT),
        (Step.END, "554 5.7.1 spam", Stage.CONTENT),
    ],
)
async def test_a_refused_mail_leaves_the_others_alone(pipelining: bool, step: Step, reply: str, stage: Stage) -> None:
    async with served(once(step, 1, Answer(reply)), pipelining=pipelining) as (sink, transport):
        replies = await send_all(transport, 4)
    assert [found.code for found in replies] == [250, int(reply[:3]), 250, 250]
    assert (replies[1].stage, replies[1].text) == (stage, reply[4:])
    assert [taken.recipient[1] for taken in sink.taken] == ["0", "2", "3"]
    assert sink.connections == 1


@PIPELINING
@pytest.mark.parametrize("step", [Step.RECIPIENT, Step.CONTENT])
async def test_a_connection_that_breaks_before_the_content_is_made_again(pipelining: bool, step: Step) -> None:
    async with served(once(step, 1, Answer(None)), pipelining=pipelining) as (sink, transport):
        replies = await send_all(transport, 3)
        again = await transport.send(mail(1)) if replies[1].code == 0 else replies[1]
    assert again.code == 250
    assert sorted(taken.recipient[1] for taken in sink.taken) == ["0", "1", "2"]


@PIPELINING
async def test_a_mail_whose_reply_does_not_come_is_in_doubt_and_it_alone(pipelining: bool) -> None:
    async with served(once(Step.END, 1, Answer(None)), pipelining=pipelining) as (sink, transport):
        replies = await send_all(transport, 4)
    assert [reply.code for reply in replies] == [250, 0, 250, 250]
    assert outcome_of(replies[1]) is Outcome.LATER
    assert [taken.recipient[1] for taken in sink.taken] == ["0", "1", "2", "3"], "it is not sent again by itself"


async def test_the_content_of_the_next_mail_waits_for_the_caller() -> None:
    async with served() as (sink, transport):
        await transport.send(mail(0), mail(1))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while b"DATA" not in sink.commands[4:]:
                await asyncio.sleep(0.01)
        assert [taken.recipient for taken in sink.taken] == ["r0@example.org"]
        await transport.drop()
    assert sink.count == 1


@PIPELINING
async def test_a_connection_ends_with_quit_after_its_last_mail(pipelining: bool) -> None:
    async with served(pipelining=pipelining, messages_per_connection=3) as (sink, transport):
        assert [reply.code for reply in await send_all(transport, 3)] == [250] * 3
        async with asyncio.timeout(DEADLINE_SECONDS):
            while sink.transports:
                await asyncio.sleep(0.01)
        assert sink.commands[-1] == b"QUIT"
        assert (await transport.send(mail(3), mail(4))).code == 250
        assert (await transport.send(mail(4))).code == 250
    assert [taken.recipient[1] for taken in sink.taken] == ["0", "1", "2", "3", "4"]
    assert sink.connections == 2


async def test_another_mail_than_the_announced_one_is_not_sent_in_its_place() -> None:
    async with served() as (sink, transport):
        await transport.send(mail(0), mail(1))
        assert (await transport.send(mail(2))).code == 250
    assert [taken.recipient for taken in sink.taken] == ["r0@example.org", "r2@example.org"]


async def test_a_server_that_takes_contents_without_recipients_gets_an_empty_one() -> None:
    """RFC 2920, section 3.1: such a server answers 354 although the recipient was refused."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        refused = 0
        while line := await reader.readline():
            seen.append(line)
            verb = line[:4]
            if verb == b"EHLO":
                writer.write(b"250-mx\r\n250 PIPELINING\r\n")
            elif verb == b"RCPT":
                refused += 1
                writer.write(b"550 5.1.1 no such user\r\n" if refused == 1 else b"250 OK\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                content = b""
                while not content.endswith(b".\r\n"):
                    content += await reader.readline()
                seen.append(content)
                writer.write(b"554 no recipients\r\n" if content == b".\r\n" else b"250 taken\r\n")
            else:
                writer.write(b"250 OK\r\n")
            await writer.drain()

    async with scripted(serve) as transport:
        assert (await transport.send(mail(0))).code == 550
        assert (await transport.send(mail(1))).code == 250
    assert seen.count(b".\r\n") == 1
    assert b"RSET\r\n" in seen


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b".\r\n", b"..\r\n"),
        (b"a\r\n.\r\n.b\r\n", b"a\r\n..\r\n..b\r\n"),
        (b"no end", b"no end\r\n"),
        (b"\r\n\r\n", b"\r\n\r\n"),
    ],
)
async def test_a_line_that_is_one_dot_does_not_end_the_mail(data: bytes, expected: bytes) -> None:
    async with served() as (sink, transport):
        assert (await transport.send(mail(0, data))).code == 250
    assert sink.contents == [expected]


@pytest.mark.parametrize(
    "garbage",
    [
        lambda: b"hello\r\n",
        lambda: b"2\r\n",
        lambda: b"250-" + b"x" * 100_000,
        lambda: b"250-x\r\n" * 50_000,
        lambda: b"250 x\r\n" * 1000,
    ],
)
async def test_a_server_that_sends_garbage_is_left(garbage: Callable[[], bytes]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"250-mx\r\n250 PIPELINING\r\n")
        await reader.readline()
        writer.write(garbage())
        await reader.read()

    async with scripted(serve) as transport:
        assert outcome_of(await transport.send(mail(0))) is not Outcome.ACCEPTED
