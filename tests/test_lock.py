"""The lock files pin everything by hash, and contain no registry address."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = sorted(ROOT.glob("requirements*.lock"))


def pinned(lock: Path) -> dict[str, list[str]]:
    """Return the requirements of a lock file, with markers, each with its hashes."""
    blocks = re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"^ *#.*\n", "", lock.read_text(), flags=re.M))
    return {block.partition(" \\")[0]: re.findall(r"--hash=(sha256:[0-9a-f]{64})", block) for block in blocks}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_requirement_has_a_version_and_a_hash(lock: Path) -> None:
    for requirement, hashes in pinned(lock).items():
        assert "==" in requirement
        assert hashes, requirement


def test_no_lock_file_contains_an_address_or_a_member() -> None:
    for path in [*LOCKS, *ROOT.glob("**/package-lock.json")]:
        if "node_modules" not in path.parts:
            assert "://" not in re.sub(r'"(url|homepage)": "[^"]*"', "", path.read_text()), path
            assert not re.search(r"^newswire", path.read_text(), flags=re.M), path


@pytest.mark.parametrize("name", ["run", "build"])
def test_images_contain_a_subset_of_the_tested_versions(name: str) -> None:
    image, everything = pinned(ROOT / f"requirements-{name}.lock"), pinned(ROOT / "requirements.lock")

    def versions(lock: dict[str, list[str]]) -> dict[str, list[str]]:
        return {requirement.partition(" ;")[0]: hashes for requirement, hashes in lock.items()}

    assert versions(image).items() <= versions(everything).items()
    assert not [requirement for requirement in image if re.match(r"(pytest|selenium|mypy|ruff)\b", requirement)]


def test_images_contain_the_dependencies_of_the_members() -> None:
    installed = {re.split("[=;[ ]", requirement)[0].lower() for requirement in pinned(ROOT / "requirements-run.lock")}
    for path in [ROOT / "shared/pyproject.toml", ROOT / "cli/pyproject.toml", *ROOT.glob("services/*/pyproject.toml")]:
        needed = {
            re.split("[<>=;[ ]", item)[0].lower() for item in tomllib.loads(path.read_text())["project"]["dependencies"]
        }
        assert {name for name in needed - installed if not name.startswith("newswire")} == set(), path
