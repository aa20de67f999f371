"""The API documents of all three services as one: they are made from the services' code, which is the same everywhere."""

from contextlib import AsyncExitStack

import httpx
from starlette.responses import Response

from newswire.http.application import create_app
from newswire.settings import Settings
from newswire.storage.redis_client import open_redis
from newswire_ingest.app import service as ingest
from newswire_notify.app import service as notify
from newswire_search.app import service as search
from newswire_search.settings import SearchSettings

DOCUMENTS = ("/openapi.json", "/docs", "/asyncapi")


async def describe_services(settings: Settings) -> dict[str, Response]:
    """Return the documents of an app of all three services, by path. The app is never served and opens no connection."""
    search_settings = SearchSettings(
        **settings.model_dump() | {"index": "elasticsearch"}
    )  # the embedded index needs a folder
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(open_redis(settings.redis_url.get_secret_value()))
        factories = (ingest(settings), search(search_settings), notify(settings))
        services = [await stack.enter_async_context(factory) for factory in factories]
        app = create_app(services, settings, redis=redis)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=settings.site) as client:
            responses = {path: (await client.get(path)).raise_for_status() for path in DOCUMENTS}
    return {
        path: Response(response.content, media_type=response.headers["Content-Type"])
        for path, response in responses.items()
    }
