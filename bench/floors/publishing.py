"""The floor of publishing: validate an article, append it to a stream, respond. ``PORT REDIS_URL``."""

import sys

import uvicorn
from fastapi import FastAPI

from newswire.article import ArticleDraft
from newswire.http.application import run
from newswire.storage.redis_client import open_redis


async def serve(port: int, url: str) -> None:
    """Serve until stopped."""
    app = FastAPI()
    async with open_redis(url) as redis:

        @app.post("/v1/articles", status_code=201)
        async def publish(draft: ArticleDraft) -> dict[str, str]:
            return {"id": (await redis.xadd("bench:floor", {"__data__": draft.model_dump_json()})).decode()}

        config = uvicorn.Config(app, port=port, log_level="error", access_log=False, lifespan="off")
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    run(serve(int(sys.argv[1]), sys.argv[2]))
