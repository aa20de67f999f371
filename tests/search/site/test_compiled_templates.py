"""Templates are compiled before the first request, once in a process, and not at all if an earlier one has kept their code."""

from pathlib import Path
from typing import Any

import jinja2
import pytest
from jinja2 import DictLoader, Environment
from redis.asyncio import Redis

from newswire_search.index.embedded.index import EmbeddedIndex
from newswire_search.site.compiled_templates import CompiledTemplates, compile_templates
from tests.search.reader_client import client_for


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the templates that are compiled."""
    names: list[str] = []
    compile_: Any = Environment.compile

    def counted(self: Environment, source: str, name: str, *more: Any) -> Any:
        names.append(name)
        return compile_(self, source, name, *more)

    monkeypatch.setattr(Environment, "compile", counted)
    return names


def test_a_source_is_compiled_once_and_a_changed_one_again(compiled: list[str]) -> None:
    cache = CompiledTemplates()
    for sources in ({"one": "1", "two": "2"}, {"one": "1", "two": "another 2"}):
        environment = Environment(loader=DictLoader(sources), bytecode_cache=cache)
        compile_templates(environment, list(sources))
        assert {name: environment.get_template(name).render() for name in sources} == sources
    assert compiled == ["one", "two", "two"]


def test_the_next_process_uses_kept_code(tmp_path: Path, compiled: list[str]) -> None:
    folder, sources = tmp_path / "templates", {"one": "1", "two": "2"}
    for _process in range(2):
        environment = Environment(loader=DictLoader(sources), bytecode_cache=CompiledTemplates(folder))
        compile_templates(environment, list(sources))
        assert {name: environment.get_template(name).render() for name in sources} == sources
    assert compiled == ["one", "two"]

    sources["two"] = "another 2"
    environment = Environment(loader=DictLoader(sources), bytecode_cache=CompiledTemplates(folder))
    assert environment.get_template("two").render() == "another 2"
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("spoil", ["folder that others can write", "file that others can write", "library", "content"])
def test_kept_code_that_cannot_be_trusted_is_made_again(tmp_path: Path, compiled: list[str], spoil: str) -> None:
    def render() -> str:
        environment = Environment(loader=DictLoader({"one": "1"}), bytecode_cache=CompiledTemplates(tmp_path))
        return environment.get_template("one").render()

    tmp_path.chmod(0o700)
    assert render() == render() == "1"
    assert compiled == ["one"]
    (kept,) = tmp_path.iterdir()
    match spoil:
        case "folder that others can write":
            tmp_path.chmod(0o770)
        case "file that others can write":
            kept.chmod(0o602)
        case "library":
            kept.write_bytes(kept.read_bytes().replace(jinja2.__version__.encode(), b"3.0.0"))
        case _:
            kept.write_bytes(kept.read_bytes()[:40])
    assert render() == "1"
    assert compiled == ["one", "one"]


def test_templates_are_compiled_if_their_code_cannot_be_kept(tmp_path: Path) -> None:
    def render(folder: Path) -> str:
        environment = Environment(loader=DictLoader({"one": "1"}), bytecode_cache=CompiledTemplates(folder))
        return environment.get_template("one").render()

    (tmp_path / "a file").touch()
    assert render(tmp_path / "a file") == "1"
    folder = tmp_path / "templates"
    assert render(folder) == "1"
    (kept,) = folder.iterdir()
    kept.unlink()
    kept.mkdir()
    assert render(folder) == "1"
    assert list(folder.iterdir()) == [kept]


async def test_no_request_compiles_a_template(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str, compiled: list[str]
) -> None:
    async with client_for(embedded_index, redis, namespace) as client:
        compiled.clear()
        for path in ("/", "/search?q=quay", "/live", "/about", "/sections", "/articles/unknown"):
            await client.get(path, headers={"Accept": "text/html"})
    assert compiled == []
