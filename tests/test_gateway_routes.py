"""The gateway sends each path to the service that owns it."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

from redis.asyncio import Redis

from newswire.http.application import Service, create_app
from newswire.settings import Settings
from newswire_ingest.accounts.keys_api import Admin as KeysAdmin
from newswire_ingest.app import assemble
from newswire_ingest.settings import IngestSettings
from newswire_notify.app import service
from newswire_notify.deliveries.dead_letters_api import Admin as DeadLettersAdmin
from newswire_notify.settings import NotifySettings
from tests.test_compose import COMPOSE

GATEWAY = Path(__file__).parents[1] / "gateway"
LOCATION = re.compile(r"location ~ (\^/\S+) \{ (?:proxy_pass \$(\w+)|return (404)); \}")


def paths(owner: Service) -> set[str]:
    found = create_app([owner], Settings(), redis=Redis()).openapi()["paths"]  # never connected
    return {path for path in found if path.startswith(("/v1/", "/hub"))}


def locations(name: str) -> list[tuple[re.Pattern[str], str]]:
    """Return the locations of a file in nginx's order, each with the service or 404."""
    found = LOCATION.findall((GATEWAY / name).read_text())
    return [(re.compile(pattern), service or status) for pattern, service, status in found]


def answering(path: str, doors: list[tuple[re.Pattern[str], str]]) -> str:
    return next((owner for pattern, owner in doors if pattern.search(path)), "search")


def exact() -> set[str]:
    return set(re.findall(r"location = (/v1/\S+) \{", (GATEWAY / "routes.conf").read_text()))


async def owned() -> dict[str, set[str]]:
    async with service(NotifySettings()) as notify:
        return {"ingest": paths(assemble(Redis(), IngestSettings())), "notify": paths(notify)}


async def test_every_address_has_a_route_to_its_service() -> None:
    doors = locations("operators-open.conf") + locations("routes.conf")
    for owner, found in (await owned()).items():
        for path in found - exact():
            assert answering(path, doors) == owner, path
    assert exact() <= set().union(*(await owned()).values())
    assert answering("/hub", doors) == "notify"
    for path in ("/portal", "/portal/live/stream", "/assets/notify/portal.css"):
        assert answering(path, doors) == "notify", path
    for path in (
        "/sign-in",
        "/sign-in/token",
        "/sign-out",
        "/forgot-password",
        "/invitation/token",
        "/account/prove",
        "/users/usr_1",
        "/desk",
        "/desk/x",
    ):
        assert answering(path, doors) == "ingest", path
    assert answering("/preview/token", doors) == "search"
    for path in ("/metrics", "/readyz", "/status", "/healthz"):
        assert answering(path, doors) == "operations", path
    assert answering("/v1/search", doors) == answering("/", doors) == "search"


async def test_the_public_port_rejects_exactly_the_routes_that_need_an_admin_key() -> None:
    public = locations("operators-closed.conf") + locations("routes.conf")
    for owner, found in (await owned()).items():
        for path in found - exact():
            assert answering(path, public) == ("404" if for_operators(path) else owner), path
    for path in (
        "/readyz",
        "/status",
        "/metrics",
        "/v1/keys",
        "/v1/accounts/x",
        "/v1/admin/whatever",
        "/v1/topics/merge",
    ):
        assert answering(path, public) == "404", path
    for path in ("/healthz", "/docs", "/openapi.json", "/asyncapi"):
        assert answering(path, public) == "operations", path
    for path in ("/v1/search", "/", "/feeds/rss", "/v1/keysmith", "/hubs", "/articles/metrics", "/metrics/of-a-town"):
        assert answering(path, public) in {"search"}, path


def for_operators(path: str) -> bool:
    return path.startswith("/v1/") and (
        path.split("/")[2] in {"keys", "accounts", "users", "audit-log", "dead-letters", "admin"}
        or path == "/v1/topics/merge"
    )


async def test_every_admin_only_route_is_closed() -> None:
    closed = 0
    async with service(NotifySettings()) as notify:
        for owner in (assemble(Redis(), IngestSettings()), notify):
            for route in (route for router in owner.routers for route in router.routes):
                asked = inspect.signature(route.endpoint).parameters.values()  # type: ignore[attr-defined]
                if any(each.annotation in {KeysAdmin, DeadLettersAdmin} for each in asked):
                    assert for_operators(route.path), route.path  # type: ignore[attr-defined]
                    closed += 1
    assert closed >= 10


def test_every_style_sheet_and_script_is_sent_to_a_service_that_has_it() -> None:
    listed = "from newswire.http.templating import _assets; print(*_assets)"
    known = {
        name: set(
            subprocess.run(
                [sys.executable, "-c", f"import newswire_{name}.app; {listed}"],
                check=True,
                capture_output=True,
                text=True,
            ).stdout.split()
        )
        for name in ("ingest", "search", "notify")
    }
    doors = locations("routes.conf")
    for path in set().union(*known.values()):
        assert path in known[answering(path, doors)], path
    assert any(path.startswith("/assets/notify/newsletters.") for path in known["notify"])


def test_each_gateway_file_exists() -> None:
    mounted = [
        volume.split(":")[1]
        for volume in COMPOSE["gateway"]["volumes"]
        if volume.startswith("./gateway/") and "{" not in volume
    ]
    chosen = next(volume for volume in COMPOSE["gateway"]["volumes"] if "{" in volume)
    assert (
        chosen
        == "./gateway/operators-${NEWSWIRE_GATEWAY_OPERATORS:-closed}.conf:/etc/nginx/newswire/operators-in-public.conf:ro"
    )
    included = re.findall(r"include (\S+);", (GATEWAY / "nginx.conf").read_text())
    assert set(included) == {*mounted, "/etc/nginx/newswire/operators-in-public.conf"} - {"/etc/nginx/nginx.conf"}
