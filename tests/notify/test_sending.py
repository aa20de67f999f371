"""What an endpoint can do to the one who calls it: cost a bounded amount of time and memory, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from newswire_notify import sending
from newswire_notify.guard import Policy, connector
from newswire_notify.queue import Attempt
from newswire_notify.sending import ANSWER_KEPT, Sender, open_session
from tests.notify.conftest import job

MUCH = 16 * 2**20
"""More than an endpoint gets rid of: what is read and thrown away, and what the buffers on both sides hold."""

Talk = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Talker:
    """Answers every request with what a test has it say, and counts what it could say."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self.said = 0
        self.hung_up = asyncio.Event()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await self._talk(writer)
            await reader.read()
        except OSError:
            pass
        finally:
            self.hung_up.set()
            writer.close()

    async def say(self, writer: asyncio.StreamWriter, text: bytes) -> None:
        writer.write(text)
        await writer.drain()
        self.said += len(text)


@asynccontextmanager
async def talking(talk: Callable[[Talker, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[tuple[str, Talker]]:
    talker = Talker(lambda writer: talk(talker, writer))
    server = await asyncio.start_server(talker.take, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", talker
    finally:
        server.close()


async def sent(url: str) -> Attempt:
    async with open_session(connector(Policy(allow_private=True), limit=4)) as session:
        return (await Sender(session, timeout=1, connect=1).send(job(url), b"{}", None)).attempt


OK = b"HTTP/1.1 200 OK\r\n"


async def test_an_endless_answer_costs_its_connection() -> None:
    async def talk(talker: Talker, writer: asyncio.StreamWriter) -> None:
        await talker.say(writer, OK + b"Content-Type: text/plain\r\n\r\n")
        while True:
            await talker.say(writer, b"x" * 65536)

    async with talking(talk) as (url, talker):
        attempt = await sent(url)
        await asyncio.wait_for(talker.hung_up.wait(), 10)
    assert (attempt.status, attempt.error, attempt.answer) == (200, None, "x" * ANSWER_KEPT)
    assert talker.said < MUCH


async def test_an_answer_that_packs_much_into_little_is_not_unpacked() -> None:
    packed = b"\x1f\x8b" + bytes(200)

    async def talk(talker: Talker, writer: asyncio.StreamWriter) -> None:
        await talker.say(writer, OK + b"Content-Encoding: gzip\r\nContent-Length: 202\r\n\r\n" + packed)

    async with talking(talk) as (url, _):
        attempt = await sent(url)
    assert (attempt.status, attempt.error, len(attempt.answer)) == (200, None, 202)


@pytest.mark.parametrize(
    "line",
    [b"X-More: " + b"y" * 4000 + b"\r\n", b"X-More: " + b"y" * 65536, b"x: y\r\n" * 1000],
    ids=["long-headers", "one-header-without-end", "many-headers"],
)
async def test_an_endless_head_is_not_read(line: bytes) -> None:
    async def talk(talker: Talker, writer: asyncio.StreamWriter) -> None:
        await talker.say(writer, OK)
        while True:
            await talker.say(writer, line)

    async with talking(talk) as (url, talker):
        attempt = await sent(url)
        await asyncio.wait_for(talker.hung_up.wait(), 10)
    assert attempt.status is None
    assert (attempt.error or "").startswith("http: ")
    assert talker.said < MUCH


@pytest.mark.parametrize("text", [b"HTTP/1.1 100 Continue\r\n\r\n", b"H"], ids=["interim-answers", "nothing"])
async def test_an_answer_that_does_not_come_is_given_up(text: bytes) -> None:
    async def talk(talker: Talker, writer: asyncio.StreamWriter) -> None:
        await talker.say(writer, text)
        while len(text) > 1:
            await talker.say(writer, text)
            await asyncio.sleep(0.01)

    async with talking(talk) as (url, talker):
        attempt = await sent(url)
        await asyncio.wait_for(talker.hung_up.wait(), 10)
    assert (attempt.status, attempt.error) == (None, "timeout: no answer in time")


async def test_a_status_counts_however_slowly_its_text_drips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "ANSWER_SECONDS", 0.3)

    async def talk(talker: Talker, writer: asyncio.StreamWriter) -> None:
        await talker.say(writer, OK + b"Content-Length: 1000\r\n\r\n")
        while True:
            await talker.say(writer, b".")
            await asyncio.sleep(0.05)

    async with talking(talk) as (url, talker):
        attempt = await sent(url)
        await asyncio.wait_for(talker.hung_up.wait(), 10)
    assert (attempt.status, attempt.error) == (200, None)
    assert 0 < len(attempt.answer) < 1000


@pytest.mark.parametrize("broken", [b"Content-Length: 9\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n5\r\nha"])
async def test_a_status_counts_also_where_its_text_breaks_off(broken: bytes) -> None:
    async def talk(talker: Talker, writer: asyncio.StreamWriter) -> None:
        await talker.say(writer, OK + broken)
        writer.close()

    async with talking(talk) as (url, _):
        attempt = await sent(url)
    assert attempt.status == 200
    assert attempt.error is None


async def test_too_long_is_said_with_what_to_do_about_it() -> None:
    async def talk(talker: Talker, writer: asyncio.StreamWriter) -> None:
        await talker.say(writer, b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")

    async with talking(talk) as (url, _):
        attempt = await sent(url)
    assert attempt.error is not None
    assert "choose content: summary" in attempt.error


async def test_no_proxy_and_no_cookie_is_taken_from_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    async def talk(talker: Talker, writer: asyncio.StreamWriter) -> None:
        await talker.say(writer, OK + b"Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

    async def never(talker: Talker, writer: asyncio.StreamWriter) -> None:
        asked.append(b"proxy")

    async with talking(talk) as (url, _), talking(never) as (proxy, _):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        async with open_session(connector(Policy(allow_private=True), limit=4)) as session:
            assert (await Sender(session).send(job(url), b"{}", None)).accepted
            assert len(session.cookie_jar) == 0
    assert asked == []
