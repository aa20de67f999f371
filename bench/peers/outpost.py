"""Outpost, as its documentation recommends: API, delivery and log, each in a process, on RabbitMQ, Redis and PostgreSQL."""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from bench.load import json_request, request
from bench.one_to_one import Fsync
from bench.peers.contestants import Conditions, Story, WebhookService
from bench.peers.outpost_stores import needed, postgresql, rabbitmq, redis
from bench.peers.programs import PATIENCE, UnavailableError, found, running, version_of
from bench.servers import Server, answers
from newswire.storage.redis_client import open_redis
from tests.servers.valkey import free_port

_KEY, _TOPIC, _API = "bench", "article.published", "/api/v1"
CONCURRENCY = 50
"""Deliveries at a time; its default is 1."""


@asynccontextmanager
async def webhooks(conditions: Conditions) -> AsyncIterator[WebhookService]:
    """Run Outpost and its servers.

    Raises:
        UnavailableError: something is not installed or cannot be started.
    """
    control, server = found("outpost", conditions.programs), found("outpost-server", conditions.programs)
    needed()
    with ExitStack() as stack:
        conditions.tell("Outpost: starting its servers")
        folder = conditions.folder
        memory, queue = stack.enter_context(redis(folder)), stack.enter_context(rabbitmq(folder))
        database = stack.enter_context(postgresql(folder / "outpost-postgresql.log"))
        environment = os.environ | {
            "API_KEY": _KEY,
            "API_JWT_SECRET": "bench",
            "AES_ENCRYPTION_SECRET": "sixteen bytes!!!",
            "TOPICS": _TOPIC,
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(memory.port),
            "REDIS_PASSWORD": "bench",
            "REDIS_DATABASE": "0",
            "RABBITMQ_SERVER_URL": f"amqp://guest:guest@127.0.0.1:{queue.port}",
            "POSTGRES_URL": f"postgres://bench@127.0.0.1:{database.port}/postgres?sslmode=disable",
            "DELIVERY_MAX_CONCURRENCY": str(CONCURRENCY),
            "MAX_DESTINATIONS_PER_TENANT": str(conditions.endpoints),
            "DISABLE_TELEMETRY": "true",
        }
        _migrate(control, environment, folder)
        started = [stack.enter_context(_part(server, part, environment, folder)) for part in ("api", "delivery", "log")]
        site = started[0].site

        async def set_fsync(policy: Fsync) -> None:
            async with open_redis(f"redis://:bench@127.0.0.1:{memory.port}/0") as connection:
                await connection.config_set("appendfsync", policy)

        yield WebhookService(
            "Outpost",
            version_of(control, "--version"),
            f"API, delivery and log, a process each; {CONCURRENCY} deliveries at a time; RabbitMQ, Redis, PostgreSQL",
            site,
            202,
            _publication,
            [part.process for part in started],
            [memory.process, queue.process, database.process],
            site,
            _subscriptions,
            set_fsync,
        )


def _migrate(program: str, environment: Mapping[str, str], folder: Path) -> None:
    command = [program, "migrate", "apply", "--yes"]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode:
        raise UnavailableError(f"outpost migrate: {(done.stdout + done.stderr)[-500:]}")


@contextmanager
def _part(program: str, part: str, environment: Mapping[str, str], folder: Path) -> Iterator[Server]:
    port = free_port()
    site, settings = f"http://127.0.0.1:{port}", {**environment, "SERVICE": part, "API_PORT": str(port)}
    with running([program], folder / f"outpost-{part}.log", lambda: answers(f"{site}/healthz"), settings) as process:
        yield Server(site, process)


def _publication(story: Story) -> bytes:
    body = b'{"tenant_id":"%b","topic":"%b","data":%b}' % (
        _tenant(story.category).encode(),
        _TOPIC.encode(),
        story.event,
    )
    return request("POST", f"{_API}/publish", body, content_type="application/json", authorization=f"Bearer {_KEY}")


def _subscriptions(category: str, endpoint: str) -> list[bytes]:
    """Return the requests for the tenant, which stands for a category, and for its endpoint."""
    tenant = f"{_API}/tenants/{_tenant(category)}"
    destination = {"type": "webhook", "topics": [_TOPIC], "config": {"url": endpoint}}
    return [
        request("PUT", tenant, authorization=f"Bearer {_KEY}"),
        json_request(f"{tenant}/destinations", destination, _KEY),
    ]


def _tenant(category: str) -> str:
    return category.lower().replace(" ", "-")
