"""The permissions of the services: as many as the sources call, and no more than a service's own keys."""

import ast
import re
from pathlib import Path

import pytest
from redis.asyncio import Redis

from newswire.keys import Keyspace
from newswire_operations.redis_acl import acl_rules, operator_rules, service_commands

ROOT = Path(__file__).parent.parent.parent
SHARED = ROOT / "shared/newswire"
METHODS = {
    "function_load": "function|load",
    "pubsub_numsub": "pubsub|numsub",
    "scan_iter": "scan",
    "zscan_iter": "zscan",
    "xinfo_groups": "xinfo",
    "xgroup_create": "xgroup",
    "xpending_range": "xpending",
}
"""Methods of the client that are not called like their command."""
NOT_OF_REDIS = frozenset(
    "append command copy debug pubsub discard echo keys move save shutdown sort wait watch".split()
)
"""Names of commands that the sources call on other objects only."""
NOT_OF = {"search": {"bgrewriteaof"}, "ingest": {"unlink"}, "notify": set[str]()}
"""What shared code calls for other services only, or a service on other objects only."""
OPTIONAL = frozenset(("config",))
"""Without it, INFO answers."""
OF_THE_CLIENT = frozenset(
    "ping info select multi exec fcall function|load client|setinfo client|setname unsubscribe".split()
)


async def known_commands(redis: Redis) -> set[str]:
    return {str(name).lower() for name in await redis.command()}


def called(folder: Path, known: set[str]) -> set[str]:
    found = set()
    for file in folder.rglob("*.lua"):
        found |= {name.lower() for name in re.findall(r"redis\.p?call\('(\w+)'", file.read_text())}
    for file in folder.rglob("*.py"):
        text = file.read_text()
        if not re.search(r"[Rr]edis|Keyspace", text):
            continue
        calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
        names = {node.func.attr for node in calls if isinstance(node.func, ast.Attribute)}
        names -= NOT_OF_REDIS
        names |= {name.lower() for name in re.findall(r'execute_command\(\s*"(\w+)"', text)}
        found |= {METHODS.get(name, name) for name in names if name in known or name in METHODS}
    return found - OPTIONAL


@pytest.mark.parametrize("service", ["ingest", "search", "notify"])
async def test_a_service_may_call_what_its_code_calls_and_nothing_else(redis: Redis, service: str) -> None:
    known = await known_commands(redis)
    used = called(SHARED, known) | called(ROOT / f"services/{service}", known)
    allowed = service_commands(service, Keyspace("n"))
    # What its commands need beside the process of the service is in the user of the commands.
    assert {
        "missing": used - allowed - {"sentinel", "cluster"} - NOT_OF[service],
        "unused": allowed - used - OF_THE_CLIENT,
    } == {
        "missing": set(),
        "unused": set(),
    }


async def test_the_rules_are_valid_and_end_at_the_namespace(redis: Redis, namespace: str) -> None:
    for rules in (*(acl_rules(each, namespace) for each in ("ingest", "search", "notify")), operator_rules(namespace)):
        await redis.execute_command("ACL", "SETUSER", namespace, "reset", *rules)
        reached = [rule for rule in rules if rule.startswith(("~", "%", "&"))]
        assert reached
        assert all(re.match(rf"(~|%R~|&)(\{{{namespace}\}}|{namespace}):", rule) for rule in reached)
    await redis.acl_deluser(namespace)


def test_a_cluster_needs_two_commands_more() -> None:
    for rules in (acl_rules("search", "{n}"), operator_rules("{n}")):
        assert {"+cluster|nodes", "+cluster|slots"} <= set(rules)
    assert service_commands("search", Keyspace("{n}")) - service_commands("search", Keyspace("n")) == {
        "cluster|nodes",
        "cluster|slots",
    }


def test_search_does_not_see_passwords_and_sessions() -> None:
    reached = "\n".join(acl_rules("search", "n"))
    for name in ("n:user", "n:session", "n:one-time-link", "{n}"):
        assert name not in reached
