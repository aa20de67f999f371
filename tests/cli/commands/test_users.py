"""Users from the command line, against a running Newswire."""

from collections.abc import Callable
from pathlib import Path

import httpx

from tests.cli.running import Running, newswire

Start = Callable[..., Running]
PASSWORD = "velvet ferry onion quay"


def test_a_user_is_created_accepts_the_invitation_and_is_disabled(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path / "data", "--no-samples")
    data = ["--data-dir", str(running.data_dir)]
    made = newswire(
        "users",
        "create",
        "ida@harbour.example",
        "--name",
        "Ida Roth",
        "--account",
        "gazette",
        "--role",
        "editor",
        "--site",
        running.site,
        *data,
    )
    assert made.returncode == 0, made.stderr
    link = made.stdout.strip()
    assert link.startswith(f"{running.site}/invitation/")
    assert "once, within 7 days" in made.stderr
    with httpx.Client(trust_env=False, follow_redirects=True) as browser:
        assert browser.get(link).status_code == 200
        assert browser.post(link, data={"password": PASSWORD}).url.path == "/desk"

        listed = newswire("users", "list", *data).stdout.splitlines()
        assert listed[-1].split("\t")[:4] == ["ida@harbour.example", "Ida Roth", "gazette: editor", "enabled"]

        assert newswire("users", "sign-out", "IDA@harbour.example", *data).returncode == 0
        assert browser.get(f"{running.site}/account").url.path == "/sign-in"
        again = newswire("users", "link", "ida@harbour.example", "--site", running.site, *data).stdout.strip()
        assert browser.post(again).url.path == "/desk"
        assert newswire("users", "disable", "ida@harbour.example", *data).returncode == 0
        assert browser.get(f"{running.site}/account").url.path == "/sign-in"

    roles = ["--account", "gazette", "--role", "writer", "--role", "newsletters"]
    assert newswire("users", "set-roles", "ida@harbour.example", *roles, *data).returncode == 0
    assert "gazette: newsletters, writer" in newswire("users", "list", *data).stdout
    acts = newswire("audit", "list", "--act", "user.", *data).stdout
    assert "user ida" not in acts
    signed_in = next(line for line in acts.splitlines() if "user.signed_in" in line).split("\t")
    assert signed_in[3] == signed_in[2]  # its actor is its target, `user usr_…`
    assert newswire("users", "delete", "ida@harbour.example", *data).returncode == 0
    assert "ida@harbour.example" not in newswire("users", "list", *data).stdout


def test_mistakes_end_with_one_line(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path / "data", "--no-samples")
    data = ["--data-dir", str(running.data_dir)]
    for arguments, told in (
        (["create", "ida", "--name", "Ida", "--account", "gazette", "--role", "editor"], "@-sign"),
        (["create", "ida@harbour.example", "--name", "Ida", "--account", "Nowhere", "--role", "editor"], "no account"),
        (["link", "ida@harbour.example"], "there is no user ida@harbour.example"),
    ):
        failed = newswire("users", *arguments, *data)
        assert failed.returncode == 1
        assert told in failed.stderr
        assert len(failed.stderr.splitlines()) == 1


def test_a_link_opens_the_portal_of_an_account_once(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path / "data", "--no-samples")
    data = ["--data-dir", str(running.data_dir)]
    made = newswire("portal-link", "--account", "subscriber", "--minutes", "5", "--site", running.site, *data)
    assert made.returncode == 0, made.stderr
    link = made.stdout.strip()
    with httpx.Client(trust_env=False, follow_redirects=True) as browser:
        assert "subscriber" in browser.get(link).text
        token = {"token": link.rpartition("/")[2]}
        assert browser.post(f"{running.site}/portal/open", data=token).url.path == "/portal"
        assert browser.post(f"{running.site}/portal/open", data=token).status_code == 404
    unknown = newswire("portal-link", "--account", "nobody", *data)
    assert (unknown.returncode, "there is no account nobody" in unknown.stderr) == (1, True)
