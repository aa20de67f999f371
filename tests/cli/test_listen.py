"""`newswire listen`: a developer's tail of the live stream."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
from standardwebhooks import Webhook

from tests.cli.running import BARE, NEWSWIRE, Running, newswire
from tests.e2e.conftest import receiver
from tests.polling import until

Start = Callable[..., Running]


def test_it_shows_and_forwards_every_event_and_resumes_by_itself(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path / "data", "--no-samples")
    data = ["--data-dir", str(running.data_dir)]
    key = newswire("keys", "create", "--account", "Desk", "--scope", "read", *data).stdout.strip()

    def publish(title: str, topic: str = "Ferries") -> str:
        sent = {"title": title, "body": "<p>Text.</p>", "topics": [topic]}
        url = f"{running.site}/v1/articles"
        answer = httpx.post(url, headers=running.key("PUBLISHER"), json=sent, trust_env=False)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    first = publish("Before it began")
    output, errors = tmp_path / "output", tmp_path / "errors"
    with receiver() as local, output.open("wb") as out, errors.open("wb") as err:
        options = ["--site", running.site, "--key", key, "--filter", "topic=Ferries", "--forward", local.url]
        process = subprocess.Popen(
            [*NEWSWIRE, "listen", "--since", "2001-01-01T00:00:00Z", *options], stdout=out, stderr=err, env=BARE
        )
        try:
            until(lambda: len(local.requests) == 1)
            publish("Of no interest", "Bridges")
            second = publish("While it \u001b[31mlistens")
            until(lambda: len(local.requests) == 2)
            narrow = ["--entitlement", '{"topics": ["Ferries", "Trams"]}']
            assert newswire("accounts", "set", "Desk", *narrow, *data).returncode == 0
            third = publish("After it was cut off")
            until(lambda: len(local.requests) == 3)
            httpx.delete(f"{running.site}/v1/articles/{first}", headers=running.key("PUBLISHER"), trust_env=False)
            until(lambda: len(local.requests) == 4)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
    events = local.events()
    assert [event["id"] for event in events] == [f"{first}.1", f"{second}.1", f"{third}.1", f"{first}.1.retracted"]
    heading, *lines = output.read_text().splitlines()
    secret = heading.rpartition(" ")[2]
    for headers, body in local.requests:
        assert Webhook(secret).verify(body, headers)["reason"] == "matched"
    assert "\u001b" not in output.read_text()
    shown = lines[::2]
    assert [line.split()[1] for line in shown] == ["published", "published", "published", "retracted"]
    assert "While it  [31mlistens" in shown[1]
    assert all("forwarded: 204" in line for line in lines[1::2])
    assert "access_changed" in errors.read_text()


def test_what_is_wrong_is_told_in_one_line(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path / "data", "--no-samples")
    for code, arguments in (
        (1, ["--site", running.site, "--filter", "place=Here"]),
        (1, ["--site", running.site, "--key", "nw_wrong"]),
        (1, ["--site", "http://127.0.0.1:1"]),
        (2, ["--site", running.site, "--filter", "Ferries"]),
        (2, ["--site", running.site, "--forward", "localhost:3000"]),
    ):
        answer = newswire("listen", *arguments)
        assert answer.returncode == code, arguments
        assert answer.stdout == ""
        assert len(answer.stderr.splitlines()) == 1, answer.stderr
