"""A backup of a running Newswire is restored into an empty one: everything is unchanged, and no subscriber is notified twice."""

import json
import shlex
import stat
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import zstandard

from newswire.storage.backup_file import ArchiveWriter, BackupUnreadableError, read_archive
from tests.cli.running import BARE, NEWSWIRE, Running, newswire
from tests.e2e.conftest import Receiver, receiver
from tests.polling import until

Start = Callable[..., Running]


def publish(running: Running, title: str, **more: Any) -> dict[str, Any]:
    sent = {"title": title, "body": f"<p>The {title} crossed the sound.</p>", "topics": ["Ferries"], **more}
    answer = httpx.post(f"{running.site}/v1/articles", headers=running.key("PUBLISHER"), json=sent, trust_env=False)
    assert answer.status_code == 201, answer.text
    article: dict[str, Any] = answer.json()
    return article


def retract(running: Running, article: dict[str, Any], headers: dict[str, str] | None = None) -> None:
    url = f"{running.site}/v1/articles/{article['id']}"
    answer = httpx.delete(url, headers=headers or running.key("PUBLISHER"), trust_env=False)
    assert answer.status_code == 200, answer.text


def subscribe(running: Running, url: str) -> dict[str, Any]:
    sent = {"channel": {"type": "webhook", "url": url}, "filter": {"query": "sound -quiet"}}
    made = httpx.post(f"{running.site}/v1/subscriptions", headers=running.key("SUBSCRIBER"), json=sent, trust_env=False)
    assert made.status_code == 201, made.text
    subscription: dict[str, Any] = made.json()
    return {name: value for name, value in subscription.items() if name != "secret"}


def told(subscriber: Receiver) -> Counter[str]:
    return Counter(event["id"] for event in subscriber.events())


def answers(site: str) -> Any:
    """The responses that readers get, without values that differ between requests."""
    found = httpx.get(
        f"{site}/v1/search", params={"q": "sound", "limit": 100, "sort": "newest"}, trust_env=False
    ).json()
    return {"total": found["total"], "facets": found["facets"], "articles": found["articles"]}


class Busy:
    """A publisher that publishes and retracts continuously."""

    def __init__(self, running: Running) -> None:
        self.published: list[str] = []
        self._running = running
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        while not self._stop.is_set():
            article = publish(self._running, f"Quiet number {len(self.published)}", topics=["Quiet"])
            self.published.append(article["id"])
            if len(self.published) % 3 == 0:
                retract(self._running, article)

    def __enter__(self) -> "Busy":
        self._thread.start()
        until(lambda: len(self.published) > 3)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def lines(file: Path) -> list[dict[str, Any]]:
    with zstandard.open(file, "rt", encoding="utf-8") as opened:
        return [json.loads(line) for line in opened]


def test_a_backup_of_a_running_installation_can_be_restored(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "newswire.backup"
    first = start(tmp_path / "first", "--no-samples")
    data = ["--data-dir", str(first.data_dir)]
    with receiver() as subscriber:
        subscription = subscribe(first, f"{subscriber.url}/a")
        articles = [publish(first, f"Boat {number}", external_id=f"boat-{number}") for number in range(12)]
        secret = publish(first, "Zephyrine vessel")
        until(lambda: len(told(subscriber)) == 13)
        retract(first, secret)
        until(lambda: len(told(subscriber)) == 14)
        until(lambda: answers(first.site)["total"] == 12)
        assert newswire("accounts", "create", "Reading Room", *data).returncode == 0
        narrow = '{"topics":["Ferries"]}'
        assert newswire("accounts", "set", "Reading Room", "--entitlement", narrow, *data).returncode == 0
        with Busy(first) as busy:
            made = newswire("backup", str(file), *data)
            assert made.returncode == 0, made.stderr
            published = len(busy.published)
        assert published > 4
        before = answers(first.site)["articles"]
        already = told(subscriber)
        credentials = first.credentials()
        first.interrupt()

        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert list(tmp_path.glob("newswire.backup.*")) == []
        text = json.dumps(lines(file))
        assert "Boat 7" in text
        assert "phyrine" not in text
        for record in lines(file):
            if record.get("record") == "article" and record["records"][""]["status"] == "retracted":
                assert list(record["records"]) == [""]

        restored = newswire("restore", str(file), "--data-dir", str(tmp_path / "second"))
        assert restored.returncode == 0, restored.stderr
        second = start(tmp_path / "second")
        assert "Six sample articles" not in second.told
        keys = {"Authorization": f"Bearer {credentials['NEWSWIRE_PUBLISHER_KEY']}"}
        reader = {"Authorization": f"Bearer {credentials['NEWSWIRE_SUBSCRIBER_KEY']}"}

        accounts = newswire("accounts", "list", "--data-dir", str(second.data_dir)).stdout.splitlines()
        assert [line.split("\t")[5] for line in accounts if line.startswith("Reading Room")] == [narrow]
        log = newswire("audit", "list", "--data-dir", str(second.data_dir)).stdout
        assert [act for act in ("backup.restored", "account.entitled", "key.created") if act in log] == [
            "backup.restored",
            "account.entitled",
            "key.created",
        ]
        boats = [article for article in before if article["title"].startswith("Boat")]
        assert len(boats) == 12
        until(lambda: [a for a in answers(second.site)["articles"] if a["title"].startswith("Boat")] == boats)
        listed = httpx.get(f"{second.site}/v1/subscriptions", headers=reader, trust_env=False).json()
        assert listed["subscriptions"] == [subscription]
        gone = httpx.get(f"{second.site}/v1/search/articles/{secret['id']}", trust_env=False)
        assert gone.status_code == 410

        repeated = {
            "title": "Boat 3",
            "body": "<p>The Boat 3 crossed the sound.</p>",
            "topics": ["Ferries"],
            "external_id": "boat-3",
        }
        again = httpx.post(f"{second.site}/v1/articles", headers=keys, json=repeated, trust_env=False)
        assert (again.status_code, again.json()["id"]) == (200, articles[3]["id"])
        counts = httpx.get(f"{second.site}/v1/topics", trust_env=False).json()["topics"]
        assert {"value": "Ferries", "count": 12} in counts
        sent = {"title": "Late boat", "body": "<p>It crossed the sound.</p>"}
        new = httpx.post(f"{second.site}/v1/articles", headers=keys, json=sent, trust_env=False)
        assert new.status_code == 201, new.text
        until(lambda: f"{new.json()['id']}.1" in told(subscriber))
        retract(second, articles[0], keys)
        until(lambda: f"{articles[0]['id']}.1.retracted" in told(subscriber))
        late = {f"{new.json()['id']}.1", f"{articles[0]['id']}.1.retracted"}
        assert {event: count for event, count in told(subscriber).items() if event not in late} == already
        left = [boat["id"] for boat in boats if boat["id"] != articles[0]["id"]]
        until(lambda: [a["id"] for a in answers(second.site)["articles"] if a["title"].startswith("Boat")] == left)


def test_a_backup_through_a_pipe_leaves_no_files(start: Start, tmp_path: Path) -> None:
    first = start(tmp_path / "first", "--no-samples")
    publish(first, "ferry")
    shell = shlex.join(NEWSWIRE)
    drafts, sealed = tmp_path / "drafts", tmp_path / "backup.sealed"
    drafts.mkdir()

    def piped(line: str) -> subprocess.CompletedProcess[str]:
        environment = BARE | {"TMPDIR": str(drafts), "PASS": "of-the-newsroom"}
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, timeout=120, env=environment
        )

    cipher = "openssl enc -aes-256-ctr -pbkdf2 -pass env:PASS"
    made = piped(f"{shell} backup - --data-dir {first.data_dir} | {cipher} > {sealed}")
    assert made.returncode == 0, made.stderr
    assert made.stderr.endswith("records are written\n")
    assert "standard output" in newswire("audit", "list", "--data-dir", str(first.data_dir)).stdout
    assert first.interrupt() == 0
    assert b"\x28\xb5\x2f\xfd" not in sealed.read_bytes()[:64]  # not the beginning of a Zstandard frame

    second = tmp_path / "second"
    cut_off = piped(f"{cipher} -d < {sealed} | head -c 200 | {shell} restore - --data-dir {second}")
    assert cut_off.returncode == 1
    restored = piped(f"{cipher} -d < {sealed} | {shell} restore - --data-dir {second}")
    assert restored.returncode == 0, restored.stderr
    assert restored.stdout.startswith("1 articles")
    assert list(drafts.iterdir()) == []
    assert {path: oct(path.stat().st_mode & 0o077) for path in second.rglob("*") if path.stat().st_mode & 0o077} == {}


def test_a_backup_that_cannot_be_written_is_an_error(start: Start, tmp_path: Path) -> None:
    first = start(tmp_path / "first", "--no-samples")
    data = ["--data-dir", str(first.data_dir)]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*NEWSWIRE, "backup", "-", *data], stdout=full, stderr=subprocess.PIPE, text=True, env=BARE
        )
    assert done.returncode != 0
    assert "cannot write standard output: No space left on device" in done.stderr


def test_backup_and_restore_errors_are_one_line(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path / "data", "--no-samples")
    data = ["--data-dir", str(running.data_dir)]
    file, spoilt, cut, foreign = (tmp_path / name for name in ("whole", "spoilt", "cut", "foreign"))
    assert newswire("backup", str(file), *data).returncode == 0
    content = bytearray(file.read_bytes())
    cut.write_bytes(content[:-20])
    content[len(content) // 2] ^= 1
    spoilt.write_bytes(content)
    foreign.write_text("{}\n")
    elsewhere = ["--data-dir", str(tmp_path / "elsewhere")]
    for arguments in (
        ["backup", str(file), *data],
        ["backup", str(tmp_path / "no" / "folder"), *data],
        ["backup", str(tmp_path / "fresh"), *elsewhere],
        ["restore", str(file), *data],
        ["restore", str(spoilt), *elsewhere],
        ["restore", str(cut), *elsewhere],
        ["restore", str(foreign), *elsewhere],
    ):
        answer = newswire(*arguments)
        assert answer.returncode == 1, arguments
        assert len(answer.stderr.splitlines()) == 1, answer.stderr
    address = f"unix://{running.data_dir / 'valkey' / 'valkey.sock'}"
    occupied = newswire("restore", str(file), NEWSWIRE_REDIS_URL=address)
    assert occupied.returncode == 1
    assert "not empty" in occupied.stderr
    elsewhere_on_it = newswire("restore", str(file), NEWSWIRE_REDIS_URL=address, NEWSWIRE_NAMESPACE="other")
    assert elsewhere_on_it.returncode == 0, elsewhere_on_it.stderr
    running.until_ready()


def test_a_truncated_archive_is_detected(tmp_path: Path) -> None:
    file = tmp_path / "a"
    with ArchiveWriter(file) as archive:
        for number in range(1000):
            archive.write({"record": "key", "number": number})
    header, records = read_archive(file)
    assert header["format"] == 1
    assert [record["number"] for record in records] == list(range(1000))

    def fail_half_way() -> None:
        with ArchiveWriter(tmp_path / "b") as archive:
            archive.write({"record": "key"})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    with pytest.raises(BackupUnreadableError):
        list(read_archive(tmp_path / "b")[1])
