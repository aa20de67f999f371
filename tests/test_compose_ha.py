"""The highly available setup of the compose file: what it adds fits together, and its servers keep their roles."""

import os
import re
import socket
import ssl
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from newswire.storage.redis_url import parse_redis_url
from tests.polling import DEADLINE_SECONDS
from tests.test_compose import COMPOSE, OURS, SETTINGS

ROOT = Path(__file__).parent.parent
FILE = ROOT / "docker-compose.ha.yml"
ADDED = yaml.safe_load(FILE.read_text())["services"]
REDIS = ("redis", "redis-2", "redis-3")
SENTINELS = ("sentinel", "sentinel-2", "sentinel-3")
NODES = ("elasticsearch", "elasticsearch-2", "elasticsearch-3")
PASSWORD = "of-the-stores"


def filled(value: object) -> str:
    """Return a value as compose fills it in."""
    return re.sub(r"\$\{\w+:\?[^}]*\}", PASSWORD, re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value)))


def address(name: str) -> str:
    return filled(ADDED[name]["networks"]["records"]["ipv4_address"])


def test_there_are_two_of_every_service_and_three_of_every_store() -> None:
    assert {name: ADDED[name]["deploy"]["replicas"] for name in OURS} == dict.fromkeys(OURS, 2)
    assert {name for name in ADDED if name not in COMPOSE} == {
        *REDIS[1:], *SENTINELS, *NODES[1:], "certificates", "gateway-2",
    }  # fmt: skip


@pytest.mark.parametrize("name", [*REDIS[1:], *SENTINELS, *NODES[1:]])
def test_further_stores_are_like_the_first(name: str) -> None:
    first = "redis" if name.startswith(("redis", "sentinel")) else "elasticsearch"
    assert ADDED[name]["extends"] == {"file": "docker-compose.yml", "service": first}
    volumes = {each.split(":")[1]: each.split(":")[0] for each in ADDED[name]["volumes"]}
    data = COMPOSE[first]["volumes"][0].split(":")
    assert (
        volumes[data[1]]
        == {"redis": name, "elasticsearch": name.replace("elasticsearch", "index")}.get(first, name) + "-data"
    )


def test_the_second_gateway_is_like_the_first() -> None:
    first, second = COMPOSE["gateway"], ADDED["gateway-2"]
    assert {**second, "ports": first["ports"]} == first
    assert second["ports"] == ["127.0.0.1:8010:8000", "127.0.0.1:8011:8001"]


def test_what_makes_certificates_may_do_nothing_else() -> None:
    made = ADDED["certificates"]
    assert (made["cap_drop"], made["read_only"], made["network_mode"]) == (["ALL"], True, "none")
    assert made["security_opt"] == ["no-new-privileges:true"]
    assert made["command"][3:] == list(NODES)


@pytest.mark.parametrize("name", ["ingest", "search", "notify"])
def test_services_ask_all_sentinels_and_wait_for_a_replica(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in (COMPOSE[name]["environment"] | ADDED[name]["environment"]).items():
        if variable != "NEWSWIRE_ELASTICSEARCH_CA_CERTS":
            monkeypatch.setenv(variable, filled(value))
    settings = SETTINGS[name]()
    found = parse_redis_url(settings.redis_url.get_secret_value())
    assert settings.redis_min_replicas == 1
    assert (found.service, [host for host, _ in found.sentinels]) == ("newswire", [address(each) for each in SENTINELS])
    assert (found.options["password"], found.sentinel_options["password"]) == (PASSWORD, PASSWORD)


def test_stores_know_each_other() -> None:
    for name in (*REDIS, *SENTINELS):
        environment = ADDED[name]["environment"]
        assert filled(environment["REDIS_FIRST"]) == address("redis")
        assert filled(environment["REDIS_SENTINELS"]).split() == [address(each) for each in SENTINELS]
        assert filled(environment["REDIS_ADDRESS"]) == address(name)
    for name in NODES:
        environment = ADDED[name]["environment"]
        assert environment["node.name"] == name
        assert environment["discovery.seed_hosts"] == environment["cluster.initial_master_nodes"] == ",".join(NODES)
        assert environment["xpack.security.http.ssl.certificate"] == f"certificates/{name}.crt"
        assert environment["xpack.security.transport.ssl.key"] == f"certificates/{name}.key"
    urls = ADDED["search"]["environment"]["NEWSWIRE_ELASTICSEARCH_URL"]
    assert urls.split(",") == [f"https://{name}:9200" for name in NODES]


def test_redis_is_as_durable_as_in_the_production_setup() -> None:
    (single,) = (word for word in COMPOSE["redis"]["command"] if "redis-server" in word)
    flags = re.findall(r"--(?!protected)[\w-]+ \S+", single)
    script = (ROOT / "compose/run-redis.sh").read_text()
    assert len(flags) == 6
    assert [flag for flag in flags if flag not in script] == []


def test_later_compose_commands_use_both_files(tmp_path: Path) -> None:
    (tmp_path / "docker").write_text('#!/bin/sh\necho "$@" >> asked\n')
    (tmp_path / "docker").chmod(0o755)
    for _ in range(2):
        make = ["make", "-s", "-f", str(ROOT / "Makefile"), "up-ha"]
        subprocess.run(make, cwd=tmp_path, env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}, check=True)
    assert (tmp_path / ".env").read_text().count("COMPOSE_FILE=docker-compose.yml:docker-compose.ha.yml\n") == 1
    assert (tmp_path / "asked").read_text() == "compose up --build --wait\n" * 2


@pytest.fixture
def started(tmp_path: Path) -> Path:
    """Return a folder for the state of a Redis, where `redis-server` only ends and Sentinels name what is in `primary`."""
    (tmp_path / "data").mkdir()
    for name, script in (
        ("redis-server", 'cp "$1" "$(dirname "$0")/used"'),
        ("redis-cli", 'cat "$(dirname "$0")/primary"'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def start(folder: Path, script: str, own: str, named: str | None = None) -> list[str]:
    """Start a server whose Sentinels name a primary, and return its configuration."""
    text = (ROOT / "compose" / script).read_text().replace("/data", str(folder / "data"))
    (folder / "script").write_text(text)
    if named is None:
        (folder / "primary").unlink(missing_ok=True)
    else:
        (folder / "primary").write_text(f"{named}\n6379\n")
    environment = {
        "PATH": f"{folder}:/usr/bin:/bin", "REDIS_ADDRESS": own, "REDIS_FIRST": "10.0.0.1", "REDIS_SENTINELS": "10.0.0.8 10.0.0.9",
        "REDISCLI_AUTH": PASSWORD,
    }  # fmt: skip
    subprocess.run(["sh", folder / "script"], env=environment, check=True)
    return (folder / "used").read_text().splitlines()


PASSWORDS = [f"requirepass {PASSWORD}", f"masterauth {PASSWORD}"]


def test_at_the_first_start_one_redis_is_the_primary_and_the_others_follow_it(started: Path) -> None:
    assert start(started, "run-redis.sh", "10.0.0.1") == PASSWORDS
    (started / "data/redis.conf").unlink()
    assert start(started, "run-redis.sh", "10.0.0.2") == ["replicaof 10.0.0.1 6379", *PASSWORDS]
    assert stat.S_IMODE((started / "data/redis.conf").stat().st_mode) == 0o600


def test_a_redis_that_starts_again_has_the_role_that_it_had(started: Path) -> None:
    """All were stopped, and no Sentinel runs yet: the first one was a replica in the end."""
    rewritten = (
        'replicaof 10.0.0.2 6379\nrequirepass "old"\nmasterauth "old"\nuser default on #abc ~* &* +@all\nport 6379\n'
    )
    (started / "data/redis.conf").write_text(rewritten)
    assert start(started, "run-redis.sh", "10.0.0.1") == ["replicaof 10.0.0.2 6379", "port 6379", *PASSWORDS]


def test_a_former_primary_follows_the_one_that_sentinels_name(started: Path) -> None:
    start(started, "run-redis.sh", "10.0.0.1")
    assert start(started, "run-redis.sh", "10.0.0.1", "10.0.0.2") == ["replicaof 10.0.0.2 6379", *PASSWORDS]
    assert start(started, "run-redis.sh", "10.0.0.1", "10.0.0.1") == PASSWORDS


def test_a_sentinel_keeps_what_it_learned_and_gets_new_passwords(started: Path) -> None:
    first = start(started, "run-sentinel.sh", "10.0.0.8")
    assert {"sentinel monitor newswire 10.0.0.1 6379 2", "sentinel announce-ip 10.0.0.8"} < set(first)
    learned = ["sentinel monitor newswire 10.0.0.2 6379 2", "sentinel myid abc"]
    old = [
        'requirepass "old"',
        "sentinel auth-pass newswire old",
        "sentinel sentinel-pass old",
        "user default on #abc +@all",
    ]
    (started / "data/sentinel.conf").write_text("\n".join([*learned, *old, ""]))
    now = start(started, "run-sentinel.sh", "10.0.0.8")
    assert now[:2] == learned
    assert now[2:] == [line for line in first if PASSWORD in line]
    assert len(now) == 5


def test_every_node_proves_its_name_with_a_certificate_of_the_authority(tmp_path: Path) -> None:
    make = [sys.executable, str(ROOT / "compose/make-certificates.py"), str(tmp_path), *NODES]
    subprocess.run(make, check=True)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(made) == {"ca.crt", *(f"{name}.{kind}" for name in NODES for kind in ("crt", "key"))}
    assert stat.S_IMODE((tmp_path / "elasticsearch.key").stat().st_mode) == 0o640
    for host in (NODES[1], "127.0.0.1"):
        assert handshake(tmp_path, NODES[1], host) == ""
    assert "certificate verify failed" in handshake(tmp_path, NODES[1], NODES[0])
    subprocess.run(make, check=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == made


def handshake(folder: Path, node: str, host: str) -> str:
    """Connect to a node that asks for a certificate too, as another node does; return the error, if there is one."""
    authority = str(folder / "ca.crt")
    client = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=authority)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
    for context in (server, client):
        context.load_cert_chain(folder / f"{node}.crt", folder / f"{node}.key")
    server.verify_mode = ssl.CERT_REQUIRED
    ours, theirs = socket.socketpair()

    def accept() -> None:
        try:
            with server.wrap_socket(theirs, server_side=True) as accepted:
                accepted.send(b"x")
        except OSError:
            theirs.close()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        with client.wrap_socket(ours, server_hostname=host) as connected:
            assert connected.recv(1) == b"x"
        return ""
    except ssl.SSLError as error:
        return str(error)
    finally:
        ours.close()
        accepting.join(DEADLINE_SECONDS)
