"""Templates are compiled before the first request, and once in a process."""

from typing import Any

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


async def test_no_request_compiles_a_template(
    embedded_index: EmbeddedIndex, redis: Redis, namespace: str, compiled: list[str]
) -> None:
    async with client_for(embedded_index, redis, namespace) as client:
        compiled.clear()
        for path in ("/", "/search?q=quay", "/live", "/about", "/sections", "/articles/unknown"):
            await client.get(path, headers={"Accept": "text/html"})
    assert compiled == []
