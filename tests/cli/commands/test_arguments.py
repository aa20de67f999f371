"""Wrong arguments are reported before a command imports what takes seconds."""

import json
import subprocess
import sys

import pytest

from tests.cli.running import BARE

SLOW = {
    "fastapi",
    "newswire.http",
    "newswire_notify.deliveries",
    "newswire_notify.streaming",
    "newswire_search",
    "redis",
    "trafilatura",
}
_CALL = """
import json, sys
from newswire_cli.main import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    code = end.code
print(json.dumps({"code": code, "modules": sorted(sys.modules)}))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        "listen --filter Ferries",
        "listen --forward localhost:3000",
        "listen --secret whsec_short",
        "import none.md",
        "export --site localhost --key nw_x",
        "publish --key nw_x",
        "search x --site localhost",
        "restore none.backup",
        "reindex --drop-old --abandon",
        "dead-letters retry",
        "dead-letters drop x --all",
        "articles retract 01k --reason=",
        "subscriptions pause sub_1 --reason=",
        "accounts limit Desk",
        "keys create --account Desk --scope read --expires 2001-01-01",
    ],
)
def test_wrong_arguments_are_reported_before_slow_imports(arguments: str) -> None:
    call = [sys.executable, "-c", _CALL, *arguments.split()]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, env=BARE)
    ended = json.loads(done.stdout.splitlines()[-1])
    assert ended["code"] in (1, 2), done.stderr
    assert done.stderr
    loaded = {name for name in ended["modules"] if any(name == slow or name.startswith(f"{slow}.") for slow in SLOW)}
    assert loaded == set()
