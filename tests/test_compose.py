"""The compose file names the servers that the tests run on."""

from pathlib import Path

import yaml

from tests.servers.images import IMAGES

ROOT = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


def test_the_images_are_those_of_the_one_list() -> None:
    assert {name: service["image"] for name, service in COMPOSE.items() if "image" in service} == IMAGES


def test_every_service_says_when_it_is_healthy_and_what_it_may_use() -> None:
    for name, service in COMPOSE.items():
        assert service["healthcheck"]["test"], name
        assert service["deploy"]["resources"]["limits"]["memory"], name


def test_redis_keeps_every_answered_write() -> None:
    command = " ".join(COMPOSE["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--appendfsync always" in command
    assert "--maxmemory-policy noeviction" in command
