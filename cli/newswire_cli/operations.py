"""`newswire serve operations`: what operators and tools ask of Newswire, answered for every replica of the three services.

It holds no data and is connected to no store: it asks the services, and describes them from their code.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any

import httpx
from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import GaugeMetricFamily, Metric
from pydantic import AnyUrl, Field, UrlConstraints
from pydantic_settings import NoDecode
from starlette.responses import Response

from newswire.http.application import Service, create_app
from newswire.http.operations import summary
from newswire.settings import Commas, Settings
from newswire.storage.redis_client import open_redis
from newswire_cli.exposition import merged, parse
from newswire_cli.replicas import Answer, ask_replicas
from newswire_ingest.app import service as ingest
from newswire_notify.app import service as notify
from newswire_search.app import service as search
from newswire_search.settings import SearchSettings

DOCUMENTS = ("/openapi.json", "/docs", "/asyncapi")

Address = Annotated[AnyUrl, UrlConstraints(allowed_schemes=["http"], host_required=True)]
Addresses = Annotated[list[Address], NoDecode, Commas, Field(min_length=1)]


class OperationsSettings(Settings):
    """Where the services answer, beside what every service reads: addresses separated by commas."""

    ingest_urls: Addresses = [AnyUrl("http://127.0.0.1:8001")]
    search_urls: Addresses = [AnyUrl("http://127.0.0.1:8002")]
    notify_urls: Addresses = [AnyUrl("http://127.0.0.1:8003")]

    @property
    def addresses(self) -> dict[str, list[httpx.URL]]:
        """Where each service answers, by its name."""
        urls = {"ingest": self.ingest_urls, "search": self.search_urls, "notify": self.notify_urls}
        return {name: [httpx.URL(str(url)) for url in found] for name, found in urls.items()}


@asynccontextmanager
async def service(settings: OperationsSettings | None = None) -> AsyncIterator[Service]:
    """Open a client for the services and offer the routes of `newswire.http.operations` for all of them."""
    own = settings or OperationsSettings()
    documents = await describe_services(own)
    async with httpx.AsyncClient(trust_env=False) as http:
        yield Service("operations", routers=[router(http, own.addresses, documents)])


def router(
    http: httpx.AsyncClient, services: Mapping[str, Sequence[httpx.URL]], documents: Mapping[str, Response]
) -> APIRouter:
    """Make the routes; they stand before those that every app has."""
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> dict[str, object]:
        answers = await ask_replicas(http, services, "/healthz")
        return summary(reached(answers), "ok", replicas=replicas(answers))

    @router.get("/readyz")
    async def readyz() -> dict[str, object]:
        answers = await ask_replicas(http, services, "/readyz")
        return summary(reached(answers) | checked(answers), "ready", replicas=replicas(answers))

    @router.get("/metrics")
    async def metrics() -> Response:
        answers = await ask_replicas(http, services, "/metrics")
        return Response(merged(measured(answers)), media_type=CONTENT_TYPE_LATEST)

    for path, document in documents.items():
        router.add_api_route(path, _always(document))
    return router


async def describe_services(settings: Settings) -> dict[str, Response]:
    """Return the documents of an app of all three services, which is made without a connection and never served."""
    of_search = SearchSettings(
        **settings.model_dump() | {"index": "elasticsearch"}
    )  # the embedded index needs a folder
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(open_redis(settings.redis_url.get_secret_value()))
        factories = (ingest(settings), search(of_search), notify(settings))
        services = [await stack.enter_async_context(factory) for factory in factories]
        app = create_app(services, settings, redis=redis)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=settings.site) as asking:
            answers = {path: (await asking.get(path)).raise_for_status() for path in DOCUMENTS}
    return {
        path: Response(answer.content, media_type=answer.headers["Content-Type"]) for path, answer in answers.items()
    }


def replicas(answers: Iterable[Answer]) -> dict[str, list[str]]:
    """Return who was asked, by service."""
    asked: dict[str, list[str]] = {}
    for answer in answers:
        asked.setdefault(answer.service, []).append(answer.instance)
    return asked


def reached(answers: Iterable[Answer]) -> dict[str, str | None]:
    """Return a check for each service: do all its replicas answer, and in the form that is theirs?"""
    checks: dict[str, str | None] = {}
    for answer in answers:
        _note(checks, f"{answer.service}: replicas", answer, answer.trouble or _wrong_form(answer))
    return checks


def checked(answers: Iterable[Answer]) -> dict[str, str | None]:
    """Return the checks of all replicas, under the name of their service."""
    checks: dict[str, str | None] = {}
    for answer in answers:
        for name, said in _own_checks(answer).items():
            prefix = "" if name.startswith(f"{answer.service}: ") else f"{answer.service}: "
            _note(checks, prefix + name, answer, None if said == "ok" else str(said))
    return checks


def measured(answers: Sequence[Answer]) -> list[list[Metric]]:
    """Return the metrics of all replicas, and ``newswire_up``: which of them gave any."""
    up = GaugeMetricFamily("newswire_up", "Whether a replica gives its metrics", labels=["service", "instance"])
    pages: list[list[Metric]] = [[up]]
    for answer in answers:
        page: list[Metric] | None = None
        if answer.response is not None and answer.response.status_code == 200:
            try:
                page = parse(answer.response.text, {"service": answer.service, "instance": answer.instance})
            except ValueError:
                page = None
        up.add_metric([answer.service, answer.instance], float(page is not None))
        pages.append(page or [])
    return pages


def _note(checks: dict[str, str | None], name: str, answer: Answer, trouble: str | None) -> None:
    """Add what one replica says to a check that all replicas of its service share."""
    said = [checks.get(name), f"{answer.instance} {trouble}" if trouble else None]
    checks[name] = ", ".join(filter(None, said)) or None


def _wrong_form(answer: Answer) -> str | None:
    if answer.response is None or answer.response.status_code == 200 or _own_checks(answer):
        return None
    return f"answers {answer.response.status_code}"


def _own_checks(answer: Answer) -> dict[str, Any]:
    if answer.response is None:
        return {}
    try:
        document = answer.response.json()
    except ValueError:
        return {}
    checks = document.get("checks") if isinstance(document, dict) else None
    return checks if isinstance(checks, dict) else {}


def _always(document: Response) -> Any:
    async def answer() -> Response:
        return document

    return answer
