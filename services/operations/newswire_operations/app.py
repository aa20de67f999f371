"""The operations service. It stores nothing and connects to no store: it queries the services over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from newswire.http.application import Service
from newswire_operations.api import router
from newswire_operations.documents import describe_services
from newswire_operations.settings import OperationsSettings


@asynccontextmanager
async def service(settings: OperationsSettings | None = None) -> AsyncIterator[Service]:
    """Open an HTTP client for the services and return the routes that answer for all of them."""
    own = settings or OperationsSettings()
    documents = await describe_services(own)
    async with httpx.AsyncClient(trust_env=False) as http:
        yield Service("operations", routers=[router(http, own.addresses, documents)])
