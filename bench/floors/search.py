"""The floor of searching: the same query bodies sent directly to Elasticsearch, by its own client. ``PORT FILE``.

``POST /<connections>/<seconds>`` keeps that many searches running and returns the result: ``{"rate", "times"}``.
"""

import asyncio
import itertools
import sys
import time
from pathlib import Path

import orjson
import uvicorn
from elasticsearch import AsyncElasticsearch
from fastapi import FastAPI

from newswire.http.application import run


async def serve(port: int, file: Path) -> None:
    """Serve until stopped."""
    asked = orjson.loads(file.read_bytes())
    calls = itertools.cycle(asked["calls"])
    app = FastAPI()
    async with AsyncElasticsearch(asked["url"], basic_auth=asked["basic_auth"], request_timeout=60) as client:

        @app.post("/{connections}/{seconds}")
        async def search(connections: int, seconds: float) -> dict[str, object]:
            times: list[float] = []
            began = time.perf_counter()

            async def work() -> None:
                while (sent := time.perf_counter()) < began + seconds:
                    await client.perform_request(**next(calls))
                    times.append((time.perf_counter() - sent) * 1000)

            await asyncio.gather(*(work() for _ in range(connections)))
            return {"rate": len(times) / (time.perf_counter() - began), "times": times}

        await uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off")).serve()


if __name__ == "__main__":
    run(serve(int(sys.argv[1]), Path(sys.argv[2])))
