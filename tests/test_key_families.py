"""The declared families of Redis keys: the document lists them, their names do not overlap, and the Lua functions use no others."""

import re
from pathlib import Path

import pytest

from newswire.key_families import KeyFamily, families_of, table
from newswire.keys import FAMILIES as SHARED
from newswire_ingest.keys import FAMILIES as INGEST
from newswire_notify.keys import FAMILIES as NOTIFY
from newswire_search.keys import FAMILIES as SEARCH

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs/redis-keys.md"
DECLARED = {"shared": SHARED, "ingest": INGEST, "search": SEARCH, "notify": NOTIFY}
FAMILIES = [family for families in DECLARED.values() for family in families]
ACCOUNTS = ("Harbour Post", "dead", "changes", "changed", "seq", "all", "a:b", "merged", "category", "v:1")
"""Names that an account may have, among them those that other keys use."""


def named(family: KeyFamily, account: str) -> str:
    """Return a name of a family, with this account in it."""
    values = {"account": account, "subscription": "sub_1"}
    return re.sub(r"<(\w+)>", lambda found: values.get(found[1], "x1"), family.pattern)


@pytest.mark.parametrize("service", DECLARED)
def test_the_document_lists_the_keys_of_each_service(service: str) -> None:
    expected = table(DECLARED[service])
    assert expected in DOCUMENT.read_text(), f"docs/redis-keys.md: the table of {service} should be\n\n{expected}\n"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.pattern)
def test_a_key_is_of_one_family_whatever_an_account_is_called(family: KeyFamily) -> None:
    for account in ACCOUNTS:
        name = named(family, account)
        assert families_of(name, family.store, FAMILIES) == [family], name


def test_the_functions_use_only_declared_keys_of_deliveries() -> None:
    folder = ROOT / "services/notify/newswire_notify"
    text = "\n".join(path.read_text() for path in sorted(folder.rglob("*.lua")))
    used = set(re.findall(r"(?:\bp|args\.prefix) \.\. '([\w:]+)'", text))
    declared = {family.pattern for family in NOTIFY}
    assert len(used) > 25
    undeclared = {
        name for name in used if name not in declared and not any(each.startswith(f"{name}<") for each in declared)
    }
    assert undeclared == set()
