"""The short commands (publish, search, subscribe, status, doctor), ``--help``, and wrong settings."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from newswire_cli.local.known_settings import unknown_settings
from tests.cli.running import Running, newswire
from tests.polling import DEADLINE_SECONDS, until


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    one = Running(tmp_path_factory.mktemp("commands") / "data", "--no-samples")
    try:
        one.until_ready()
        yield one
    finally:
        one.process.terminate()
        one.process.wait(DEADLINE_SECONDS)


def command(running: Running, *arguments: str) -> str:
    done = newswire(*arguments, NEWSWIRE_PUBLIC_URL=running.site, NEWSWIRE_DATA_DIR=str(running.data_dir))
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def refused(running: Running, *arguments: str) -> str:
    done = newswire(*arguments, NEWSWIRE_PUBLIC_URL=running.site, NEWSWIRE_DATA_DIR=str(running.data_dir))
    assert done.returncode in (1, 2), done.stdout
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_an_article_is_published_and_searched(running: Running, tmp_path: Path) -> None:
    (tmp_path / "crane.json").write_text(json.dumps({"title": "Crane returns", "body": "<p>Back at the quay.</p>"}))
    address = command(running, "publish", str(tmp_path / "crane.json"), "--topic", "Harbour").strip()
    assert httpx.get(address, trust_env=False).status_code == 200

    def found() -> str:
        told = command(running, "search", "crane", "quay", "--topic", "Harbour")
        return told if "Crane returns" in told else ""

    told = until(found)
    assert told.startswith("1 found")
    assert address in told
    answer = json.loads(command(running, "search", "crane", "--json"))
    assert [article["topics"] for article in answer["articles"]] == [["Harbour"]]
    assert "did you mean 'title:'" in command(running, "search", "titel:crane")


def test_an_article_is_published_from_markdown_options_and_standard_input(running: Running, tmp_path: Path) -> None:
    (tmp_path / "tide.md").write_text("---\ntitle: High tide\ntags: [Tides]\n---\nThe quay was *under water*.\n")
    made = json.loads(command(running, "publish", str(tmp_path / "tide.md"), "--json"))
    assert (made["title"], made["topics"]) == ("High tide", ["Tides"])
    made = json.loads(command(running, "publish", "--title", "Low tide", "--body", "<p>Mud.</p>", "--json"))
    assert made["title"] == "Low tide"


def test_drafts_are_listed_shown_exported_and_discarded(running: Running, tmp_path: Path) -> None:
    ids = []
    for number in range(3):
        content = {"title": f"Draft tide {number}", "body": "<p>Mud.</p>", "topics": ["Tides"]}
        answer = httpx.post(
            f"{running.site}/v1/drafts", json={"content": content}, headers=running.key("PUBLISHER"), trust_env=False
        )
        ids.append(answer.json()["id"])
    listed = command(running, "drafts", "list", "--text", "tide 1")
    assert ids[1] in listed
    assert ids[0] not in listed
    shown = command(running, "drafts", "show", ids[0])
    assert shown.startswith("Draft tide 0\nopen, revision 1")
    assert "<p>Mud.</p>" in shown
    assert command(running, "drafts", "discard", ids[2]) == f"{ids[2]} is discarded\n"
    target = tmp_path / "drafts.ndjson"
    variables = {"NEWSWIRE_PUBLIC_URL": running.site, "NEWSWIRE_DATA_DIR": str(running.data_dir)}
    assert "2 drafts exported" in newswire("drafts", "export", str(target), **variables).stderr
    exported = [json.loads(line) for line in target.read_text().splitlines()]
    assert {draft["id"] for draft in exported} == set(ids[:2])
    assert exported[0]["content"]["body"] == "<p>Mud.</p>"
    assert len(json.loads(command(running, "drafts", "list", "--state", "discarded", "--json"))) == 1
    assert "404" in refused(running, "drafts", "show", "nothing/../else")
    assert "cannot write" in refused(running, "drafts", "export", str(tmp_path / "none" / "x"))


def test_publish_errors_are_one_line(running: Running, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "bad.json").write_text(json.dumps({"title": "", "body": "x", "colour": "red"}))
    assert "a JSON object" in refused(running, "publish", str(tmp_path / "list.json"))
    assert "is not JSON" in refused(running, "publish", str(tmp_path / "broken.json"))
    assert "no file" in refused(running, "publish", str(tmp_path / "none.json"))
    assert "nothing to publish" in refused(running, "publish")
    fields = refused(running, "publish", str(tmp_path / "bad.json"))
    assert "422" in fields
    assert "title:" in fields
    assert "colour:" in fields
    assert "401" in refused(running, "publish", "--title", "x", "--body", "y", "--key", "nw_nothing")


def test_a_subscription_is_created(running: Running) -> None:
    told = command(running, "subscribe", "https://receiver.example/hook", "--topic", "Harbour", "--query", "crane")
    assert "secret  whsec_" in told
    made = json.loads(command(running, "subscribe", "https://receiver.example/hook2", "--json"))
    answer = httpx.get(f"{running.site}/v1/subscriptions", headers=running.key("SUBSCRIBER"), trust_env=False).json()
    by_url = {each["channel"]["url"]: each for each in answer["subscriptions"]}
    assert by_url["https://receiver.example/hook2"]["id"] == made["id"]
    assert by_url["https://receiver.example/hook"]["filter"] == {"topics": ["Harbour"], "query": "crane"}


def test_status_names_every_check(running: Running) -> None:
    told = command(running, "status")
    assert told.startswith("ok\n")
    assert "notify: filters\tok" in told
    assert json.loads(command(running, "status", "--json"))["ok"] is True
    nowhere = newswire("status", NEWSWIRE_PUBLIC_URL="http://127.0.0.1:9")
    assert nowhere.returncode == 1
    assert "cannot reach" in nowhere.stderr


def test_doctor_lists_required_changes(running: Running, redis_url: str, tmp_path: Path) -> None:
    well = newswire("doctor", NEWSWIRE_DATA_DIR=str(tmp_path), NEWSWIRE_REDIS_URL=redis_url)
    assert well.returncode == 0, well.stdout
    assert "ok\tredis\treached; accepted writes are kept on disk" in well.stdout
    assert "ok\tclock" in well.stdout
    (tmp_path / "file").touch()
    ill = newswire(
        "doctor",
        NEWSWIRE_DATA_DIR=str(tmp_path),
        NEWSWIRE_REDIS_URI=redis_url,
        NEWSWIRE_FEED_ENTRIES="1000",
        NEWSWIRE_REDIS_URL="redis://127.0.0.1:9/0",
    )
    assert ill.returncode == 1
    assert "did you mean NEWSWIRE_REDIS_URL?" in ill.stdout
    assert "NEWSWIRE_FEED_ENTRIES" in ill.stdout
    ill = newswire(
        "doctor",
        NEWSWIRE_DATA_DIR=str(tmp_path),
        NEWSWIRE_REDIS_URL=redis_url,
        NEWSWIRE_MEDIA_DIR=f"{tmp_path}/file/media",
    )
    assert ill.returncode == 1
    assert f"PROBLEM\timages\t{tmp_path}/file is no folder" in ill.stdout


def test_files_can_hold_the_address_and_the_key(running: Running, tmp_path: Path) -> None:
    address, key, data = tmp_path / "address", tmp_path / "key", {"NEWSWIRE_DATA_DIR": str(tmp_path / "none")}
    address.write_text(f"{running.site}\n")
    key.write_text(running.key("PUBLISHER")["Authorization"].removeprefix("Bearer ") + "\r\n")
    files = {"NEWSWIRE_PUBLIC_URL_FILE": str(address), "NEWSWIRE_PUBLISHER_KEY_FILE": str(key)} | data
    made = newswire("publish", "--title", "Pilot ashore", "--body", "At noon.", **files)
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith(running.site)
    assert newswire("search", "pilot", **files).returncode == 0

    given = newswire("search", "pilot", "--site", "localhost", **files)
    assert "localhost is not an http or https address" in given.stderr
    both = newswire("search", "pilot", NEWSWIRE_PUBLIC_URL=running.site, **files)
    assert (
        both.stderr == "newswire: NEWSWIRE_PUBLIC_URL and NEWSWIRE_PUBLIC_URL_FILE are both set; remove one of them\n"
    )
    missing = newswire("status", NEWSWIRE_PUBLIC_URL_FILE=str(tmp_path / "none"))
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "NEWSWIRE_PUBLIC_URL_FILE" in missing.stderr


def test_a_misspelt_setting_is_rejected_before_the_start(tmp_path: Path) -> None:
    for command_ in (["run", "--data-dir", str(tmp_path / "data")], ["serve", "notify"]):
        done = newswire(*command_, NEWSWIRE_WEBHOOK_ALOW_PRIVATE="true")
        assert done.returncode == 1
        expected = "NEWSWIRE_WEBHOOK_ALOW_PRIVATE is not a setting; did you mean NEWSWIRE_WEBHOOK_ALLOW_PRIVATE?"
        assert done.stderr == f"newswire: {expected}\n"
    assert not (tmp_path / "data").exists()


def test_variables_of_kubernetes_and_of_tests_are_ignored() -> None:
    theirs = ("INGEST_SERVICE_HOST", "INGEST_SERVICE_PORT_HTTP", "INGEST_PORT", "INGEST_PORT_8000_TCP_ADDR", "TEST_X")
    ours = ("PUBLISHER_KEY", "READ_KEY", "REDIS_URL", "REDIS_URL_FILE", "READ_KEY_FILE", "NOTIFY_URLS")
    assert unknown_settings([f"NEWSWIRE_{name}" for name in theirs + ours] + ["PATH", "NEWSWIRE"]) == []


def test_help_and_version_have_short_options() -> None:
    shown = newswire("-h")
    assert shown.returncode == 0
    for group in ("Run", "Publish and read", "Operate", "Administer"):
        assert group in shown.stdout
    assert newswire("--version").stdout.startswith("newswire ")
    assert newswire("keys", "create", "-h").returncode == 0
