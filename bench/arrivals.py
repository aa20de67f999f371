"""A webhook receiver that notes when each event arrived. ``PORT``

The title of an event contains its number, as ``zq17x``. A POST of ``count`` returns how many events arrived, of ``arrivals`` the
number and the time of each on the clock of `time.perf_counter`, which all processes share; of ``tally`` the number of events, of
webhooks, and the time of the last one; ``forget`` begins again.
"""

import sys
import time

import orjson

from bench.receiver import ACCEPTED, listen
from newswire.http.application import run

_MARK = b" zq"


async def note(port: int) -> None:
    """Note arrivals until stopped."""
    arrived: dict[bytes, float] = {}
    webhooks, last = 0, 0.0

    def take(body: bytes) -> bytes:
        nonlocal webhooks, last
        at = body.find(_MARK)
        if at >= 0:
            number = body[at + len(_MARK) : body.index(b"x", at)]
            webhooks, last = webhooks + 1, time.perf_counter()
            arrived.setdefault(number, last)
            return ACCEPTED
        match body:
            case b"forget":
                arrived.clear()
                webhooks = 0
                answer = b"null"
            case b"count":
                answer = orjson.dumps(len(arrived))
            case b"tally":
                answer = orjson.dumps({"events": len(arrived), "webhooks": webhooks, "last": last})
            case _:
                answer = orjson.dumps([(number.decode(), when) for number, when in arrived.items()])
        return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer)

    async with await listen(port, take) as server:
        await server.serve_forever()


if __name__ == "__main__":
    run(note(int(sys.argv[1])))
