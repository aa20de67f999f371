"""The compose file is one that Docker reads, and names the servers that the tests run on."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema.validators import validator_for

from newswire.settings import Settings
from newswire_cli.operations import OperationsSettings
from newswire_ingest.settings import IngestSettings
from newswire_notify.settings import NotifySettings
from newswire_search.settings import SearchSettings
from tests.servers.images import IMAGES

ROOT = Path(__file__).parent.parent
FILES = [ROOT / "docker-compose.yml", *ROOT.glob("tests/faults/*compose*.yml")]
COMPOSE = yaml.safe_load(FILES[0].read_text())["services"]
SETTINGS: dict[str, type[Settings]] = {
    "ingest": IngestSettings,
    "search": SearchSettings,
    "notify": NotifySettings,
    "operations": OperationsSettings,
}
OURS = list(SETTINGS)


def problems(document: Any) -> list[str]:
    """Return what the published schema of compose files finds wrong."""
    schema = json.loads(files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text())
    validator = validator_for(schema)
    validator.check_schema(schema)
    return [f"{error.json_path}: {error.message}" for error in validator(schema).iter_errors(document)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_keeps_to_the_published_schema(path: Path) -> None:
    document = yaml.safe_load(path.read_text())

    assert problems(document) == []
    assert problems(document | {"services": {"ingest": {"imagee": "x"}}}) != []


def test_the_images_are_those_of_the_one_list() -> None:
    assert {name: service["image"] for name, service in COMPOSE.items() if "image" in service} == IMAGES


def test_every_service_says_when_it_is_healthy_and_what_it_may_use() -> None:
    for name, service in COMPOSE.items():
        assert service["healthcheck"]["test"], name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}, name


def test_who_depends_on_a_service_waits_until_it_is_healthy() -> None:
    for name, service in COMPOSE.items():
        assert all(how == {"condition": "service_healthy"} for how in service.get("depends_on", {}).values()), name


@pytest.mark.parametrize("name", OURS)
def test_our_containers_may_do_nothing_they_need_not(name: str) -> None:
    service = COMPOSE[name]
    assert service["build"]["args"] == {"SERVICE": name}
    assert service["user"] == "10001:10001"
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "ports" not in service


@pytest.mark.parametrize("name", OURS)
def test_each_service_understands_its_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in COMPOSE[name]["environment"].items():
        monkeypatch.setenv(variable, str(value))
    monkeypatch.setenv("NEWSWIRE_CORS_ORIGINS", "https://news.example, https://press.example")
    settings = SETTINGS[name]()
    assert settings.cors_origins == ["https://news.example", "https://press.example"]
    assert "127.0.0.1" in settings.trusted_proxies


def test_only_the_gateway_can_be_reached_and_only_from_this_machine() -> None:
    assert {name: service["ports"] for name, service in COMPOSE.items() if "ports" in service} == {
        "gateway": ["127.0.0.1:8000:8000"]
    }


def test_redis_keeps_every_answered_write() -> None:
    command = " ".join(COMPOSE["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--appendfsync always" in command
    assert "--maxmemory-policy noeviction" in command
