"""A backup of an earlier state of Newswire can be restored: articles, search, subscriptions and waiting deliveries.

`backup-0.1.0.nw` was created by the last commit before consumers ran on FastStream, on a machine whose clock said October 2025.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx

from tests.cli.running import Running, newswire
from tests.polling import DEADLINE_SECONDS, until
from tests.servers.http_server import serving

BACKUP = Path(__file__).with_name("backup-0.1.0.nw")
PORT = 18765
"""The port of the endpoints in the backup."""
PUBLISHER = "nw_01k85prcvc6cpekh4zcg7y9dt2_b94a4d0f2ae5a6b94d648c9dda2d8e8f6043c8648fc48984"
SUBSCRIBER = "nw_01k85prjrt8cqyam06wczbypeq_f8bf1c894569bb16a936b3578f4089425a7233eaf02c50c7"
READER = "nw_01k85prrpjfv5r8d97r6hpmq6n_863e0da5b22c2862c628e7d1842e0b74b1db7bee6eefbd8e"
REVOKED = "nw_01k85prydn40hpyn05w0a7wfr5_3d0098d7f7c61889334dea22ea3a4a81f891c89f21d87481"
MORNING, EVENING, PRANK, NIGHT, QUIET, TOMORROW = (
    "01k85ps491xe9q8z15yqfytxsw",
    "01k85ps4dh2wf3khfnf0xggmnz",
    "01k85ps4ejns20ap527rktmc4e",
    "01k85ps4fxnjmnfg21qt4wven4",
    "01k85ps88cgtd435tp4tnagc2p",
    "01k85ps891m5ej9m2spcahkcyj",
)
PAUSED, FAILING = "sub_01k85ps46ddd7kpvyz946tcz37", "sub_01k85ps47247t5fcqnejdpe4a0"
CHANGED = {f"{PRANK}.1.retracted", f"{EVENING}.2", f"{MORNING}.2"}
"""Articles written while one endpoint failed and another subscription was paused."""


@contextmanager
def endpoints() -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Serve the endpoints of the backup; yield the received events, by path."""
    events: dict[str, list[dict[str, Any]]] = defaultdict(list)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            events[self.path].append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with serving(Handler, PORT):
        yield events


def ids(events: list[dict[str, Any]]) -> list[str]:
    return sorted(event["id"] for event in events)


def test_a_backup_of_an_earlier_state_can_be_restored(tmp_path: Path) -> None:
    restored = newswire("restore", str(BACKUP), "--data-dir", str(tmp_path / "data"))
    assert restored.returncode == 0, restored.stderr
    assert restored.stdout.startswith("6 articles and 5 subscriptions")
    with endpoints() as events:
        running = Running(tmp_path / "data", environment={"NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true"})
        try:
            check_articles(running)
            check_search(running)
            check_deliveries(running, events)
            check_later_events(running, events)
        finally:
            running.interrupt()


def ask(running: Running, method: str, path: str, key: str, body: Any = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.request(
        method, running.site + path, headers=headers, json=body, timeout=DEADLINE_SECONDS, trust_env=False
    )


def check_articles(running: Running) -> None:
    assert ask(running, "GET", "/v1/articles", REVOKED).status_code == 401
    listed = ask(running, "GET", "/v1/articles?limit=50", PUBLISHER).json()["articles"]
    assert {article["id"]: (article["version"], article["status"]) for article in listed} == {
        MORNING: (2, "published"),
        EVENING: (2, "published"),
        PRANK: (1, "retracted"),
        NIGHT: (1, "published"),
        QUIET: (1, "published"),
        TOMORROW: (0, "scheduled"),
    }
    morning = ask(running, "GET", f"/v1/articles/{MORNING}", PUBLISHER).json()
    assert morning["title"] == "Morning ferry, on time"
    assert (morning["authors"], morning["metadata"], morning["external_id"]) == (
        [{"name": "Ada Berg"}],
        {"desk": "harbour"},
        "hp-1",
    )
    evening = ask(running, "GET", f"/v1/articles/{EVENING}", PUBLISHER).json()
    assert evening["correction_note"] == "The ferry left in the evening."
    first = ask(running, "GET", f"/v1/articles/{MORNING}/versions/1", PUBLISHER).json()
    assert first["title"] == "Morning ferry"
    prank = ask(running, "GET", f"/v1/articles/{PRANK}", PUBLISHER).json()
    assert prank["reason"] == "planted by a prankster"
    repeated = {"title": "Morning ferry", "body": "<p>The Morning ferry crossed the sound.</p>", "external_id": "hp-1"}
    assert ask(running, "POST", "/v1/articles", PUBLISHER, repeated).json().get("id", MORNING) == MORNING


def check_search(running: Running) -> None:
    def found() -> dict[str, str]:
        answer = ask(running, "GET", "/v1/search?q=sound&limit=50", READER).json()
        return {article["id"]: article["title"] for article in answer["articles"]}

    until(lambda: len(found()) == 4, 60)
    assert found() == {
        MORNING: "Morning ferry, on time",
        EVENING: "Evening ferry, corrected",
        NIGHT: "Night ferry",
        QUIET: "Quiet ferry",
    }
    assert ask(running, "GET", f"/v1/search/articles/{PRANK}", READER).status_code == 410


def check_deliveries(running: Running, events: dict[str, list[dict[str, Any]]]) -> None:
    listed = ask(running, "GET", "/v1/subscriptions?limit=50", SUBSCRIBER).json()["subscriptions"]
    assert {each["channel"]["url"].rsplit("/", 1)[1]: (each["status"], each["filter"]) for each in listed} == {
        "ferries": ("active", {"topics": ["Ferries"]}),
        "query": ("active", {"query": "sound -quiet"}),
        "paused": ("paused", {}),
        "failing": ("active", {"categories": ["Transport"]}),
        "narrowed": ("active", {"topics": ["Harbours"]}),
    }
    until(lambda: len(events["/failing"]) == 4, 60)
    assert ids(events["/failing"]) == sorted(CHANGED | {f"{QUIET}.1"})
    assert ask(running, "POST", f"/v1/subscriptions/{PAUSED}/resume", SUBSCRIBER).status_code == 200
    # Held deliveries come first, and what was published during the pause follows by its backfill.
    until(lambda: len(events["/paused"]) == 4, 60)
    assert ids(events["/paused"]) == sorted(CHANGED | {f"{QUIET}.1"})
    assert ask(running, "POST", f"/v1/subscriptions/{FAILING}/pause", SUBSCRIBER).status_code == 200
    assert set(events) == {"/failing", "/paused"}, "what had been delivered is sent once more"


def check_later_events(running: Running, events: dict[str, list[dict[str, Any]]]) -> None:
    """A subscription whose filter no longer matches still receives the retraction; one that has ended does not."""
    assert ask(running, "DELETE", f"/v1/articles/{NIGHT}", PUBLISHER).status_code == 200
    expected = {"/ferries", "/query", "/narrowed", "/paused"}
    until(lambda: all(f"{NIGHT}.1.retracted" in ids(events[path]) for path in expected), 60)
    assert "/ended" not in events
    assert ids(events["/narrowed"]) == [f"{NIGHT}.1.retracted"]
