"""Large JSON bodies that arrive together are parsed one at a time, and clients take turns."""

import asyncio

from fastapi import FastAPI
from starlette.requests import Request

from newswire.concurrency.fair_slots import FairSlots
from newswire.concurrency.fair_threads import current_client
from newswire.http.request_parsing import PARSED_AT_ONCE_BYTES, parsing_turn

LARGE = PARSED_AT_ONCE_BYTES + 1


def a_request() -> Request:
    app = FastAPI()
    app.state.parsing_turns = FairSlots(1)
    return Request({"type": "http", "app": app})


async def test_the_loop_serves_others_after_each_large_body() -> None:
    request, order = a_request(), list[str]()

    async def parse() -> None:
        await parsing_turn(request, LARGE)
        order.append("parsed")
        asyncio.get_running_loop().call_soon(order.append, "others")

    await asyncio.gather(*(parse() for _ in range(8)))
    await asyncio.sleep(0)
    assert order == ["parsed", "others"] * 8


async def test_clients_take_turns() -> None:
    request, order = a_request(), list[str]()

    async def parse(client: str) -> None:
        current_client.set(client)
        await parsing_turn(request, LARGE)
        order.append(client)

    await asyncio.gather(*(parse("busy") for _ in range(5)), parse("other"))
    assert order == ["busy", "busy", "other", "busy", "busy", "busy"]


async def test_a_small_body_does_not_wait() -> None:
    request, order = a_request(), list[str]()

    async def parse(size: int) -> None:
        await parsing_turn(request, size)
        order.append("large" if size == LARGE else "small")

    await asyncio.gather(parse(LARGE), parse(LARGE), parse(PARSED_AT_ONCE_BYTES))
    assert order == ["large", "small", "large"]


async def test_a_client_that_left_while_it_waited_keeps_no_turn() -> None:
    request = a_request()
    await parsing_turn(request, LARGE)
    waiting = asyncio.create_task(parsing_turn(request, LARGE))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(60):
        await parsing_turn(request, LARGE)
