"""The audit of dependencies finds applicable advisories, reports what it could not check, and never passes silently."""

import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.servers.valkey import free_port

SCRIPT = Path(__file__).parent.parent / ".ci/audit.py"
LOCK = "ferry-lib==1.4.2 \\\n    --hash=sha256:00\nharbour[extra]==2.0 ; python_version < '4' \\\n    --hash=sha256:00\nsafe==1\n"


def record(name: str, **affected: Any) -> dict[str, Any]:
    package = {"ecosystem": "PyPI", "name": name}
    return {
        "id": f"X-{name}",
        "aliases": ["CVE-1"],
        "summary": "It leaks.",
        "affected": [{"package": package, **affected}],
    }


def ranged(**events: str) -> list[dict[str, Any]]:
    return [{"type": "ECOSYSTEM", "events": [{kind: version} for kind, version in events.items()]}]


def audit(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "some.lock").write_text(LOCK)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NEWSWIRE_")}
    return subprocess.run(
        [sys.executable, SCRIPT, "some.lock"], cwd=folder, text=True, capture_output=True, env=clean | environment
    )


def with_file(folder: Path, *records: dict[str, Any], **environment: str) -> subprocess.CompletedProcess[str]:
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        for number, each in enumerate(records):
            archive.writestr(f"{number}.json", json.dumps(each))
    return audit(folder, NEWSWIRE_ADVISORIES="all.zip", **environment)


@pytest.mark.parametrize(
    ("affected", "applies"),
    [
        ({"versions": ["1.4.1", "1.4.2"]}, True),
        ({"versions": ["1.4.2.0"]}, True),
        ({"versions": ["1.4.1"]}, False),
        ({"ranges": ranged(introduced="0", fixed="1.4.3")}, True),
        ({"ranges": ranged(introduced="0", fixed="1.4.2")}, False),
        ({"ranges": ranged(introduced="1.4.3")}, False),
        ({"ranges": ranged(introduced="1.4", last_affected="1.4.2")}, True),
        ({"ranges": ranged(introduced="1.4", last_affected="1.4.1")}, False),
        ({"ranges": ranged(introduced="no version")}, True),
        ({"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}, False),
    ],
)
def test_an_advisory_applies_by_the_version(tmp_path: Path, affected: dict[str, Any], applies: bool) -> None:
    done = with_file(tmp_path, record("Ferry_Lib", **affected))
    assert done.returncode == int(applies), done.stderr
    assert ("ferry-lib 1.4.2: X-Ferry_Lib CVE-1 It leaks." in done.stdout) == applies
    assert "dependency audit: 3 packages" in done.stdout


def test_withdrawn_inapplicable_and_ignored_advisories_do_not_count(tmp_path: Path) -> None:
    ours = record("harbour", versions=["2.0"])
    assert (
        with_file(tmp_path, ours | {"withdrawn": "2026-01-01T00:00:00Z"}, record("else", versions=["2.0"])).returncode
        == 0
    )
    judged = with_file(tmp_path, ours, NEWSWIRE_AUDIT_IGNORE="CVE-9, CVE-1")
    assert judged.returncode == 0
    assert "0 advisories apply, 1 ignored" in judged.stdout


@pytest.mark.parametrize("content", [None, b"no zip"])
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "all.zip").write_bytes(content)
    assert audit(tmp_path, NEWSWIRE_ADVISORIES="all.zip").returncode == 2
    assert with_file(tmp_path).returncode == 2


def test_without_the_service_the_audit_is_reported_as_skipped_unless_required(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    done = audit(tmp_path, NEWSWIRE_OSV_URL=nowhere)
    assert done.returncode == 0
    assert f"SKIPPED, nothing was audited: {nowhere} cannot be asked: " in done.stdout
    assert audit(tmp_path, NEWSWIRE_OSV_URL=nowhere, NEWSWIRE_AUDIT_REQUIRED="1").returncode == 2


class Service(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        self.answer(
            {"results": [{"vulns": [{"id": "X-1"}]} if one["package"]["name"] == "harbour" else {} for one in asked]}
        )

    def do_GET(self) -> None:
        self.answer({"id": self.path.rpartition("/")[2], "summary": "It leaks."})

    def answer(self, document: Any) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_service_is_queried_for_every_pin(tmp_path: Path, service: str) -> None:
    done = audit(tmp_path, NEWSWIRE_OSV_URL=service)
    assert done.returncode == 1
    assert "harbour 2.0: X-1 It leaks." in done.stdout
