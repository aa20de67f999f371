"""A mail server that counts. ``PORT SMTP_PORT``: ``GET /`` returns ``{"count", "last"}``, as `bench.receiver` does."""

import sys

import orjson

from bench.receiver import listen as listen_http
from newswire.http.application import run
from tests.servers.smtp_sink import SmtpSink
from tests.servers.smtp_sink import listen as listen_smtp


async def serve(port: int, smtp_port: int) -> None:
    """Serve until stopped."""
    sink = SmtpSink(keep=False)

    def answer(_: bytes) -> bytes:
        tally = orjson.dumps({"count": sink.count, "last": sink.last})
        return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(tally), tally)

    async with listen_smtp(sink, smtp_port), await listen_http(port, answer) as http:
        await http.serve_forever()


if __name__ == "__main__":
    run(serve(int(sys.argv[1]), int(sys.argv[2])))
