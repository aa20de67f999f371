"""Check the Lua functions with luacheck, each library as the server reads it: its files after each other, sharing their locals.

Without luacheck (Debian: `apt-get install lua-check`) nothing is checked, and the last line says so; with CI set that is an error.
Exit codes: 0 nothing found or nothing checked, 1 findings, 2 it could not be done.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from newswire.auth.credentials import LUA as ACCOUNTS
from newswire.messaging.groups import LUA as GROUPS
from newswire.storage.redis_functions import REGISTER, LuaSource
from newswire.users.records import LUA as USERS
from newswire_ingest.archive.repository import LUA as ARCHIVE
from newswire_ingest.articles.repository import LUA as ARTICLES
from newswire_ingest.backup.backup import LUA as BACKUP
from newswire_ingest.drafts.repository import LUA as DRAFTS
from newswire_ingest.imports.repository import LUA as IMPORTS
from newswire_ingest.media.repository import LUA as MEDIA
from newswire_ingest.outcomes.repository import LUA as OUTCOMES
from newswire_notify.deliveries.queue import LUA as DELIVERIES
from newswire_notify.newsletters.repository import LUA as NEWSLETTERS
from newswire_notify.websub.functions import LUA as HUB
from newswire_search.feeds.index_changes import LUA as INDEX_STATE

SOURCES = (
    ACCOUNTS,
    USERS,
    GROUPS,
    ARCHIVE,
    ARTICLES,
    BACKUP,
    DRAFTS,
    OUTCOMES,
    MEDIA,
    IMPORTS,
    DELIVERIES,
    NEWSLETTERS,
    HUB,
    INDEX_STATE,
)
# Redis runs Lua 5.1 in a sandbox: no io, os, require or global writes.
OPTIONS = [
    "--std",
    "none",
    "--no-color",
    "--no-default-config",
    "--formatter",
    "plain",
    "--codes",
    "--max-line-length",
    "140",
]
READABLE = [
    "redis",
    "cjson",
    "ipairs",
    "next",
    "pairs",
    "tonumber",
    "tostring",
    "type",
    "unpack",
    "pcall",
    "string",
    "table",
    "math",
]
_FINDING = re.compile(r"^[^:]+:(\d+):(\d+): (.*)$")


def main() -> int:
    """Check every library."""
    luacheck = shutil.which("luacheck")
    if luacheck is None:
        print(
            "luacheck is not installed: the Lua functions were not checked (Debian: apt-get install lua-check)",
            file=sys.stderr,
        )
        return 2 if os.environ.get("CI") else 0
    found = [finding for source in SOURCES for finding in check(luacheck, source)]
    print("\n".join(found) or f"All checks passed: {sum(len(source.files()) for source in SOURCES)} Lua files.")
    return 1 if found else 0


def check(luacheck: str, source: LuaSource) -> list[str]:
    """Return the findings in a library, each with its file and line."""
    lines = [("redis_functions.py", number, text) for number, text in enumerate(REGISTER.splitlines(), 1)]
    for name, text in source.files():
        lines += [(name, number, line) for number, line in enumerate(text.splitlines(), 1)]
    with tempfile.TemporaryDirectory() as folder:
        joined = Path(folder) / f"{source.name}.lua"
        joined.write_text("\n".join(text for _, _, text in lines) + "\n")
        command = [luacheck, *OPTIONS, "--read-globals", *READABLE, "--", str(joined)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode > 2:
        raise SystemExit(f"luacheck failed: {ended.stderr or ended.stdout}")
    return [_located(line, source, lines) for line in ended.stdout.splitlines() if line.strip()]


def _located(finding: str, source: LuaSource, lines: list[tuple[str, int, str]]) -> str:
    parts = _FINDING.match(finding)
    if parts is None:
        return f"{source.package}: {finding}"
    name, number, _ = lines[min(int(parts[1]), len(lines)) - 1]  # a syntax error may be behind the last line
    return f"{source.package}/{name}:{number}:{parts[2]}: {parts[3]}"


if __name__ == "__main__":
    sys.exit(main())
