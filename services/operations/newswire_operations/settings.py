"""Where operations finds the services: environment variables named ``NEWSWIRE_…``."""

from typing import Annotated

import httpx
from pydantic import AnyUrl, Field, UrlConstraints
from pydantic_settings import NoDecode

from newswire.settings import Commas, Settings

Address = Annotated[AnyUrl, UrlConstraints(allowed_schemes=["http"], host_required=True)]
Addresses = Annotated[list[Address], NoDecode, Commas, Field(min_length=1)]


class OperationsSettings(Settings):
    """The addresses of the services, separated by commas, in addition to the settings that all services share."""

    ingest_urls: Addresses = [AnyUrl("http://127.0.0.1:8001")]
    search_urls: Addresses = [AnyUrl("http://127.0.0.1:8002")]
    notify_urls: Addresses = [AnyUrl("http://127.0.0.1:8003")]

    @property
    def addresses(self) -> dict[str, list[httpx.URL]]:
        """The addresses of each service, by its name."""
        urls = {"ingest": self.ingest_urls, "search": self.search_urls, "notify": self.notify_urls}
        return {name: [httpx.URL(str(url)) for url in found] for name, found in urls.items()}
