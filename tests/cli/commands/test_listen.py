"""`newswire listen`: a developer's tail of the live stream."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from standardwebhooks import Webhook

from tests.cli.running import BARE, NEWSWIRE, Running, interruptible, newswire
from tests.e2e.conftest import receiver
from tests.polling import until

Start = Callable[..., Running]


@contextmanager
def listening(*options: str, output: Path, errors: Path, ended_by: signal.Signals) -> Iterator[None]:
    """Run the command during the block, end it by a signal, and expect a clean exit."""
    with output.open("wb") as out, errors.open("wb") as err, interruptible():
        process = subprocess.Popen([*NEWSWIRE, "listen", *options], stdout=out, stderr=err, env=BARE)
    with process:
        try:
            yield
            process.send_signal(ended_by)
            assert process.wait(60) == 0
        finally:
            process.kill()  # otherwise it would outlive a failed test and affect another one


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_it_exits_cleanly_on_either_signal(start: Start, tmp_path: Path, ended_by: signal.Signals) -> None:
    running = start(tmp_path / "data", "--no-samples")
    output, errors = tmp_path / "output", tmp_path / "errors"
    options = ["--site", running.site, "--since", "2001-01-01T00:00:00Z"]
    sent = {"title": "Seen", "body": "<p>Text.</p>"}
    url = f"{running.site}/v1/articles"
    assert httpx.post(url, headers=running.key("PUBLISHER"), json=sent, trust_env=False).status_code == 201
    with listening(*options, output=output, errors=errors, ended_by=ended_by):
        until(lambda: "Seen" in output.read_text(), 60)
    assert "Traceback" not in errors.read_text()


def test_it_shows_and_forwards_every_event_and_resumes_automatically(start: Start, tmp_path: Path) -> None:
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
    with receiver() as local:
        since = ["--since", "2001-01-01T00:00:00Z"]
        options = [*since, "--site", running.site, "--key", key, "--filter", "topic=Ferries", "--forward", local.url]
        with listening(*options, output=output, errors=errors, ended_by=signal.SIGINT):
            until(lambda: len(local.requests) == 1, 60)
            publish("Of no interest", "Bridges")
            second = publish("While it listens")
            until(lambda: len(local.requests) == 2, 60)
            narrow = ["--entitlement", '{"topics": ["Ferries", "Trams"]}']
            assert newswire("accounts", "set", "Desk", *narrow, *data).returncode == 0
            third = publish("After it was cut off")
            until(lambda: len(local.requests) == 3, 60)
            httpx.delete(f"{running.site}/v1/articles/{first}", headers=running.key("PUBLISHER"), trust_env=False)
            until(lambda: len(local.requests) == 4, 60)
    events = local.events()
    assert [event["id"] for event in events] == [f"{first}.1", f"{second}.1", f"{third}.1", f"{first}.1.retracted"]
    heading, *lines = output.read_text().splitlines()
    secret = heading.rpartition(" ")[2]
    for headers, body in local.requests:
        assert Webhook(secret).verify(body, headers)["reason"] == "matched"
    assert "\u001b" not in output.read_text()
    shown = lines[::2]
    assert [line.split()[1] for line in shown] == ["published", "published", "published", "retracted"]
    assert "While it listens" in shown[1]
    assert all("forwarded: 204" in line for line in lines[1::2])
    assert "access_changed" in errors.read_text()


def test_errors_of_listen_are_one_line(start: Start, tmp_path: Path) -> None:
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
