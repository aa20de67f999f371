"""Heads of responses are written byte for byte as uvicorn writes them, and refused where it refuses them."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from newswire.http.response_cycle import ResponseCycle
from tests.shared.test_joined_head import Recorded

JSON = (b"content-type", b"application/json")
BODY = {"type": "http.response.body", "body": b"12345"}
HEADERS: list[list[tuple[bytes, bytes]]] = [
    [JSON, (b"content-length", b"5")],
    [
        (b"Content-Type", b"text/html; charset=utf-8"),
        (b"Content-Length", b"5"),
        (b"ETag", b'"a"'),
        (b"Vary", b"Accept"),
    ],
    [JSON],
    [JSON, (b"content-length", b"4")],
    [JSON, (b"content-length", b"6")],
    [JSON, (b"content-length", b"5"), (b"content-length", b"7")],
    [JSON, (b"transfer-encoding", b"chunked")],
    [(b"content-length", b"5"), (b"connection", b"close")],
    [(b"content-length", b"5"), (b"Connection", b"keep-alive")],
    [(b"content-length", b"5"), (b"x bad", b"a")],
    [(b"content-length", b"5"), (b"vary", b"a\r\nb: c")],
    [],
]


async def written(kind: type[RequestResponseCycle], status: int, method: str, keep_alive: bool, headers: Any) -> Any:
    """Return what a cycle writes for a response, its state afterwards, and the error if it refuses the response."""
    transport = Recorded()
    cycle = kind(
        scope=cast("Any", {"method": method}),
        transport=transport,
        flow=cast("Any", SimpleNamespace(write_paused=False)),
        logger=logging.getLogger(),
        access_logger=logging.getLogger(),
        access_log=False,
        default_headers=[(b"date", b"now"), (b"Server", b"x")],
        message_event=asyncio.Event(),
        expect_100_continue=True,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )
    error = None
    try:
        await cycle.send(cast("Any", {"type": "http.response.start", "status": status, "headers": headers}))
        await cycle.send(cast("Any", BODY))
    except (RuntimeError, ValueError) as raised:
        error = repr(raised)
    flags = (cycle.keep_alive, cycle.response_complete, cycle.chunked_encoding, cycle.waiting_for_100_continue)
    return b"".join(transport.calls), transport.closed, flags, error


@pytest.mark.parametrize("headers", HEADERS)
async def test_responses_are_written_as_uvicorn_writes_them(headers: list[tuple[bytes, bytes]]) -> None:
    for status, method in ((200, "GET"), (201, "POST"), (404, "HEAD"), (304, "GET")):
        for keep_alive in (True, False):
            expected = await written(RequestResponseCycle, status, method, keep_alive, headers)
            for _ in range(2):  # the second time with lines that were kept
                assert await written(ResponseCycle, status, method, keep_alive, headers) == expected
