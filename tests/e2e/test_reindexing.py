"""A new index is built during writes and searches, without interruption, even if the reindex is killed.

``NEWSWIRE_REINDEXED_ARTICLES=19000`` sets the number of articles; by default it is a few hundred.
"""

import json
import os
import random
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from tests.cli.running import BARE, NEWSWIRE
from tests.e2e.conftest import Newswire
from tests.e2e.test_main_job import bearer
from tests.polling import DEADLINE_SECONDS, until

ON_RECORD = int(os.environ.get("NEWSWIRE_REINDEXED_ARTICLES", "400"))
WRITES, SEARCHES = 20, 20
"""Per second."""
DEADLINE = 600.0
LATEST = 60.0
"""Seconds after which an accepted article must be found, on a machine of any load."""


@dataclass
class Desk:
    """Publishes, changes and retracts, and checks the results of searches."""

    installed: Newswire
    chance: random.Random = field(default_factory=lambda: random.Random(5))
    ids: dict[str, str] = field(default_factory=dict)
    accepted: dict[str, float] = field(default_factory=dict)
    """For each word, the latest time from which on it must be found."""
    found: set[str] = field(default_factory=set)
    """Words that a search has found: from then on, every search must find them."""
    retracted: dict[str, float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {"writes": 0, "searches": 0})
    stopping: threading.Event = field(default_factory=threading.Event)
    number: int = 0

    def draft(self) -> tuple[str, dict[str, str]]:
        self.number += 1
        word = f"zq{self.number}x"
        return word, {"title": f"Harbour notes {word}", "body": f"<p>The {word} ferry left the quay on time.</p>"}

    def fill(self, count: int) -> None:
        with self._client(self.installed.ingest, self.installed.publisher_key) as client:
            for at in range(0, count, 500):
                drafts = [self.draft() for _ in range(min(500, count - at))]
                lines = "\n".join(json.dumps(draft) for _, draft in drafts)
                answer = client.post(
                    "/v1/articles/batch", content=lines, headers={"Content-Type": "application/x-ndjson"}
                )
                assert answer.status_code == 200, answer.text
                for (word, _), line in zip(drafts, answer.text.splitlines(), strict=True):
                    self.ids[word] = json.loads(line)["id"]
                    self.accepted[word] = time.monotonic()
        until(lambda: self._total() >= count, 300)
        self.found.update(self.accepted)

    def _total(self) -> int:
        answer = httpx.get(f"{self.installed.search}/v1/search?limit=1", trust_env=False)
        return int(answer.json()["total"]) if answer.status_code == 200 else 0

    def write(self) -> None:
        with self._client(self.installed.ingest, self.installed.publisher_key) as client:
            self._steadily(WRITES, lambda: self._write(client))

    def _write(self, client: httpx.Client) -> None:
        self.counts["writes"] += 1
        kind = self.chance.random()
        if kind < 0.1:
            word = self.chance.choice(list(self.accepted))
            del self.accepted[word]
            assert client.delete(f"/v1/articles/{self.ids[word]}").status_code == 200
            self.retracted[word] = time.monotonic()
            return
        word, draft = self.draft()
        if kind < 0.2:
            old = self.chance.choice(list(self.accepted))
            del self.accepted[old]
            changed = client.patch(
                f"/v1/articles/{self.ids[old]}",
                content=json.dumps(draft),
                headers={"Content-Type": "application/merge-patch+json"},
            )
            assert changed.status_code == 200, changed.text
            self.ids[word] = self.ids[old]
        else:
            made = client.post("/v1/articles", json=draft)
            assert made.status_code == 201, made.text
            self.ids[word] = made.json()["id"]
        self.accepted[word] = time.monotonic()

    def search(self) -> None:
        with self._client(self.installed.search, None) as client:
            self._steadily(SEARCHES, lambda: self._search(client))

    def _search(self, client: httpx.Client) -> None:
        self.counts["searches"] += 1
        if self.retracted and self.chance.random() < 0.3:
            word, expected = self.chance.choice(list(self.retracted)), 0
        else:
            word, expected = self.chance.choice(self._matching_ids()), 1
        asked_at = time.monotonic()
        answer = client.get("/v1/search", params={"q": word})
        if answer.status_code != 200:
            self.wrong.append(f"{answer.status_code} {answer.text}")
            return
        total = answer.json()["total"]
        if expected == 0:
            right = total == 0
        elif (since := self.accepted.get(word)) is None:
            return  # it was changed or retracted meanwhile
        else:
            right = total == 1 or (total == 0 and word not in self.found and asked_at - since < LATEST)
            if total == 1:
                self.found.add(word)
        if not right:
            self.wrong.append(f"{word}: {total} instead of {expected}{', as before' * (word in self.found)}")

    def _matching_ids(self) -> list[str]:
        """Return every word, or only the newest ones, which a new index would lack first."""
        words = list(self.accepted)
        return words[-50:] if self.chance.random() < 0.5 else words

    def until_found(self) -> None:
        """Wait until the newest words are found."""
        newest = list(self.accepted)[-50:]
        with self._client(self.installed.search, None) as client:
            until(
                lambda: all(client.get("/v1/search", params={"q": word}).json()["total"] == 1 for word in newest),
                LATEST,
            )

    def _steadily(self, rate: float, work: Callable[[], None]) -> None:
        due = time.monotonic()
        while not self.stopping.is_set():
            due = max(due + 1 / rate, time.monotonic() - 1)
            self.stopping.wait(max(0.0, due - time.monotonic()))
            try:
                work()
            except (AssertionError, httpx.HTTPError) as error:
                self.wrong.append(repr(error))

    def _client(self, site: str, key: str | None) -> httpx.Client:
        return httpx.Client(
            base_url=site, headers=bearer(key) if key else {}, trust_env=False, timeout=DEADLINE_SECONDS
        )


def command(installed: Newswire, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*NEWSWIRE, *words, *installed.options],
        env=BARE | installed.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> str:
    told, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, told
    return told


def test_a_new_index_is_built_during_writes_and_searches(installed: Newswire) -> None:
    desk = Desk(installed)
    desk.fill(ON_RECORD)
    others = [threading.Thread(target=work) for work in (desk.write, desk.search)]
    for thread in others:
        thread.start()
    began = time.monotonic()
    try:
        time.sleep(1)
        ended(command(installed, "reindex"))
        killed = command(installed, "reindex")
        time.sleep(1.2 if ON_RECORD < 5000 else 5)
        killed.kill()
        killed.communicate()
        told = ended(command(installed, "reindex"))
        time.sleep(1)
    finally:
        desk.stopping.set()
        for thread in others:
            thread.join()
    assert "is in use" in told
    assert not desk.wrong, desk.wrong[:5]
    seconds = time.monotonic() - began
    assert desk.counts["writes"] > 20, desk.counts
    assert desk.counts["searches"] > 10, desk.counts
    desk.until_found()
    verified = ended(command(installed, "verify"))
    assert "the index agrees" in verified
    if installed.environment:
        assert "no new index was being built" in ended(command(installed, "reindex", "--abandon"))
    else:  # the index belongs to the running process
        refused = command(installed, "reindex", "--abandon")
        assert "stop that process first" in refused.communicate(timeout=DEADLINE)[0]
        assert refused.returncode != 0
    kept = [line.split()[0] for line in told.splitlines() if "is kept" in line]
    assert kept
    dropped = ended(command(installed, "reindex", "--drop-old"))
    assert all(f"{name} is deleted" in dropped for name in kept), (told, dropped)
    assert "there is no old index" in ended(command(installed, "reindex", "--drop-old"))
    assert "the index agrees" in ended(command(installed, "verify"))
    print(f"{seconds:.0f} s, {desk.counts}\n{told}\n{verified}")  # noqa: T201 (figures for runs with -s)
