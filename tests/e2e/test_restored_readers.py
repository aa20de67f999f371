"""Readers of newsletters and subscribers of the hub survive a backup that is restored into an empty installation."""

import asyncio
import csv
import email
import email.policy
import io
import re
import time
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from redis.asyncio import Redis

from newswire.auth.signed_tokens import SignedTokens
from newswire.keys import Keyspace
from newswire_notify.newsletters.links import Links
from tests.cli.running import Running, newswire
from tests.e2e.test_websub import publish, websub_client
from tests.polling import DEADLINE_SECONDS, until


def mails(running: Running) -> dict[str, list[EmailMessage]]:
    """The mails in the folder of an installation without a mail server, by recipient."""
    found: dict[str, list[EmailMessage]] = {}
    for path in sorted((running.data_dir / "mail").glob("*.eml"), key=lambda each: each.stat().st_mtime_ns):
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        found.setdefault(str(message["To"]), []).append(message)
    return found


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert isinstance(part, EmailMessage)
    return str(part.get_content())


def link(running: Running, message: EmailMessage, kind: str) -> str:
    found = re.search(rf"{re.escape(running.site)}/newsletters/\S+/{kind}/\S+", text_of(message))
    assert found, text_of(message)
    return found[0]


def old_form_token(running: Running) -> str:
    """Return the token of a form that was opened some seconds ago."""

    async def made() -> str:
        async with Redis.from_url((running.data_dir / "redis.url").read_text().strip()) as redis:
            tokens = SignedTokens(redis, Keyspace("newswire"), clock=lambda: time.time() - 10)
            return await Links(running.site, tokens, tokens).form("ferries")

    return asyncio.run(made())


def sign_up(running: Running, address: str, cadence: str = "instant") -> None:
    form = {"form_token": old_form_token(running), "email": address, "cadence": cadence, "website": ""}
    answer = httpx.post(f"{running.site}/newsletters/ferries/subscribe", data=form, trust_env=False)
    assert answer.status_code == 200, answer.text


def post(url: str) -> int:
    return httpx.post(url, trust_env=False).status_code


def received(running: Running, address: str, count: int) -> Callable[[], list[EmailMessage]]:
    return lambda: found if len(found := mails(running).get(address, [])) >= count else []


def subscribe(running: Running, address: str) -> None:
    sign_up(running, address)
    [confirmation] = until(received(running, address, 1))
    assert post(link(running, confirmation, "confirm")) == 200


def test_readers_and_subscribers_survive_a_restore(tmp_path: Path) -> None:
    file = tmp_path / "newswire.backup"
    with websub_client() as client:
        first = Running(tmp_path / "first", "--no-samples")
        try:
            first.until_ready()
            data = ["--data-dir", str(first.data_dir)]
            made = newswire(
                *("newsletters", "create", "ferries", "--name", "Ferry News", "--description", "What moves."),
                *("--sender", "news@harbour.example", *data),
                NEWSWIRE_PUBLIC_URL=first.site,
            )
            assert made.returncode == 0, made.stderr
            for name in ("stays", "leaves", "erased"):
                subscribe(first, f"{name}@example.org")
            sign_up(first, "pending@example.org")
            hub, topic = client.discover(f"{first.site}/feeds/latest.atom")
            client.subscribe(hub, topic)
            until(lambda: client.verified == ["subscribe"])
            publish(first, "Quillfeather ferries")
            until(lambda: any("Quillfeather" in content for content in client.contents))
            alerts = {
                name: until(received(first, f"{name}@example.org", 2))[-1] for name in ("stays", "leaves", "erased")
            }
            preferences = link(first, alerts["stays"], "preferences")
            proof = httpx.get(f"{preferences}/export", trust_env=False).json()
            assert post(link(first, alerts["leaves"], "unsubscribe")) == 200
            assert post(link(first, alerts["erased"], "preferences") + "/erase") == 200
            assert newswire("backup", str(file), *data).returncode == 0
        finally:
            first.process.terminate()
            first.process.wait(DEADLINE_SECONDS)
        pushed = len(client.contents)

        restored = newswire("restore", str(file), "--data-dir", str(tmp_path / "second"))
        assert restored.returncode == 0, restored.stderr
        assert "3 newsletter subscribers" in restored.stdout
        second = Running(tmp_path / "second", "--port", str(urlsplit(first.site).port))
        try:
            second.until_ready()
            assert httpx.get(f"{preferences}/export", trust_env=False).json() == proof
            assert {"asked", "given"} <= proof["consent"].keys()
            publish(second, "Marrowdale pier")
            [alert] = until(received(second, "stays@example.org", 1))
            assert alert["Subject"] == "Marrowdale pier"
            assert alert["List-Id"] == alerts["stays"]["List-Id"]
            until(lambda: any("Marrowdale" in content for content in client.contents[pushed:]))
            assert client.forged == 0
            # The confirmation that was under way still leads to a subscription.
            [asked] = until(received(first, "pending@example.org", 1))
            assert post(link(second, asked, "confirm")) == 200
            publish(second, "Osprey landing")
            until(received(second, "stays@example.org", 2))
            until(received(second, "pending@example.org", 1))
            assert mails(second).keys() == {"stays@example.org", "pending@example.org"}

            data = ["--data-dir", str(second.data_dir)]
            rows = list(csv.DictReader(io.StringIO(newswire("newsletters", "export", "ferries", *data).stdout)))
            states = {row["email"].partition("@")[0]: row["state"] for row in rows}
            assert states == {"stays": "active", "leaves": "unsubscribed", "pending": "active"}
            listed = tmp_path / "list.csv"
            listed.write_text(
                "email,consent_at,consent_source\n"
                + "".join(f"{name}@example.org,2026-01-01T00:00:00Z,a form\n" for name in ("erased", "leaves"))
            )
            imported = newswire("newsletters", "import", "ferries", str(listed), *data)
            assert "0 imported, 0 known, 2 suppressed, 0 invalid" in imported.stdout, imported.stdout + imported.stderr
        finally:
            second.process.terminate()
            second.process.wait(DEADLINE_SECONDS)
