"""The floor of publishing: the least that can be done behind HTTP, with the same server, checks and AOF setting."""

import asyncio
import signal
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from newswire.app import open_redis, run
from newswire.article import ArticleDraft
from newswire_cli.valkey import embedded_valkey


async def serve(url: str, port: int) -> None:
    """Validate an article and append it to a stream; nothing else."""
    app = FastAPI()
    async with open_redis(url) as redis:

        @app.post("/v1/articles", status_code=201)
        async def publish(draft: ArticleDraft) -> dict[str, str]:
            return {"id": (await redis.xadd("floor", {"__data__": draft.model_dump_json()})).decode()}

        config = uvicorn.Config(app, port=port, log_level="error", access_log=False)
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    # uvicorn raises the signal again when it has ended; the server beside it must still be stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with embedded_valkey(Path(sys.argv[1])) as url:
        try:
            run(serve(url, int(sys.argv[2])))
        except (KeyboardInterrupt, asyncio.CancelledError):
            pass
