"""Mails as they were received are verified by two other implementations of DKIM: dkimpy, and mailauth of npm."""

import base64
import json
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import dkim
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_notify.newsletters.dkim import new_key
from tests.notify.conftest import Clock, Desk
from tests.notify.newsletters.conftest import House, opened_house
from tests.notify.newsletters.mail_server import MailServer
from tests.notify.newsletters.test_mail_headers import NAMES
from tests.npm import node_with

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent / "receivers"
PRIVATE, RECORD = new_key()


@pytest.fixture(scope="module")
def verifier() -> list[str]:
    """Return the command that verifies mails, installed on first use."""
    return [node_with("mailauth", HERE), str(HERE / "verify.mjs")]


@pytest.fixture
async def signing_house(
    redis: Redis, keys: Keyspace, clock: Clock, desk: Desk, mail: MailServer
) -> AsyncIterator[House]:
    signing: dict[str, Any] = {
        "dkim_private_key": SecretStr(PRIVATE),
        "dkim_domain": "harbour.example",
        "dkim_selector": "s1",
    }
    async with opened_house(redis, keys, clock, desk, mail, **signing) as opened:
        opened.set_time("2026-11-20T12:00:00+01:00")  # verifiers refuse signatures of the future
        yield opened


def verified(command: Sequence[str], mails: list[bytes]) -> Any:
    sent = {"record": RECORD, "mails": [base64.b64encode(mail).decode() for mail in mails]}
    done = subprocess.run(command, input=json.dumps(sent), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_received_mails_are_verified_by_two_other_implementations(
    signing_house: House, verifier: list[str]
) -> None:
    house = signing_house
    for number, name in enumerate(NAMES.values()):
        sender = {"name": name, "address": "news@post.harbour.example", "reply_to": "desk@harbour.example"}
        newsletter = await house.create(slug=f"n{number}", name=name, sender=sender)
        await house.reader(newsletter, f"alert{number}@example.org")
        await house.reader(newsletter, f"digest{number}@example.org", "daily")
    await house.sign_up("pending@example.org", slug="n0")
    await house.desk.publish("a1", title="Ähren & Häfen: „die Fähre“ 🚢")
    mails = [mail.data for mail in await house.send()]
    house.clock.now += 86_400
    mails += [mail.data for mail in await house.send()]
    assert len(mails) > 2 * len(NAMES)

    answer = verified(verifier, mails)
    for mail, found in zip(mails, answer["found"], strict=True):
        assert found["from"] == ["news@post.harbour.example"] or found["from"] == ["news@harbour.example"]
        [signature] = found["signatures"]
        assert (signature["result"], signature["comment"]) == ("pass", ""), mail.decode()
        assert signature["bits"] == 2048
        assert signature["aligned"]
        assert not signature["partial"]
        assert dkim.verify(mail, dnsfunc=lambda name, timeout=5: RECORD.encode())
    assert answer["names"] == ["s1._domainkey.harbour.example TXT"]


@pytest.mark.parametrize(
    "change",
    [
        (b"\r\nFrom:", b"\r\nFrom: Mallory <m@evil.example>\r\nFrom:"),
        (b"\r\nSubject:", b"\r\nSubject: X\r\nX-Subject:"),
        (b"\r\nList-Unsubscribe: <https://news.example", b"\r\nList-Unsubscribe: <https://evil.example"),
        (b"Content-Type: text/plain", b"Content-Type: text/html"),
    ],
)
async def test_changed_mails_are_refused_by_both(
    signing_house: House, verifier: list[str], change: tuple[bytes, bytes]
) -> None:
    house = signing_house
    await house.reader(await house.create(), "reader@example.org")
    await house.desk.publish("a1")
    [mail] = await house.send()
    changed = mail.data.replace(*change, 1)
    assert changed != mail.data
    [found] = verified(verifier, [changed])["found"]
    assert [each["result"] for each in found["signatures"]] != ["pass"]
    assert not dkim.verify(changed, dnsfunc=lambda name, timeout=5: RECORD.encode())
