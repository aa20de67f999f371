"""Bodies of responses that are written straight to their connections, for parts that many responses share.

An ASGI application sends a part by waking the task of the response, which passes it through every middleware to the server. For an
event that thousands of open streams receive, that costs several times as much as writing to the socket. A `DirectBody` belongs to
one response whose head was sent in the usual way; writing to it neither waits nor copies, and is refused while the client lags
behind: then the application sends in the usual way, which waits.
"""

import asyncio

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from newswire.shared_parts import SharedPart


class DirectBody:
    """The body of a response of this server."""

    __slots__ = ("_chunked", "_cycle", "_flow", "_transport")

    def __init__(self, cycle: RequestResponseCycle, flow: FlowControl, transport: asyncio.Transport) -> None:
        """Continue a response whose head was sent."""
        self._cycle = cycle
        self._flow = flow
        self._transport = transport
        self._chunked = bool(cycle.chunked_encoding)

    def write(self, part: SharedPart) -> bool:
        """Write a part, unless earlier parts still wait to be read by the client, or the response has ended."""
        cycle = self._cycle
        if self._flow.write_paused or cycle.disconnected or cycle.response_complete:
            return False
        self._transport.write((part.framed or _framed(part)) if self._chunked else part.data)
        return True


def _framed(part: SharedPart) -> bytes:
    """Frame a part as a chunk (RFC 9112, section 7.1), once for all responses."""
    part.framed = framed = b"%x\r\n%b\r\n" % (len(part.data), part.data)
    return framed
