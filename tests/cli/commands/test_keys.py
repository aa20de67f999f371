"""Keys from the command line, against a running Newswire."""

from collections.abc import Callable
from pathlib import Path

import httpx

from tests.cli.running import Running, newswire

Start = Callable[..., Running]
ARTICLE = {"title": "Keys turn", "body": "<p>They do.</p>"}


def publish(running: Running, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.post(f"{running.site}/v1/articles", headers=headers, json=ARTICLE, trust_env=False).status_code


def test_a_key_is_created_listed_and_revoked(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path / "data", "--no-samples")
    data = ["--data-dir", str(running.data_dir)]

    made = newswire("keys", "create", "--account", "Tide Post", "--scope", "publish", "--scope", "read", *data)
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    assert made.stdout == f"{token}\n"
    assert publish(running, token) == 201

    listed = newswire("keys", "list", *data).stdout.splitlines()
    mine = [line.split("\t") for line in listed if "Tide Post" in line]
    assert [cells[1:3] for cells in mine] == [["Tide Post", "publish,read"]]
    assert len(listed) == 1 + 4 + 1  # the heading, the keys of the first start, this key
    assert not any(token in line for line in listed)

    assert newswire("keys", "revoke", mine[0][0], *data).returncode == 0
    assert publish(running, token) == 401
    assert "revoked" in newswire("keys", "list", *data).stdout


def test_a_key_is_rotated_and_its_account_disabled(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path / "data", "--no-samples")
    data = ["--data-dir", str(running.data_dir)]
    old = newswire("keys", "create", "--account", "Tide Post", "--scope", "publish", *data).stdout.strip()

    rotated = newswire("keys", "rotate", old.split("_")[1], "--overlap", "1", *data)
    assert rotated.returncode == 0, rotated.stderr
    new = rotated.stdout.strip()
    assert new != old
    assert [publish(running, token) for token in (old, new)] == [201, 201]

    assert newswire("accounts", "disable", "Tide Post", *data).returncode == 0
    assert [publish(running, token) for token in (old, new)] == [401, 401]
    assert "disabled" in next(
        line for line in newswire("accounts", "list", *data).stdout.splitlines() if line.startswith("Tide Post")
    )
    enabled = newswire("accounts", "enable", "Tide Post", *data, NEWSWIRE_REDIS_MIN_REPLICAS="1")
    assert enabled.returncode == 0
    assert "done, but a failover of Redis may lose it: 0 of 0 connected replicas of Redis confirmed" in enabled.stderr
    assert newswire("accounts", "limit", "Tide Post", "--daily-quota", "5", *data).returncode == 0
    entitled = newswire("accounts", "set", "Tide Post", "--entitlement", '{"topics": ["Tides"]}', *data)
    assert entitled.returncode == 0, entitled.stderr
    mine = [line for line in newswire("accounts", "list", *data).stdout.splitlines() if line.startswith("Tide Post")]
    assert mine[0].split("\t")[3:] == ["", "5/day", '{"topics":["Tides"]}']
    assert newswire("accounts", "set", "Tide Post", "--entitlement", "null", *data).returncode == 0
    assert "Tides" not in newswire("accounts", "list", *data).stdout
    assert publish(running, new) == 201
    listed = newswire("audit", "list", "--target", "Tide Post", *data)
    assert listed.returncode == 0, listed.stderr
    rows = [line.split("\t")[1:4] for line in listed.stdout.splitlines()[1:]]
    done = "entitled", "entitled", "limited", "enabled", "disabled", "created"
    assert rows == [[f"account.{act}", "account Tide Post", "command_line"] for act in done]


def test_errors_of_keys_are_one_line(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path / "data", "--no-samples")
    data = ["--data-dir", str(running.data_dir)]

    for arguments in (
        ["keys", "revoke", "nobodys", *data],
        ["keys", "rotate", "nobodys", *data],
        ["accounts", "disable", "Nobody", *data],
        ["accounts", "limit", "Nobody", *data],
        ["accounts", "set", "Nobody", "--entitlement", "{}", *data],
        ["accounts", "set", "Nobody", "--entitlement", '{"places": []}', *data],
        ["topics", "merge", "Nothing", "Something", *data],
        ["keys", "create", "--account", "-no", "--scope", "read", *data],
        ["keys", "list", "--data-dir", str(tmp_path / "elsewhere")],
        ["dead-letters", "drop", "1-1", *data],
    ):
        answer = newswire(*arguments)
        assert answer.returncode == 1, arguments
        assert answer.stdout == ""
        assert len(answer.stderr.splitlines()) == 1, answer.stderr


def test_a_file_can_hold_the_address_of_the_server(redis_url: str, namespace: str, tmp_path: Path) -> None:
    address = tmp_path / "address"
    address.write_text(f"{redis_url}\n")
    environment = {"NEWSWIRE_REDIS_URL_FILE": str(address), "NEWSWIRE_NAMESPACE": namespace}

    made = newswire("keys", "create", "--account", "Tide Post", "--scope", "publish", **environment)
    assert made.returncode == 0, made.stderr
    assert "Tide Post" in newswire("keys", "list", **environment).stdout


def test_an_unreachable_server_is_a_one_line_error(tmp_path: Path) -> None:
    unreachable = {"NEWSWIRE_REDIS_URL": "redis://127.0.0.1:1/0"}
    for environment in (unreachable, {"NEWSWIRE_REDIS_URL_FILE": str(tmp_path / "missing")}):
        answer = newswire("keys", "list", **environment)

        assert answer.returncode == 1
        assert len(answer.stderr.splitlines()) == 1
        assert "NEWSWIRE_REDIS_URL" in answer.stderr
