"""`--json` of every command that has it: one JSON value of a stable shape on standard output, and nothing else there."""

import asyncio
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer.main
from PIL import Image
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_cli.main import app
from tests.cli.running import BARE, NEWSWIRE, Running, interruptible, newswire
from tests.polling import DEADLINE_SECONDS, until

NEWSLETTER = ("--name", "Ferry News", "--description", "What moves on the water.", "--sender", "news@example.org")
IMPORTED = {"created", "updated", "unchanged", "failed", "skipped", "notes", "seconds"}


@dataclass(frozen=True)
class Case:
    """A command with `--json`: its further arguments, and the members that its JSON has at least.

    ``inner`` picks the value with these members out of what is printed.
    """

    arguments: tuple[str, ...]
    members: set[str]
    inner: Callable[[Any], Any] = lambda printed: printed


def first(printed: list[Any]) -> Any:
    return printed[0]


CASES = {
    "status": Case((), {"ok", "checks", "loops"}),
    "doctor": Case((), {"ok", "checks"}),
    "publish": Case(("--title", "Low tide", "--body", "<p>Mud.</p>"), {"id", "version", "status", "title", "url"}),
    "search": Case(("crane",), {"total", "took_ms", "articles", "facets", "next_cursor"}),
    "subscribe": Case(("https://receiver.example/hook",), {"id", "secret", "channel", "filter", "events", "status"}),
    "import": Case(("{story}",), IMPORTED),
    "archive status": Case((), {"documents", "bytes", "erasures", "searched_at", "searching"}),
    "verify": Case((), {"compared", "found", "repaired", "remaining", "differences"}),
    "accounts list": Case(
        (), {"name", "created_at", "disabled_at", "publish_rate", "daily_quota", "entitlement"}, first
    ),
    "keys list": Case(
        (), {"id", "account", "scopes", "label", "state", "created_at", "expires_at", "last_used_at"}, first
    ),
    "users list": Case(
        (),
        {"id", "email", "name", "memberships", "created_at", "disabled_at", "last_sign_in_at", "has_password"},
        first,
    ),
    "audit list": Case((), {"id", "time", "act", "target_type", "target", "actor", "details"}, first),
    "subscriptions list": Case(
        ("--account", "subscriber"),
        {"id", "account", "status", "status_reason", "status_note", "created_at", "url"},
        first,
    ),
    "drafts list": Case((), {"id", "title", "state", "revision", "updated_at", "updated_by"}, first),
    "drafts show": Case(("{draft}",), {"id", "title", "state", "revision", "content"}),
    "media add": Case(("{picture}",), {"id", "url", "width", "height", "variants", "uses"}),
    "media list": Case((), {"id", "url", "width", "height", "variants", "uses"}, first),
    "topics list": Case((), {"kind", "value", "count"}, first),
    "newsletters list": Case((), {"id", "slug", "name", "status", "subscribers", "url"}, first),
    "newsletters import": Case(("ferries", "{readers}"), {"counts", "problems"}),
    "dead-letters list": Case((), {"id", "group", "since", "article", "error"}, first),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    one = Running(tmp_path_factory.mktemp("json") / "data", "--no-samples")
    try:
        one.until_ready()
        call(one, "publish", "--title", "Crane returns", "--body", "<p>Back at the quay.</p>", "--topic", "Harbour")
        call(one, "subscribe", "https://receiver.example/first")
        call(one, "newsletters", "create", "ferries", *NEWSLETTER)
        call(one, "media", "add", str(picture(one.data_dir)))
        draft = {"content": {"title": "Neap tide", "body": "<p>Low.</p>"}}
        httpx.post(f"{one.site}/v1/drafts", json=draft, headers=one.key("PUBLISHER"), trust_env=False)
        user = ("ida@harbour.example", "--name", "Ida Roth", "--account", "gazette", "--role", "editor")
        call(one, "users", "create", *user)
        asyncio.run(poison(one))
        until(lambda: json.loads(call(one, "dead-letters", "list", "--json").stdout))
        yield one
    finally:
        one.process.terminate()
        one.process.wait(DEADLINE_SECONDS)


def draft_id(running: Running, name: str) -> str:
    """Return the id of a draft, for the commands that take one."""
    if not name.startswith("drafts "):
        return ""
    found: str = json.loads(call(running, "drafts", "list", "--json").stdout)[0]["id"]
    return found


def picture(folder: Path) -> Path:
    """Write a small image."""
    path = folder / "picture.png"
    Image.new("RGB", (400, 300), "teal").save(path)
    return path


async def poison(running: Running) -> None:
    """Add an entry that no consumer can read: it becomes a dead letter."""
    async with Redis.from_url((running.data_dir / "redis.url").read_text().strip()) as redis:
        await redis.xadd(Keyspace("newswire").stream, {"x": "y"})


def call(running: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = newswire(*arguments, NEWSWIRE_PUBLIC_URL=running.site, NEWSWIRE_DATA_DIR=str(running.data_dir))
    assert done.returncode == 0, done.stderr
    return done


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


def test_every_command_with_json_is_tried() -> None:
    tree = typer.main.get_command(app)
    with_json = {name for name, command in commands(tree) if any("--json" in each.opts for each in command.params)}
    assert with_json == {*CASES, "listen"}


@pytest.mark.parametrize("name", CASES)
def test_a_command_prints_one_json_value_of_a_stable_shape(running: Running, name: str, tmp_path: Path) -> None:
    story = tmp_path / "story.md"
    story.write_text("---\ntitle: High tide\n---\nThe quay was *under water*.\n")
    readers = tmp_path / "readers.csv"
    readers.write_text("email,consent_at,consent_source\nreader@example.org,2026-01-05T09:00:00Z,form at the quay\n")
    case = CASES[name]
    given = {"story": story, "readers": readers, "picture": picture(tmp_path), "draft": draft_id(running, name)}
    arguments = [each.format(**given) for each in case.arguments]
    done = call(running, *name.split(), *arguments, "--json")
    found = case.inner(json.loads(done.stdout))
    assert case.members <= found.keys()
    assert "\u001b" not in done.stdout


def test_a_dry_run_prints_its_items_and_the_summary(running: Running, tmp_path: Path) -> None:
    story = tmp_path / "story.md"
    story.write_text("---\ntitle: Spring tide\n---\nHigher than ever.\n")
    printed = json.loads(call(running, "import", str(story), "--dry-run", "--json").stdout)
    assert printed.keys() == {"items", "summary"}
    assert printed["summary"].keys() == IMPORTED
    assert {"what", "external_id", "title", "file", "line", "remarks"} <= printed["items"][0].keys()


def test_listen_prints_one_event_on_each_line(running: Running, tmp_path: Path) -> None:
    output = tmp_path / "output"
    options = ["--since", "2001-01-01T00:00:00Z", "--site", running.site, "--json"]
    with output.open("wb") as out, interruptible():
        process = subprocess.Popen([*NEWSWIRE, "listen", *options], stdout=out, stderr=subprocess.DEVNULL, env=BARE)
    with process:
        try:
            until(lambda: "Crane returns" in output.read_text(), 60)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()
    events = [json.loads(line) for line in output.read_text().splitlines()]
    assert all({"specversion", "id", "source", "type", "subject", "time", "data"} <= event.keys() for event in events)
