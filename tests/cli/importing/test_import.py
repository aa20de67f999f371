"""`newswire import` and `newswire export`, from files to files, through a running Newswire."""

import gzip
import json
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from newswire_cli.importing.uploader import Effect, Uploader, UploadStoppedError
from tests.cli.importing.conftest import newswire_run
from tests.cli.importing.readers import SAMPLES
from tests.cli.running import BARE, NEWSWIRE, Running, newswire
from tests.polling import DEADLINE_SECONDS, until
from tests.servers.http_server import serving

OWN = {"id", "url", "publisher", "updated_at", "version", "revision"}
"""Members that depend on the installation, not on the article."""


def command(running: Running, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return newswire(*arguments, NEWSWIRE_PUBLIC_URL=running.site, NEWSWIRE_DATA_DIR=str(running.data_dir))


def lines(path: Path, stories: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(story) + "\n" for story in stories))
    return path


def story(identity: str, **members: Any) -> dict[str, Any]:
    return {
        "external_id": identity,
        "title": f"Story {identity}",
        "body": "<p>Text.</p>",
        "published_at": "2026-01-01T00:00:00Z",
        **members,
    }


def get(running: Running, path: str) -> Any:
    answer = httpx.get(
        f"{running.site}/v1/articles{path}", headers=running.key("PUBLISHER"), trust_env=False, timeout=DEADLINE_SECONDS
    )
    return answer.json()


def number_of_articles(running: Running) -> int:
    number, cursor = 0, ""
    while cursor is not None:
        page = get(running, f"?limit=100{cursor and f'&cursor={cursor}'}")
        number, cursor = number + len(page["articles"]), page["next_cursor"]
    return number


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Running]:
    """A Newswire of this test alone: the tests of a file run in any order."""
    with newswire_run(tmp_path / "fresh") as running:
        yield running


def test_the_samples_are_imported_once_and_silently(fresh: Running) -> None:
    first = command(fresh, "import", str(SAMPLES))
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("19 created, 0 updated, 0 unchanged, 0 failed, 8 skipped")

    second = command(fresh, "import", str(SAMPLES))
    assert second.returncode == 0, second.stderr
    assert second.stdout.startswith("0 created, 0 updated, 19 unchanged, 0 failed, 8 skipped")

    crane = get(fresh, "/by-external-id/https%3A%2F%2Fcourier.example%2F%3Fp%3D41")
    assert crane["version"] == 1
    assert crane["authors"] == [{"name": "Ida Roth"}]
    assert get(fresh, f"/{crane['id']}/versions/1")["silent"] is True


def test_a_dry_run_reports_the_import_and_changes_nothing(here: Running, tmp_path: Path) -> None:
    path = lines(tmp_path / "dry.ndjson", [story("dry-1"), story("dry-2", summary="Before")])
    assert command(here, "import", str(path)).returncode == 0
    gone = get(here, "/by-external-id/dry-1")["id"]
    lines(path, [story("dry-1"), story("dry-2", summary="After"), story("dry-3"), {"title": "No id", "body": ""}])

    dry = command(here, "import", "--dry-run", str(path))
    heading, *rows = (row.split("\t") for row in dry.stdout.splitlines())
    assert heading == ["what", "external_id", "title", "from", "remarks"]
    assert [(row[0], row[1], row[4]) for row in rows[:3]] == [
        ("unchanged", "dry-1", ""),
        ("changed", "dry-2", "summary"),
        ("new", "dry-3", ""),
    ]
    assert (rows[3][0], rows[3][3]) == ("problem", f"{path}:4")
    assert dry.returncode == 1
    assert dry.stderr.startswith("1 created, 1 updated, 1 unchanged, 1 would fail, 0 skipped (nothing was written)")
    assert get(here, "/by-external-id/dry-2")["summary"] == "Before"
    assert get(here, "/by-external-id/dry-3")["status"] == 404

    real = command(here, "import", str(path))
    assert real.returncode == 1
    assert real.stdout.startswith("1 created, 1 updated, 1 unchanged, 1 failed, 0 skipped")
    assert real.stderr.startswith(f"{path}:4: has neither external_id nor id")
    assert get(here, "/by-external-id/dry-2")["version"] == 2

    httpx.delete(f"{here.site}/v1/articles/{gone}", headers=here.key("PUBLISHER"), trust_env=False)
    again = command(here, "import", str(path))
    assert again.stdout.startswith("0 created, 0 updated, 2 unchanged, 1 failed, 1 skipped")
    assert "was retracted, and stays retracted" in again.stdout
    assert get(here, "/by-external-id/dry-1")["status"] == "retracted"


def test_an_older_version_changes_nothing(here: Running, tmp_path: Path) -> None:
    path = lines(tmp_path / "new.ndjson", [story("v", title="New", source_version=2)])
    assert command(here, "import", str(path)).returncode == 0
    older = command(here, "import", str(lines(tmp_path / "old.ndjson", [story("v", title="Old", source_version=1)])))

    assert older.returncode == 0, older.stderr
    assert "is older than the version that is published" in older.stdout
    assert get(here, "/by-external-id/v")["title"] == "New"


def test_future_articles_are_scheduled(here: Running, tmp_path: Path) -> None:
    path = lines(tmp_path / "ahead.ndjson", [story("ahead", published_at="2999-01-01T00:00:00Z")])

    assert command(here, "import", str(path)).stdout.startswith("1 created")
    assert command(here, "import", str(path)).stdout.startswith("0 created, 0 updated, 1 unchanged")
    ahead = get(here, "/by-external-id/ahead")
    assert (ahead["status"], ahead["embargo_until"]) == ("scheduled", "2999-01-01T00:00:00Z")


def test_no_silent_notifies_subscribers(here: Running, tmp_path: Path) -> None:
    path = lines(tmp_path / "loud.ndjson", [story("loud")])

    assert command(here, "import", "--no-silent", str(path)).returncode == 0
    assert get(here, f"/{get(here, '/by-external-id/loud')['id']}/versions/1")["silent"] is False


def test_wrong_arguments_exit_with_2_in_one_line(here: Running, tmp_path: Path) -> None:
    path = lines(tmp_path / "a.ndjson", [story("a")])
    for answer in (
        command(here, "import", str(tmp_path / "nowhere")),
        newswire("import", str(path), "--site", here.site, "--data-dir", str(tmp_path)),
        command(here, "import", str(path), "--site", "ftp://x"),
    ):
        assert answer.returncode == 2
        assert len(answer.stderr.splitlines()) == 1
    assert command(here, "import").returncode == 2
    assert command(here, "import", "--format", "word", str(path)).returncode == 2


def test_a_rejected_key_and_an_unreachable_site_are_one_line_errors(here: Running, tmp_path: Path) -> None:
    path = lines(tmp_path / "a.ndjson", [story("never")])
    refused = command(here, "import", str(path), "--key", "nw_wrong")

    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert "key" in refused.stderr
    assert get(here, "/by-external-id/never")["status"] == 404


@pytest.mark.parametrize(
    ("name", "form"), [("out.ndjson", "ndjson"), ("out.ndjson.gz", "ndjson"), ("out.json.zst", "ninjs")]
)
def test_exported_articles_are_the_same_after_import(
    here: Running, elsewhere: Running, tmp_path: Path, name: str, form: str
) -> None:
    source = [story(f"trip-{form}-{n}", topics=["Trips"], summary="There & back") for n in range(3)]
    assert command(here, "import", str(SAMPLES)).returncode == 0
    assert command(here, "import", str(lines(tmp_path / "trip.ndjson", source))).returncode == 0

    out = tmp_path / name
    done = command(here, "export", str(out), "--format", form)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "trip.ndjson"])
    assert command(elsewhere, "import", str(out)).returncode == 0

    # ninjs does not have all metadata, and does not say that a language was detected or that there was no source version.
    left = OWN | ({"source_version", "metadata", "language_detected"} if form == "ninjs" else set())
    for identity in (f"trip-{form}-1", "shore.20260301.lock", "tag:bote.example,2026:moewe"):
        path = f"/by-external-id/{quote(identity, safe='')}"
        there, original = get(elsewhere, path), get(here, path)
        assert there["status"] == "published"
        assert {k: v for k, v in there.items() if k not in left} == {k: v for k, v in original.items() if k not in left}


def test_an_export_to_stdout_contains_only_published_articles(here: Running, tmp_path: Path) -> None:
    soon = story("soon", published_at="2999-01-01T00:00:00Z")
    assert command(here, "import", str(lines(tmp_path / "s.ndjson", [soon, story("out")]))).returncode == 0

    exported = command(here, "export")
    ids = [json.loads(line).get("external_id") for line in exported.stdout.splitlines()]
    assert "out" in ids
    assert "soon" not in ids
    assert "articles exported" in exported.stderr

    assert command(here, "export", str(tmp_path / "all.gz"), "--scheduled").returncode == 0
    with gzip.open(tmp_path / "all.gz") as file:
        assert any(json.loads(line).get("external_id") == "soon" for line in file)


def test_an_interrupted_export_leaves_no_file(tmp_path: Path) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with serving(Refusing) as site:
        answer = newswire("export", str(tmp_path / "out.ndjson"), "--site", site, "--key", "nw_x")
    assert answer.returncode == 1
    assert len(answer.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


class Flaky(BaseHTTPRequestHandler):
    """Rejects two requests, then answers half of the lines, then the rest; one line fails permanently."""

    requests: list[list[str]] = []

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode().splitlines()
        self.requests.append([json.loads(line)["external_id"] for line in sent])
        if len(self.requests) <= 2:
            self._answer(503 if len(self.requests) == 1 else 429, b'{"detail": "not now"}', {"Retry-After": "7"})
            return
        answers = [
            {"line": n, "status": 422, "error": {"detail": "title: is wrong"}}
            if "bad" in line
            else {"line": n, "status": 201, "effect": "created"}
            for n, line in enumerate(sent, start=1)
        ]
        if len(self.requests) == 3:
            answers[1:] = [{"line": 2, "status": 503, "error": {"detail": "redis is away"}}]
        self._answer(200, b"".join(json.dumps(answer).encode() + b"\n" for answer in answers), {})

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


def test_temporary_rejections_are_retried_when_the_server_says() -> None:
    waited: list[float] = []
    Flaky.requests = []
    with serving(Flaky) as site, httpx.Client(base_url=site, trust_env=False) as client:
        answers = Uploader(client, silent=True, sleep=waited.append).send([story("a"), story("b"), story("bad")])

    assert [answer.effect for answer in answers] == [Effect.CREATED, Effect.CREATED, Effect.FAILED]
    assert answers[2].reason == "422 title: is wrong"
    assert Flaky.requests == [["a", "b", "bad"]] * 3 + [["b", "bad"]]
    assert waited[:2] == [7.0, 7.0]
    assert len(waited) == 3


def test_an_unreachable_site_stops_the_import() -> None:
    waited: list[float] = []
    told: list[str] = []
    with (
        httpx.Client(base_url="http://127.0.0.1:9", trust_env=False) as client,
        pytest.raises(UploadStoppedError, match="cannot reach"),
    ):
        Uploader(client, silent=True, sleep=waited.append, report_outage=told.append).send([story("a")])
    assert len(waited) == 7
    assert len(told) == 1, "an outage is told once, before the first wait"
    assert "cannot reach" in told[0]
    assert "retrying" in told[0]
    assert max(waited) <= 60


def test_an_article_over_the_limit_is_not_sent() -> None:
    with httpx.Client(base_url="http://127.0.0.1:9", trust_env=False) as client:
        (answer,) = Uploader(client, silent=True).send([story("a", body="x" * 1_100_000)])
    assert answer.effect is Effect.FAILED
    assert "larger than 1,048,576 bytes" in answer.reason


class Web(BaseHTTPRequestHandler):
    """A site with a feed, a redirect to it, one endless redirect, a response that is too large, and one that is too slow."""

    def do_GET(self) -> None:
        if self.path == "/feed":
            self._send((SAMPLES / "rss.xml").read_bytes())
        elif self.path in ("/moved", "/loop"):
            self.send_response(302)
            self.send_header("Location", "/feed" if self.path == "/moved" else "/loop")
            self.end_headers()
        elif self.path == "/file":
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname")
            self.end_headers()
        elif self.path == "/bomb":
            self._send(gzip.compress(b" " * 60_000_000), {"Content-Encoding": "gzip"})
        elif self.path == "/slow":
            self.send_response(200)
            self.end_headers()
            for _ in range(100):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.05)
        else:
            self.send_error(404)

    def _send(self, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(200)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


def test_an_address_is_imported(here: Running) -> None:
    with serving(Web) as site:
        done = command(here, "import", f"{site}/moved")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(",")[3].strip() == "0 failed"
    assert get(here, "/by-external-id/courier-101")["title"] == "Tide gauge moves to the new pier"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/loop", "redirect"),
        ("/file", "cannot be fetched"),
        ("/bomb", "more than 50 mb"),
        ("/slow", "takes longer"),
        ("/missing", "answers 404"),
    ],
)
def test_a_malicious_address_is_reported_with_the_reason(path: str, reason: str) -> None:
    from newswire_cli.importing.fetching import fetch
    from newswire_ingest.importing.models import UnreadableSourceError

    # The time limit must not end the other requests on a busy machine.
    seconds = 1.0 if path == "/slow" else 60.0
    with serving(Web) as site, pytest.raises(UnreadableSourceError) as caught, fetch(site + path, max_seconds=seconds):
        pass
    assert reason in caught.value.reason.lower()


MANY = 1500


# Must be last: the export above would contain all of these.
def test_a_killed_import_is_completed_by_the_next_run(here: Running, tmp_path: Path) -> None:
    before = number_of_articles(here)
    path = lines(
        tmp_path / "many.ndjson", [story(f"many-{n}", body="<p>" + "word " * 400 + "</p>") for n in range(MANY)]
    )
    environment = BARE | {"NEWSWIRE_PUBLIC_URL": here.site, "NEWSWIRE_DATA_DIR": str(here.data_dir)}
    process = subprocess.Popen([*NEWSWIRE, "import", str(path)], env=environment, stdout=subprocess.PIPE)
    until(lambda: get(here, "/by-external-id/many-250").get("id"))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was over before it was killed"

    again = command(here, "import", str(path))
    assert again.returncode == 0, again.stderr
    created, updated, unchanged = (int(part.split()[0].replace(",", "")) for part in again.stdout.split(", ")[:3])
    assert (created + unchanged, updated) == (MANY, 0)
    assert unchanged > 250
    assert number_of_articles(here) == before + MANY
    assert command(here, "import", str(path)).stdout.startswith(f"0 created, 0 updated, {MANY:,} unchanged")
