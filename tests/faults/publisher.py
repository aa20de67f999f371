"""A publisher as clients should be: it repeats what was not answered, under the same Idempotency-Key, until it is."""

import asyncio
import secrets
import time
from collections import Counter
from typing import Any

import httpx

from tests.e2e.test_main_job import bearer
from tests.faults.accounting import Acknowledged

CATEGORY = "Drill"
RETRACTED_ONE_IN = 10
AGAIN = frozenset((429, 502, 503, 504))
"""Statuses after which a request may be repeated as it was."""


class Publisher:
    """A client that does not give up: what it got a 2xx for, and what it was told on the way."""

    def __init__(self, site: str, key: str) -> None:
        self.site = site
        self.key = key
        self.acknowledged: dict[str, Acknowledged] = {}
        self.statuses: Counter[str] = Counter()

    async def publish_for(self, seconds: float, rate: float) -> None:
        """Begin ``rate`` articles a second, and end when all of them are acknowledged."""
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(timeout=15, trust_env=False, limits=limits) as http, asyncio.TaskGroup() as tasks:
            for number in range(round(seconds * rate)):
                tasks.create_task(self._one(http, number))
                await asyncio.sleep(1 / rate)

    async def _one(self, http: httpx.AsyncClient, number: int) -> None:
        sent = {
            "title": f"Drill report {number}",
            "body": f"<p>Number {number} of the drill, {secrets.token_hex(8)}.</p>",
            "category": CATEGORY,
            "external_id": f"drill-{number}",
        }
        answer = await self._until_answered(http, "POST", f"{self.site}/v1/articles", json=sent)
        article = answer.json()
        self.acknowledged[article["id"]] = Acknowledged(article["id"], article["version"])
        if number % RETRACTED_ONE_IN == 0:
            await asyncio.sleep(2)
            await self._until_answered(http, "DELETE", f"{self.site}/v1/articles/{article['id']}")
            self.acknowledged[article["id"]] = Acknowledged(article["id"], article["version"], retracted=True)

    async def _until_answered(self, http: httpx.AsyncClient, method: str, url: str, **content: Any) -> httpx.Response:
        headers = bearer(self.key) | {"Idempotency-Key": secrets.token_hex(12)}
        deadline = time.monotonic() + 120
        while True:
            try:
                answer = await http.request(method, url, headers=headers, **content)
            except httpx.TransportError as error:
                told = type(error).__name__
            else:
                told = str(answer.status_code)
                if answer.status_code not in AGAIN:
                    self.statuses[told] += 1
                    answer.raise_for_status()
                    return answer
            self.statuses[told] += 1
            assert time.monotonic() < deadline, f"{method} {url} was not answered for two minutes, at last {told}"
            await asyncio.sleep(0.5)
