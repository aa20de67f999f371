"""The API documents of all three services as one: they are made from the services' code, which is the same everywhere."""

from contextlib import AsyncExitStack

import httpx
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from starlette.responses import Response

from newswire.http.application import create_app
from newswire.settings import Settings
from newswire.storage.redis_client import open_redis
from newswire_ingest.app import service as ingest
from newswire_ingest.settings import IngestSettings
from newswire_notify.app import service as notify
from newswire_notify.settings import NotifySettings
from newswire_search.app import service as search
from newswire_search.settings import SearchSettings

DOCUMENTS = ("/openapi.json", "/docs", "/asyncapi")


class _FromArguments(Settings):
    """Settings that no variable changes.

    The documents depend on the shared settings alone. Those of one service may name files, such as the key that signs mails, that
    exist only where the service runs.
    """

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


class _Ingest(_FromArguments, IngestSettings):
    pass


class _Search(_FromArguments, SearchSettings):
    pass


class _Notify(_FromArguments, NotifySettings):
    pass


async def describe_services(settings: Settings) -> dict[str, Response]:
    """Return the documents of an app of all three services, by path. The app is never served and opens no connection."""
    shared = settings.model_dump(include=set(Settings.model_fields))
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(open_redis(settings.redis_url.get_secret_value(), settings.namespace))
        # The embedded index needs a folder.
        factories = (
            ingest(_Ingest(**shared)),
            search(_Search(**shared, index="elasticsearch")),
            notify(_Notify(**shared)),
        )
        services = [await stack.enter_async_context(factory) for factory in factories]
        app = create_app(services, settings, redis=redis)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=settings.site) as client:
            responses = {path: (await client.get(path)).raise_for_status() for path in DOCUMENTS}
    return {
        path: Response(response.content, media_type=response.headers["Content-Type"])
        for path, response in responses.items()
    }
