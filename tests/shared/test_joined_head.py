"""The head of a response is written with the beginning of its body, and never later than the next turn of the event loop."""

import asyncio
from collections.abc import Iterable

from newswire.http.joined_head import JoinedHead


class Recorded(asyncio.Transport):
    """A transport that records what is written to it, and in how many calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.calls.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.calls.append(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


async def test_head_and_body_are_written_together() -> None:
    transport = Recorded()
    joined = JoinedHead(transport, asyncio.get_running_loop())
    joined.write(b"head ")
    assert transport.calls == []
    joined.write(b"body")
    joined.write(b" and more")
    await asyncio.sleep(0)
    assert transport.calls == [b"head body", b" and more"]


async def test_head_without_a_body_is_written_in_the_next_turn() -> None:
    transport = Recorded()
    joined = JoinedHead(transport, asyncio.get_running_loop())
    joined.write(b"head ")
    await asyncio.sleep(0)
    assert transport.calls == [b"head "]
    joined.write(b"event")
    assert transport.calls == [b"head ", b"event"]


async def test_what_is_kept_is_written_on_request_and_before_closing() -> None:
    transport = Recorded()
    joined = JoinedHead(transport, asyncio.get_running_loop())
    joined.write(b"head")
    joined.flush()
    assert transport.calls == [b"head"]
    other = JoinedHead(transport, asyncio.get_running_loop())
    other.write(b"second head")
    other.close()
    assert transport.calls == [b"head", b"second head"]
    assert other.is_closing()


async def test_nothing_is_written_to_a_closed_connection() -> None:
    transport = Recorded()
    joined = JoinedHead(transport, asyncio.get_running_loop())
    joined.write(b"head")
    transport.close()
    await asyncio.sleep(0)
    joined.flush()
    assert transport.calls == []
