"""The receivers in the documentation, run unchanged."""

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.keys import Keyspace
from newswire_ingest.app import service as ingest
from newswire_notify.settings import NotifySettings
from tests.notify.conftest import until
from tests.notify.notify_server import served
from tests.npm import node_with
from tests.polling import DEADLINE_SECONDS
from tests.servers.valkey import free_port

pytestmark = pytest.mark.slow

DOCUMENT = Path(__file__).parents[2] / "docs" / "receivers.md"
PACKAGES = Path(__file__).parent / "receivers"

Place = Callable[[str, Path], list[str]]
"""Puts a program into a folder, and returns the command that runs it."""


def in_python(program: str, folder: Path) -> list[str]:
    (folder / "receiver.py").write_text(program)
    return [sys.executable, "receiver.py"]


def in_javascript(program: str, folder: Path) -> list[str]:
    node = node_with("standardwebhooks", PACKAGES)
    (folder / "receiver.mjs").write_text(program)
    (folder / "node_modules").symlink_to(PACKAGES / "node_modules")
    return [node, "receiver.mjs"]


@contextmanager
def receiving(command: list[str], folder: Path, port: int, secret: str) -> Iterator[None]:
    environment = {"PATH": os.environ["PATH"], "PORT": str(port), "WEBHOOK_SECRET": secret}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture
async def site(redis: Redis, redis_url: str, namespace: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = NotifySettings(
        redis_url=SecretStr(redis_url), namespace=namespace, allow_volatile=True, webhook_allow_private=True
    )
    key = await create_key(redis, Keyspace(namespace), "Harbour Gazette", {Scope.PUBLISH, Scope.SUBSCRIBE})
    headers = {"Authorization": f"Bearer {key.token}"}
    async with (
        served(redis, settings, partial(ingest, settings)) as (url, _),
        httpx.AsyncClient(base_url=url, timeout=DEADLINE_SECONDS, headers=headers) as http,
    ):
        yield http


@pytest.mark.parametrize(("language", "place"), [("python", in_python), ("javascript", in_javascript)])
async def test_the_documented_receiver_stores_what_is_published(
    site: httpx.AsyncClient, language: str, place: Place, tmp_path: Path
) -> None:
    [program] = re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    command, port = place(program, tmp_path), free_port()
    url = f"http://127.0.0.1:{port}/"

    async def post(path: str, status: int, **sent: Any) -> dict[str, Any]:
        answer = await site.post(path, json=sent)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def publish(title: str) -> str:
        return str((await post("/v1/articles", 201, title=title, body=f"<p>{title}.</p>"))["id"])

    subscription = await post("/v1/subscriptions", 201, channel={"type": "webhook", "url": url})
    mine = f"/v1/subscriptions/{subscription['id']}"
    held: dict[str, Any] = {}

    async def holds(wanted: dict[str, Any]) -> None:
        async with httpx.AsyncClient(trust_env=False) as http:

            async def delivered() -> bool:
                try:
                    held.clear()
                    held.update((await http.get(url)).json())
                except httpx.TransportError:
                    return False
                return held == wanted

            await until(delivered, 30)

    with receiving(command, tmp_path, port, subscription["secret"]):
        await holds({})
        consenting = await site.patch(mine, json={"channel": {"verify": True}})
        assert consenting.json()["channel"]["verified_origin"] == "127.0.0.1", consenting.text
        assert (await post(f"{mine}/test", 200))["delivered"] is True
        first, second = await publish("First"), await publish("Second")
        changed = await site.put(f"/v1/articles/{first}", json={"title": "First, changed", "body": "<p>Changed.</p>"})
        assert changed.status_code == 200
        assert (await site.delete(f"/v1/articles/{second}")).status_code == 200
        expected: dict[str, Any] = {
            first: {"version": 2, "gone": False, "title": "First, changed"},
            second: {"version": 1, "gone": True, "title": None},
        }
        await holds(expected)

        await post(f"{mine}/secret/rotate", 200)  # the receiver knows the former secret alone
        third = await publish("Third")
        expected[third] = {"version": 1, "gone": False, "title": "Third"}
        await holds(expected)

        await post(f"{mine}/replay", 202, since="2026-01-01T00:00:00Z")

        async def replayed() -> bool:
            return bool((await site.get(f"{mine}/replay")).json()["state"] == "done")

        await until(replayed, 30)
        await holds(expected)
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.post(url, content=b"{}")).status_code == 401
            forged = {"webhook-id": "x", "webhook-timestamp": "1790000000", "webhook-signature": "v1,AAAA"}
            assert (await http.post(url, content=b"{}", headers=forged)).status_code == 401
        await holds(expected)
