"""The gateway sends each path to the service that owns it."""

import re
from pathlib import Path

from redis.asyncio import Redis

from newswire.app import Service, create_app
from newswire.settings import Settings
from newswire_ingest.app import assemble
from newswire_ingest.settings import IngestSettings
from newswire_notify.app import service
from newswire_notify.settings import NotifySettings

LOCATION = re.compile(r"location ~ (\^/v1/\(([^)]+)\)\(/\|\$\)) \{ proxy_pass \$(\w+); \}")


def paths(owner: Service) -> set[str]:
    found = create_app([owner], Settings(), redis=Redis()).openapi()["paths"]  # never connected
    return {path for path in found if path.startswith("/v1/")}


async def test_every_address_has_a_route_to_its_service() -> None:
    text = (Path(__file__).parents[1] / "gateway" / "default.conf").read_text()
    routed = {owner: re.compile(pattern) for pattern, _, owner in LOCATION.findall(text)}
    exact = set(re.findall(r"location = (/v1/\S+) \{", text))
    async with service(NotifySettings()) as notify:
        owned = {"ingest": paths(assemble(Redis(), IngestSettings())), "notify": paths(notify)}
    assert set(routed) == set(owned)
    for owner, pattern in routed.items():
        for path in owned[owner] - exact:
            assert pattern.match(path), (owner, path)
    assert exact <= owned["ingest"] | owned["notify"]
    # Routes that no service answered.
    assert not re.search(r"desk|newsletters|hub", text)
