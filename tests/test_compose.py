"""The compose file is valid, and uses the servers that the tests run on."""

import json
import re
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema.validators import validator_for

from newswire.settings import Settings
from newswire_ingest.settings import IngestSettings
from newswire_notify.settings import NotifySettings
from newswire_operations.settings import OperationsSettings
from newswire_search.settings import SearchSettings
from tests.servers.images import IMAGES

ROOT = Path(__file__).parent.parent
FILES = [ROOT / "docker-compose.yml", ROOT / "docker-compose.ha.yml", *ROOT.glob("tests/faults/*compose*.yml")]
COMPOSE = yaml.safe_load(FILES[0].read_text())["services"]
SETTINGS: dict[str, type[Settings]] = {
    "ingest": IngestSettings,
    "search": SearchSettings,
    "notify": NotifySettings,
    "operations": OperationsSettings,
}
OURS = list(SETTINGS)
SET_UP = "elasticsearch-user"
"""Ends once it has done its work."""
THREAT_MODEL = ROOT / "docs/threat-model.md"


def problems(document: Any) -> list[str]:
    """Return the violations of the published schema of compose files."""
    schema = json.loads(files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text())
    validator = validator_for(schema)
    validator.check_schema(schema)
    return [f"{error.json_path}: {error.message}" for error in validator(schema).iter_errors(document)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_matches_the_published_schema(path: Path) -> None:
    document = yaml.safe_load(path.read_text())

    assert problems(document) == []
    assert problems(document | {"services": {"ingest": {"imagee": "x"}}}) != []


def test_the_images_are_those_of_the_list() -> None:
    named = {name: service["image"].partition("@")[0] for name, service in COMPOSE.items() if "image" in service}
    assert named.pop(SET_UP) == IMAGES["elasticsearch"]
    assert named == IMAGES


def test_every_service_has_a_health_check_and_limits() -> None:
    for name, service in COMPOSE.items():
        assert name == SET_UP or service["healthcheck"]["test"], name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}, name


def test_dependents_wait_until_a_service_is_healthy() -> None:
    for name, service in COMPOSE.items():
        for other, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other == SET_UP else "service_healthy"
            assert how == {"condition": wanted}, name


@pytest.mark.parametrize("name", OURS)
def test_our_containers_run_as_an_unprivileged_user(name: str) -> None:
    assert COMPOSE[name]["build"]["args"] == {"SERVICE": name}
    assert COMPOSE[name]["user"] == "10001:10001"
    assert "ports" not in COMPOSE[name]


@pytest.mark.parametrize("name", COMPOSE)
def test_containers_have_no_unneeded_privileges(name: str) -> None:
    service = COMPOSE[name]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("read_only") or name == "elasticsearch"
    assert not any("docker.sock" in volume for volume in service.get("volumes", ()))


def test_networks_connect_only_what_has_to_communicate() -> None:
    networks = yaml.safe_load(FILES[0].read_text())["networks"]
    members: dict[str, set[str]] = {name: set() for name in networks}
    for name, service in COMPOSE.items():
        for network in service["networks"]:
            members[network].add(name)
    assert members == {
        "outside": {"gateway", "mail"},
        "internet": {"notify"},
        "services": {"gateway", "ingest", "search", "notify", "operations"},
        "records": {"redis", "ingest", "search", "notify"},
        "mail": {"mail", "notify"},
        "index": {"elasticsearch", SET_UP, "search"},
    }
    assert {name for name, about in networks.items() if (about or {}).get("internal")} == {
        "services",
        "records",
        "mail",
        "index",
    }


def test_the_archive_is_mounted_by_all_that_read_old_texts() -> None:
    mounted = {name for name, service in COMPOSE.items() if "archive:/archive" in service.get("volumes", ())}
    assert mounted == {"ingest", "search", "notify"}
    made = re.search(r"install -d -o 10001 -g 10001 -m 0750 (.*)", (ROOT / "Dockerfile").read_text())
    assert made, "a new volume takes over the owner of its folder"
    assert "/archive" in made[1].split()


def test_replicas_of_notify_can_share_one_read_of_the_stream() -> None:
    mounted = {name for name, service in COMPOSE.items() if "stream-relay:/stream-relay" in service.get("volumes", ())}
    assert mounted == {"notify"}
    assert "install -d -o 10001 -g 10001 -m 0700 /stream-relay" in (ROOT / "Dockerfile").read_text()


def test_only_the_networks_of_the_gateway_are_trusted_proxies() -> None:
    """Otherwise a reader in a private network could claim any address."""
    networks = yaml.safe_load(FILES[0].read_text())["networks"]
    subnets = [networks[name]["ipam"]["config"][0]["subnet"] for name in ("services", "outside")]
    for name in ("ingest", "search", "notify"):
        assert COMPOSE[name]["environment"]["NEWSWIRE_TRUSTED_PROXIES"] == ",".join(["127.0.0.1", *subnets])


def test_every_password_comes_from_the_file_that_make_writes(tmp_path: Path) -> None:
    text = FILES[0].read_text()
    named = set(re.findall(r"\$\{(\w+_PASSWORD):\?", text))
    (tmp_path / ".env").write_text("ELASTIC_PASSWORD=kept\n")
    for _ in range(2):
        subprocess.run(["make", "-s", "-f", str(ROOT / "Makefile"), ".env"], cwd=tmp_path, check=True)
    written = dict(line.split("=") for line in (tmp_path / ".env").read_text().splitlines())
    assert set(written) == named
    assert written.pop("ELASTIC_PASSWORD") == "kept"
    assert all(re.fullmatch("[0-9a-f]{48}", value) for value in written.values())
    assert len(set(written.values())) == len(written)
    assert not re.search(r"_PASSWORD\}", text), "without it, compose would take an empty one"


def test_health_checks_do_not_use_a_proxy() -> None:
    """Docker sets `http_proxy` in every container where its own client has a proxy, and that one cannot reach the container."""
    documents = [yaml.safe_load(path.read_text())["services"].values() for path in FILES[:2]]
    checks = [str(service.get("healthcheck", {}).get("test")) for services in documents for service in services]
    by_http = [check for check in checks if "http" in check]
    assert len(by_http) > len(OURS)
    for check in by_http:
        assert "--noproxy '*'" in check.replace("\\", "") or "ProxyHandler({})" in check


def test_no_password_is_part_of_a_command_line() -> None:
    for name, service in COMPOSE.items():
        told = f"{service.get('command')} {service.get('entrypoint')} {service.get('healthcheck')}"
        assert not re.search(r"(?<!\$)\$\{?\w*(PASSWORD|AUTH)", told), name
    assert "requirepass %s" in " ".join(COMPOSE["redis"]["command"])


def test_search_has_its_own_elasticsearch_user() -> None:
    environment = COMPOSE["search"]["environment"]
    script = (ROOT / "compose/make-search-user.sh").read_text()
    assert f"user/{environment['NEWSWIRE_ELASTICSEARCH_USERNAME']} <<" in script
    assert [name for name, service in COMPOSE.items() if "ELASTIC_PASSWORD" in service.get("environment", {})] == [
        "elasticsearch",
        SET_UP,
    ]


@pytest.mark.parametrize("name", OURS)
def test_the_settings_of_each_service_are_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in COMPOSE[name]["environment"].items():
        given = re.sub(r"\$\{(\w+):\?[^}]*\}", r"\1", str(value))  # as .env gives a value to each
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", given))
    monkeypatch.setenv("NEWSWIRE_CORS_ORIGINS", "https://news.example, https://press.example")
    settings = SETTINGS[name]()
    assert settings.cors_origins == ["https://news.example", "https://press.example"]
    assert "127.0.0.1" in settings.trusted_proxies


def test_only_the_gateway_and_the_mails_are_published_and_only_on_loopback() -> None:
    assert {name: service["ports"] for name, service in COMPOSE.items() if "ports" in service} == {
        "gateway": ["127.0.0.1:8000:8000", "127.0.0.1:8001:8001"],
        "mail": ["127.0.0.1:8025:8025"],
    }


def test_the_mail_viewer_runs_only_where_it_is_asked_for() -> None:
    assert {name: service["profiles"] for name, service in COMPOSE.items() if "profiles" in service} == {
        "mail": ["mail"]
    }
    assert not any("mail" in service.get("depends_on", {}) for service in COMPOSE.values())
    text = (ROOT / "docs/newsletters.md").read_text()
    assert "NEWSWIRE_SMTP_URL=smtp://mail:1025" in text
    assert "docker compose --profile mail up -d" in text


def test_redis_persists_every_acknowledged_write() -> None:
    command = " ".join(COMPOSE["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--appendfsync always" in command
    assert "--maxmemory-policy noeviction" in command
    # Erased text must not remain elsewhere: in a snapshot, or marked as deleted in a node of a stream.
    assert "--save ''" in command
    assert "--stream-node-max-entries 1" in command


def test_the_threat_model_names_existing_tests() -> None:
    named = set(re.findall(r"`([\w/]+\.py)`", THREAT_MODEL.read_text()))
    assert len(named) > 20
    assert {name for name in named if not (ROOT / "tests" / name).is_file()} == set()
