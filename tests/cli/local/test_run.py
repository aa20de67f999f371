"""The first start of `newswire run`, and the second one."""

import json
import os
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from newswire_cli.local.run import is_loopback
from tests.cli.running import BARE, NEWSWIRE, Running, newswire
from tests.polling import DEADLINE_SECONDS, until

Start = Callable[..., Running]
SAMPLE = "/v1/search?q=lighthouses"


def one_line(text: str) -> bool:
    return len(text.splitlines()) == 1 and "Traceback" not in text


def ids(running: Running, path: str) -> list[str]:
    return [article["id"] for article in running.get(path).json()["articles"]]


def test_the_first_start_publishes_samples_and_the_second_keeps_them(start: Start, tmp_path: Path) -> None:
    data = tmp_path / "data"
    running = start(data)
    told = running.until_told("q=press+rolled")

    lines = [line for line in told.splitlines() if line.strip().startswith("published in ")]
    assert len(lines) == 6, told
    assert all(" searchable after " in line and " delivered after " in line for line in lines)
    running.until_ready()
    subscriptions = httpx.get(f"{running.site}/v1/subscriptions", headers=running.key("SUBSCRIBER"), trust_env=False)
    assert "newswire-samples" not in subscriptions.text
    found = ids(running, "/v1/search?limit=100")
    assert len(found) == 6
    assert running.interrupt() == 0
    assert "Traceback" not in running.told
    assert "INFO" not in running.told, "log lines belong in the log"

    again = start(data)
    told = again.until_told("q=press+rolled")
    assert "published in" not in told
    assert sorted(ids(again, "/v1/search?limit=100")) == sorted(found)
    assert len(ids(again, SAMPLE)) == 1


def link_told(running: Running) -> str | None:
    told = running.until_told("q=press+rolled")
    lines = [line.split()[2] for line in told.splitlines() if line.startswith("  sign in ")]
    return lines[0] if lines else None


def test_each_start_prints_a_link_that_signs_the_demo_admin_in_once(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path / "data", "--no-samples")
    link = link_told(running)
    assert link is not None
    assert link.startswith(f"{running.site}/sign-in/")
    with httpx.Client(trust_env=False, follow_redirects=True) as browser:
        assert "admin@newswire.example" in browser.get(link).text
        assert browser.post(link).url.path == "/desk"
        assert browser.get(f"{running.site}/users?account=gazette").status_code == 200
        assert browser.post(link).status_code == 404
    assert link.rpartition("/")[2] not in (running.data_dir / "newswire.log").read_text()
    assert running.interrupt() == 0

    again = start(tmp_path / "data", "--no-sign-in-link")
    assert link_told(again) is None
    disabled = newswire("users", "disable", "admin@newswire.example", "--data-dir", str(tmp_path / "data"))
    assert disabled.returncode == 0, disabled.stderr
    assert again.interrupt() == 0
    assert link_told(start(tmp_path / "data")) is None


def pasted(line: str) -> str:
    return subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=True
    ).stdout


def test_the_printed_commands_work_when_pasted(start: Start, tmp_path: Path) -> None:
    told = start(tmp_path / "a folder", "--no-samples").until_told("q=press+rolled")
    publish, search = (line.strip() for line in told.splitlines() if "curl -s" in line)

    assert json.loads(pasted(publish))["title"] == "Hello, world"
    found = until(lambda: json.loads(pasted(search))["articles"])
    assert "<mark>rolling</mark>" in found[0]["highlights"]["body"][0]


def test_samples_and_printed_commands_work_without_public_reading_and_with_settings_in_files(tmp_path: Path) -> None:
    environment = {"NEWSWIRE_PUBLIC_READ": "false"}
    values = {"PUBLIC_URL": "https://news.example", "REDIS_URL": "redis://127.0.0.1:1/0"}  # the second one is ignored
    for name, value in values.items():
        (tmp_path / name).write_text(value)
        environment[f"NEWSWIRE_{name}_FILE"] = str(tmp_path / name)
    running = Running(tmp_path / "data", environment=environment)
    try:
        told = running.until_told("q=press+rolled")
        assert told.count(" searchable after ") == 6
        publish, search = (line.strip() for line in told.splitlines() if "curl -s" in line)
        assert json.loads(pasted(publish))["url"].startswith("https://news.example/")
        assert until(lambda: json.loads(pasted(f"{publish.partition(' && ')[0]} && {search}"))["articles"])
    finally:
        assert running.interrupt() == 0


def test_credentials_are_readable_by_their_owner_only(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path / "data", "--no-samples")

    assert stat.S_IMODE((running.data_dir / "credentials.env").stat().st_mode) == 0o600
    assert list(running.credentials()) == [
        "NEWSWIRE_PUBLISHER_KEY",
        "NEWSWIRE_SUBSCRIBER_KEY",
        "NEWSWIRE_ADMIN_KEY",
        "NEWSWIRE_READ_KEY",
    ]
    assert not any(key in running.told for key in running.credentials().values())


def test_no_samples_applies_to_later_starts_too(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path / "data", "--no-samples")
    assert running.interrupt() == 0

    again = start(tmp_path / "data")
    again.until_told("q=press+rolled")
    assert ids(again, "/v1/search") == []


def test_a_second_run_on_a_folder_is_a_one_line_error(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path / "data", "--no-samples")

    second = newswire("run", "--port", "0", "--data-dir", str(tmp_path / "data"))
    assert second.returncode == 1
    assert one_line(second.stderr)
    assert "another `newswire run`" in second.stderr
    assert running.get("/healthz").status_code == 200


def test_a_port_in_use_is_a_one_line_error(start: Start, tmp_path: Path) -> None:
    port = start(tmp_path / "data", "--no-samples").site.rsplit(":", 1)[1]

    for arguments in (["run", "--data-dir", str(tmp_path / "other")], ["serve", "ingest"]):
        second = newswire(*arguments, "--port", port)
        assert second.returncode == 1
        assert one_line(second.stderr)
        assert port in second.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_shutdown_ends_an_open_live_stream(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    running = start(tmp_path / "data", "--no-samples")

    with httpx.stream("GET", f"{running.site}/v1/stream", timeout=DEADLINE_SECONDS, trust_env=False) as live:
        assert live.status_code == 200
        os.killpg(running.process.pid, number)
        assert live.read().startswith(b"retry: ")  # to its end: a stream that is cut off raises an error
        assert running.process.wait(DEADLINE_SECONDS) == 0
    assert "Traceback" not in running.told
    assert "graceful shutdown exceeded" not in (running.data_dir / "newswire.log").read_text()
    assert not (running.data_dir / "redis.url").exists()


def test_a_killed_run_can_be_restarted(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path / "data")
    running.until_told("q=press+rolled")
    running.process.kill()
    running.process.wait(DEADLINE_SECONDS)

    again = start(tmp_path / "data")
    until(lambda: len(ids(again, "/v1/search?limit=100")) == 6)


def test_an_unusable_folder_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    answer = newswire("run", "--port", "0", "--data-dir", str(tmp_path / "file" / "data"))
    assert answer.returncode == 1
    assert one_line(answer.stderr)


def test_an_invalid_setting_is_a_one_line_error_without_its_value(tmp_path: Path) -> None:
    for command in (["run", "--data-dir", str(tmp_path / "data")], ["serve", "notify"], ["keys", "list"]):
        answer = newswire(*command, *([] if "keys" in command else ["--port", "0"]), NEWSWIRE_NAMESPACE="No Good")
        assert answer.returncode == 1
        assert one_line(answer.stderr)
        assert "NEWSWIRE_NAMESPACE" in answer.stderr
        assert "No Good" not in answer.stderr


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys, newswire_cli.main; print(*{'fastapi', 'redis', 'pydantic', 'httpx', 'tantivy'} & set(sys.modules))"
    )
    answer = subprocess.run([NEWSWIRE[0], "-c", program], capture_output=True, text=True, env=BARE, check=True)

    assert answer.stdout.strip() == ""


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((host, True) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost", "::ffff:127.0.0.1")),
        *((host, False) for host in ("0.0.0.0", "", "::", "10.0.0.7", "192.168.1.4", "203.0.113.9", "::ffff:10.0.0.1")),
        *((host, False) for host in ("::ffff:0.0.0.0", "fe80::1", "0", "no-such-name.invalid")),
    ],
)
def test_only_addresses_of_this_machine_are_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_webhooks_to_private_addresses_are_rejected_if_the_server_is_reachable_by_others(
    start: Start, tmp_path: Path
) -> None:
    running = start(tmp_path / "data", "--host", "0.0.0.0")
    told = running.until_told("q=press+rolled")
    assert "webhooks   to public addresses only" in told
    assert len([line for line in told.splitlines() if line.strip().startswith("published in ")]) == 6, told
    assert "delivered" not in told
    for url in (
        "http://127.0.0.1:9/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://10.0.0.1/",
        "https://localhost/",
    ):
        sent = {"channel": {"type": "webhook", "url": url}}
        site = f"{running.site}/v1/subscriptions"
        refused = httpx.post(site, headers=running.key("SUBSCRIBER"), json=sent, trust_env=False)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "channel.url"), url
