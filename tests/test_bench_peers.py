"""Peers that cannot be measured are skipped, with the reason; the figures of others are shown with their ranges."""

import asyncio
import json
import os
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest

from bench.load import request
from bench.peers import centrifugo, mercure, outpost
from bench.peers.contestants import Conditions, Streaming
from bench.peers.programs import UnavailableError, built
from bench.peers.report import store
from bench.peers.rounds import STREAMS, Results, started
from bench.peers.streams import BrokenStreamError, Reading


@pytest.fixture
def conditions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Conditions:
    """A machine without any program."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    return Conditions(tmp_path, tmp_path / "programs", readers=10, endpoints=10, singles=10, seconds=0.1)


async def test_contestants_that_are_not_available_are_skipped_with_the_reason(conditions: Conditions) -> None:
    peers = {name: start for name, start in STREAMS.items() if name != "Newswire"}
    results = Results()
    async with AsyncExitStack() as stack:
        assert await started(stack, peers, conditions, results) == []
        with pytest.raises(UnavailableError, match="outpost is neither in"):
            await stack.enter_async_context(outpost.webhooks(conditions))
    assert "mercure is neither in" in results.skipped["Mercure"]
    assert "Go, which would build it, is not in PATH" in results.skipped["Centrifugo"]
    assert results.contestants == {}


def test_what_go_says_is_the_reason(conditions: Conditions) -> None:
    _program(conditions.folder / "empty" / "go", "#!/bin/sh\necho 'server response: not available' >&2\nexit 1\n")
    with pytest.raises(UnavailableError, match=r"go install .*centrifugo/v6@\S+: server response: not available"):
        built("centrifugo", centrifugo.PACKAGE, conditions.programs)


async def test_a_missing_server_is_the_reason(conditions: Conditions, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("outpost", "outpost-server"):
        _program(conditions.programs / name, "#!/bin/sh\n")
    monkeypatch.setattr("bench.peers.outpost_stores._FOLDERS", ())
    with pytest.raises(UnavailableError, match="rabbitmq-server, epmd, redis-server, initdb, postgres"):
        async with outpost.webhooks(conditions):
            pass


async def test_a_program_that_ends_at_once_is_the_reason(conditions: Conditions) -> None:
    _program(conditions.programs / "mercure", "#!/bin/sh\necho 'no such module' >&2\nexit 1\n")
    with pytest.raises(UnavailableError, match="did not start: no such module"):
        async with mercure.stream(conditions):
            pass


def test_works_that_were_measured_apart_are_kept_in_one_file(tmp_path: Path) -> None:
    file = tmp_path / "peers.json"
    store(file, "webhooks", {"rate": 1234.5678})
    store(file, "streams", {"rate": 0.5})
    assert json.loads(file.read_text()) == {"webhooks": {"rate": 1235}, "streams": {"rate": 0.5}}


async def test_a_round_without_figures_is_an_error_with_the_reason_and_the_next_one_connects_again() -> None:
    streams_open: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        streams_open.append(writer)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nretry: 1\n\n")

    async def close() -> None:
        for writer in streams_open:
            writer.close()
        streams_open.clear()

    async def send() -> None:
        for writer in streams_open:
            writer.write(b"data: {}\n\n")

    async def fail() -> None:
        await send()
        raise ConnectionError("the server closed the connection")

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        site = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        streaming = Streaming(site, request("GET", "/"), b"retry: ", b"}\n\n")
        with closing(await asyncio.to_thread(Reading, streaming, 2)) as readers:
            with pytest.raises(BrokenStreamError, match="the server closed the connection"):
                await readers.arrivals(1, close)
            assert list(map(len, await readers.arrivals(1, send))) == [2]
            with pytest.raises(BrokenStreamError, match="a publication failed"):
                await readers.arrivals(1, fail)
            assert list(map(len, await readers.arrivals(1, send))) == [2]
        await close()


def _program(file: Path, content: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(content)
    os.chmod(file, 0o755)
