"""``python -m tests.golden.make_backup``: writes the golden backup of this release, which all later releases must restore.

It restores the oldest one, which has articles of every status, subscriptions of every status and waiting deliveries, adds what came
later through the interfaces of this release, and backs everything up. A golden backup is made once, when a release is prepared, and
is not changed after that.
"""

import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import httpx

from tests.cli.running import Running, newswire

FOLDER = Path(__file__).parent
OLDEST = FOLDER.parent / "upgrade" / "backup-0.1.0.nw"
PUBLISHER = "nw_01k85prcvc6cpekh4zcg7y9dt2_b94a4d0f2ae5a6b94d648c9dda2d8e8f6043c8648fc48984"
SUBSCRIBER = "nw_01k85prjrt8cqyam06wczbypeq_f8bf1c894569bb16a936b3578f4089425a7233eaf02c50c7"
ADDED = {
    "/v1/drafts": {"content": {"title": "Ferry to the islands", "body": "<p>Not finished.</p>"}},
    "/v1/users": {"email": "ida@harbour.example", "name": "Ida Roth", "memberships": {"harbour-post": ["editor"]}},
    "/v1/newsletters": {
        "slug": "ferries",
        "name": "Ferry News",
        "description": "What moves on the water.",
        "sender": {"name": "Harbour Post", "address": "news@harbour.example"},
        "filter": {"categories": ["Transport"]},
    },
}


def main() -> int:
    """Write the backup of the installed release."""
    target = FOLDER / f"backup-{version('newswire')}.nw"
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        _run("restore", str(OLDEST), "--data-dir", str(data))
        running = Running(data)
        try:
            running.until_ready()
            admin = running.credentials()["NEWSWIRE_ADMIN_KEY"]
            for path, body in ADDED.items():
                key = {"/v1/drafts": PUBLISHER, "/v1/newsletters": SUBSCRIBER}.get(path, admin)
                headers = {"Authorization": f"Bearer {key}"}
                answer = httpx.post(running.site + path, headers=headers, json=body, timeout=30, trust_env=False)
                if answer.is_error:
                    raise SystemExit(f"{path}: {answer.text}")
            _run("backup", str(target), "--data-dir", str(data))
        finally:
            running.interrupt()
    sys.stdout.write(f"{target}: {target.stat().st_size:,} bytes\n")
    return 0


def _run(*arguments: str) -> None:
    done = newswire(*arguments)
    if done.returncode:
        raise SystemExit(done.stderr)


if __name__ == "__main__":
    sys.exit(main())
