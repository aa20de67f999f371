"""The lock pins everything by hash and ties the project to no registry."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements.lock").read_text()


def test_every_requirement_has_a_hash() -> None:
    for block in re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"^#.*\n", "", LOCK, flags=re.M)):
        assert "--hash=sha256:" in block, block[:80]


def test_no_lock_names_an_address_or_a_member() -> None:
    for path in [ROOT / "requirements.lock", *ROOT.glob("**/package-lock.json")]:
        if "node_modules" not in path.parts:
            assert "://" not in re.sub(r'"(url|homepage)": "[^"]*"', "", path.read_text()), path
    assert not re.search(r"^newswire", LOCK, flags=re.M)
