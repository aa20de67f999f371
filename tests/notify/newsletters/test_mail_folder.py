"""Without a mail server, mails are files that `/mail` shows to this machine."""

from pathlib import Path

import httpx
import pytest
from pydantic import HttpUrl
from redis.asyncio import Redis

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.auth.signed_tokens import SignedTokens
from newswire.http.application import Service, create_app
from newswire.keys import Keyspace
from newswire_notify.newsletters.assembly import assemble_newsletters
from newswire_notify.newsletters.mail_composer import OutgoingMail
from newswire_notify.newsletters.mail_folder import MailFolder
from newswire_notify.newsletters.message import Envelope, MailContent, compose
from newswire_notify.settings import NotifySettings
from tests.notify.conftest import Clock
from tests.notify.newsletters.conftest import DRAFT


def outgoing(number: int = 1) -> OutgoingMail:
    identity = f"<abc{number}@harbour.example>"
    from datetime import UTC, datetime

    envelope = Envelope(
        "Harbour", "news@harbour.example", "reader@example.org", identity, datetime(2026, 1, 1, tzinfo=UTC)
    )
    content = MailContent("Grüße", "Text https://news.example/x", "<p>HTML</p><script>alert(1)</script>")
    return OutgoingMail("news@harbour.example", "reader@example.org", identity, compose(envelope, content, None, None))


async def test_a_repeated_mail_is_one_file_for_its_owner_alone(tmp_path: Path) -> None:
    folder = MailFolder(tmp_path)
    for _ in range(2):
        assert (await folder.send(outgoing())).code == 250
    [file] = (tmp_path / "mail").iterdir()
    assert file.stat().st_mode & 0o077 == 0
    assert file.read_bytes() == outgoing().data


async def test_a_folder_that_cannot_be_written_makes_mails_wait(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file in the way")
    reply = await MailFolder(tmp_path).send(outgoing())
    assert (reply.stage, reply.code) == ("connect", 0)


@pytest.mark.parametrize(
    ("client", "host", "status"),
    [
        ("127.0.0.1", "127.0.0.1:8000", 200),
        ("127.0.0.1", "localhost:8000", 200),
        ("::1", "[::1]:8000", 200),
        ("192.0.2.7", "127.0.0.1:8000", 404),
        ("127.0.0.1", "news.example", 404),
        ("127.0.0.1", "127.0.0.1.evil.example:8000", 404),
    ],
)
async def test_mails_are_shown_to_this_machine_alone(
    redis: Redis, keys: Keyspace, clock: Clock, tmp_path: Path, client: str, host: str, status: int
) -> None:
    settings = NotifySettings(
        namespace=keys.namespace, public_url=HttpUrl("http://127.0.0.1:8000"), data_dir=tmp_path, read_rate=0
    )
    parts = assemble_newsletters(redis, redis, keys, SignedTokens(redis, keys), settings, clock)
    await MailFolder(tmp_path).send(outgoing())
    app = create_app([Service("notify", routers=list(parts.routers))], settings, redis=redis)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, client=(client, 1)), base_url=f"http://{host}"
    ) as http:
        for path in ("/mail", "/mail/abc1", "/mail/abc1/html"):
            answer = await http.get(path)
            assert answer.status_code == status
            assert ("reader@example.org" in answer.text) == (status == 200 and not path.endswith("html"))
        if status == 200:
            assert "Grüße" in (await http.get("/mail")).text
            policy = (await http.get("/mail/abc1/html")).headers["Content-Security-Policy"]
            assert policy.startswith("sandbox")
            assert "script" not in policy
            for unknown in ("/mail/nothing", "/mail/..%2F..%2Fetc%2Fpasswd", "/mail/%00"):
                assert (await http.get(unknown)).status_code == 404


async def test_no_newsletter_is_created_without_a_mail_server_or_a_folder_for_mails(
    redis: Redis, keys: Keyspace, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    created = await create_key(redis, keys, "Harbour Post", {Scope.SUBSCRIBE})
    seen = []
    for data_dir in (tmp_path / "file" / "data", tmp_path / "data"):
        settings = NotifySettings(namespace=keys.namespace, data_dir=data_dir, read_rate=0)
        parts = assemble_newsletters(redis, redis, keys, SignedTokens(redis, keys), settings, clock)
        app = create_app([Service("notify", routers=list(parts.routers))], settings, redis=redis)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000") as http:
            answer = await http.post(
                "/v1/newsletters", json=DRAFT, headers={"Authorization": f"Bearer {created.token}"}
            )
            seen.append((answer.status_code, "NEWSWIRE_SMTP_URL" in answer.text))
    assert seen == [(409, True), (201, False)]
