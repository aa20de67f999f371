"""The check of the Lua functions covers every file, finds mistakes where they are, and says when it did not run."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from newswire.storage.redis_functions import LuaSource
from tests.conftest import lacking

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / ".ci/lint_lua.py"


@pytest.fixture
def lint() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lint_lua", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def luacheck() -> str:
    found = shutil.which("luacheck")
    if found is None:
        lacking("luacheck is not installed (Debian: lua-check)")
    return str(found)


def test_every_lua_file_is_checked(lint: ModuleType) -> None:
    stored = {path.name for member in ("shared", "services") for path in (ROOT / member).rglob("*.lua")}
    assert stored
    assert {name for source in lint.SOURCES for name, _ in source.files()} == stored


@pytest.mark.parametrize(
    ("mistake", "code"),
    [
        ("local unused = 1", "W211"),
        ("local function unused(keys) return keys end", "W211"),
        ("leaked = 1", "W111"),
        ("register('a', function() return misspelt end)", "W113"),
        ("register('a', function() return os.time() end)", "W113"),
        ("redis.call = nil", "W122"),
        ("local twice = 1\nlocal twice = 2\nregister('a', function() return twice end)", "W411"),
        ("local function open(", "E011"),
    ],
)
def test_a_mistake_is_found_where_it_is(
    lint: ModuleType, luacheck: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str, code: str
) -> None:
    package = tmp_path / "sampled"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "first.lua").write_text("local function shared() return 1 end\n")
    (package / "second.lua").write_text(f"register('b', shared)\n{mistake}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "sampled", raising=False)
    found = lint.check(luacheck, LuaSource("sampled", "second", ("first",)))
    assert any(finding.startswith("sampled/second.lua:") and code in finding for finding in found), found


def test_a_file_may_use_the_functions_of_the_files_before_it(lint: ModuleType, luacheck: str) -> None:
    assert [finding for source in lint.SOURCES for finding in lint.check(luacheck, source)] == []


@pytest.mark.parametrize(("environment", "code"), [({}, 0), ({"CI": "true"}, 2)])
def test_without_luacheck_it_says_so_and_fails_only_in_ci(
    environment: dict[str, str], code: int, tmp_path: Path
) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "CI"}
    ended = subprocess.run(
        [sys.executable, SCRIPT],
        env=kept | environment | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    assert "were not checked" in ended.stderr


def test_every_function_has_tests_of_its_own() -> None:
    registered = {
        name
        for member in ("shared", "services")
        for path in (ROOT / member).rglob("*.lua")
        for name in re.findall(r"^register\('(\w+)'", path.read_text(), re.MULTILINE)
    }
    files = (
        "ingest/archive/test_redis_functions",
        "ingest/drafts/test_redis_functions",
        "ingest/imports/test_redis_functions",
        "ingest/test_redis_functions",
        "ingest/media/test_media_functions",
        "notify/test_queue_functions",
        "notify/newsletters/test_redis_functions",
        "notify/test_websub_functions",
        "search/test_index_state",
        "shared/test_redis_functions_of_groups_and_accounts",
        "shared/users/test_redis_functions",
    )
    tests = "\n".join((ROOT / f"tests/{file}.py").read_text() for file in files)
    assert len(registered) > 30
    assert {name for name in registered if f"async def test_{name}_" not in tests} == set()
