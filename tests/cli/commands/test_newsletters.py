"""Newsletters from the command line, on a running Newswire without a mail server: mails are files that `/mail` shows."""

import re
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.cli.running import Running, newswire

Start = Callable[..., Running]


def test_a_newcomer_creates_a_newsletter_and_sees_the_mail(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path / "data", "--no-samples")
    running.until_ready()
    assert f"{running.site}/mail" in running.told
    data = ["--data-dir", str(running.data_dir)]
    create = ("newsletters", "create", "ferries", "--name", "Ferry News", "--description", "What moves on the water.")
    made = newswire(*create, "--sender", "news@harbour.example", "--topic", "Ferries", *data, "--site", running.site)
    assert made.returncode == 0, made.stderr
    assert made.stdout.strip() == f"{running.site}/newsletters/ferries"
    again = newswire(*create, "--sender", "news@harbour.example", *data, "--site", running.site)
    assert again.returncode == 1
    assert "slug" in again.stderr
    rows = [
        "email,consent_at,consent_source,cadence",
        "reader@example.org,2024-05-01T10:00:00Z,https://old.example/join,instant",
        "nobody,2024-05-01T10:00:00Z,https://old.example/join,instant",
    ]
    (tmp_path / "readers.csv").write_text("\n".join(rows))
    imported = newswire("newsletters", "import", "ferries", str(tmp_path / "readers.csv"), *data)
    assert imported.returncode == 1  # one row is invalid
    assert "1 imported, 0 known, 0 suppressed, 1 invalid" in imported.stdout
    assert "row 3: email: " in imported.stdout
    sent = {"title": "The night ferry is back", "body": "<p>At last.</p>", "topics": ["Ferries"]}
    published = httpx.post(f"{running.site}/v1/articles", headers=running.key("PUBLISHER"), json=sent, trust_env=False)
    assert published.status_code == 201
    article = published.json()["url"].removeprefix(running.site)

    def offered() -> str | None:
        page = running.get(article).text
        return page if 'action="/newsletters/ferries/subscribe"' in page else None

    assert 'name="topics" value="Ferries" checked' in running.until(offered)
    box = {"email": "other@example.org", "topics": "Ferries"}
    step = httpx.post(f"{running.site}/newsletters/ferries/subscribe", data=box, trust_env=False)
    assert "One more step" in step.text

    def listed() -> str | None:
        page = running.get("/mail").text
        return page if "The night ferry is back" in page else None

    name = re.search(r'href="(/mail/[A-Za-z0-9]+)"', running.until(listed))
    assert name
    assert "reader@example.org" in running.get(name[1]).text
    listing = newswire("newsletters", "list", *data, "--site", running.site).stdout.splitlines()
    assert listing[1].split("\t")[:4] == ["ferries", "Ferry News", "active", "1"]
    exported = newswire("newsletters", "export", "ferries", *data).stdout.splitlines()
    assert exported[1].startswith("reader@example.org,2024-05-01T10:00:00Z,https://old.example/join,active,")
    assert newswire("newsletters", "erase", "ferries", "reader@example.org", *data).returncode == 0
    assert newswire("newsletters", "erase", "ferries", "reader@example.org", *data).returncode == 1
    assert newswire("newsletters", "export", "nothing", *data).returncode == 1


def test_a_list_without_proof_of_consent_is_refused(start: Start, tmp_path: Path) -> None:
    (tmp_path / "readers.csv").write_text("email\nreader@example.org\n")
    running = start(tmp_path / "data", "--no-samples")
    data = ["--data-dir", str(running.data_dir)]
    create = ("newsletters", "create", "ferries", "--name", "Ferry News", "--description", "What moves on the water.")
    assert newswire(*create, "--sender", "n@harbour.example", *data, "--site", running.site).returncode == 0
    refused = newswire("newsletters", "import", "ferries", str(tmp_path / "readers.csv"), *data)
    assert refused.returncode == 1
    assert "no column consent_at, consent_source" in refused.stderr


def test_a_key_for_signatures_is_made_once(tmp_path: Path) -> None:
    file = tmp_path / "dkim.pem"
    made = newswire("newsletters", "dkim-key", "harbour.example", str(file), "--selector", "a1")
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith('a1._domainkey.harbour.example. TXT "v=DKIM1; k=rsa; p=')
    assert f"NEWSWIRE_DKIM_PRIVATE_KEY_FILE={file}" in made.stdout
    assert file.stat().st_mode & 0o077 == 0
    assert newswire("newsletters", "dkim-key", "harbour.example", str(file)).returncode == 1
