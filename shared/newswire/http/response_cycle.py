"""Writes the heads of responses.

uvicorn searches each name and each value for characters that are not allowed, joins four parts for each header, and does so again
for the headers that all responses have. Here, the lines of those are kept once they were checked.
"""

from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE, RequestResponseCycle

MAX_KEPT_LINES: Final = 512
_KEPT_NAMES: Final = frozenset(
    (
        b"cache-control",
        b"content-security-policy",
        b"content-type",
        b"cross-origin-opener-policy",
        b"referrer-policy",
        b"strict-transport-security",
        b"vary",
        b"x-content-type-options",
        b"x-frame-options",
    )
)
"""Headers with few values."""
_LEFT_TO_UVICORN: Final = frozenset((b"connection", b"transfer-encoding"))
"""Headers that say how the connection is used."""

_kept_lines: dict[tuple[bytes, bytes], bytes] = {}


class ResponseCycle(RequestResponseCycle):
    """One request and its response."""

    async def send(self, message: Any) -> None:
        """Send a part of the response."""
        if (
            message["type"] != "http.response.start"
            or self.response_started
            or not self.keep_alive
            or self.disconnected
            or self.flow.write_paused
            or (head := self._head(message)) is None
        ):
            await super().send(message)
            return
        self.response_started = True
        self.waiting_for_100_continue = False
        self.chunked_encoding = False
        self.transport.write(head)

    def _head(self, message: Any) -> bytes | None:
        """Return the head of a response with a body of known length; None if uvicorn has to write it, or to reject it."""
        lines = [STATUS_LINE[message["status"]]]
        length = None
        for name, value in (*self.default_headers, *message.get("headers", ())):
            line = _kept_lines.get((name, value))
            if line is None:
                if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
                    return None
                name = name.lower()
                if name in _LEFT_TO_UVICORN:
                    return None
                if name == b"content-length" and length is None:
                    length = int(value)
                line = b"%b: %b\r\n" % (name, value)
                if name in _KEPT_NAMES and len(_kept_lines) < MAX_KEPT_LINES:
                    _kept_lines[name, value] = line
            lines.append(line)
        if length is None:
            return None
        self.expected_content_length = length
        lines.append(b"\r\n")
        return b"".join(lines)
