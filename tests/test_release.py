"""The number of the release is the same everywhere, and `make release` builds what docs/releases.md says."""

import importlib.util
import json
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parents[1]
RELEASE = (ROOT / "VERSION").read_text().strip()
DISTRIBUTIONS = (
    "newswire",
    "newswire-ingest",
    "newswire-search",
    "newswire-notify",
    "newswire-operations",
    "newswire-cli",
)


@pytest.fixture(scope="module")
def release() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", ROOT / ".ci/release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_distribution_the_chart_and_the_documents_name_the_release() -> None:
    assert {name: version(name) for name in DISTRIBUTIONS} == dict.fromkeys(DISTRIBUTIONS, RELEASE)
    chart = (ROOT / "deploy/helm/newswire/Chart.yaml").read_text()
    assert f"\nversion: {RELEASE}\nappVersion: {RELEASE}\n" in chart
    assert f"newswire:{RELEASE} " in (ROOT / "docs/operators/kubernetes.md").read_text()
    assert f"newswire:{RELEASE}" in (ROOT / "docs/releases.md").read_text()


def test_the_text_of_the_tag_is_the_section_of_the_changelog(release: ModuleType) -> None:
    changelog = "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-11-27\n\n### Added\n\n- Boats.\n\n## 0.1.0 - 2025-01-01\n\nOld.\n"
    assert release.changes(changelog, "0.2.0") == "### Added\n\n- Boats."
    assert release.changes(changelog, "0.1.0") == "Old."
    assert release.changes(changelog, "0.3.0") == ""
    assert release.changes(changelog.replace("0.2.0 - 2026-11-27", "0.2.0"), "0.2.0") == ""


def test_a_release_has_wheels_checksums_contents_and_a_tag_text(
    release: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "docker_answers", lambda: False)
    monkeypatch.setattr(release, "install_each", lambda _: None)  # tests/cli/test_wheels.py installs them
    release.build(tmp_path / "dist")
    built = {path.name for path in (tmp_path / "dist").iterdir()}
    wheels = {f"{name.replace('-', '_')}-{RELEASE}-py3-none-any.whl" for name in DISTRIBUTIONS}
    assert built == wheels | {"SHA256SUMS", "newswire.cdx.json", "requirements.txt", "tag.txt"}
    written = (tmp_path / "dist" / "newswire.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written) is None
    contents = json.loads(written)
    assert (contents["metadata"]["component"]["name"], contents["metadata"]["component"]["version"]) == (
        "newswire",
        RELEASE,
    )
    assert {"fastapi", "redis", "elasticsearch"} <= {part["name"] for part in contents["components"]}
    assert len((tmp_path / "dist" / "SHA256SUMS").read_text().splitlines()) == len(wheels) + 3
    needed = (tmp_path / "dist" / "requirements.txt").read_text()
    assert {each for each in wheels if f"./{each} --hash=sha256:" in needed} == wheels
    assert (ROOT / "requirements-run.lock").read_text() in needed


@pytest.mark.parametrize("platform", ["x86_64-manylinux_2_28", "aarch64-manylinux_2_28"])
def test_the_images_can_be_built_for_both_architectures(release: ModuleType, platform: str) -> None:

    assert platform in release.PLATFORMS
    assert release.without_wheels(platform) == ""
    assert release.without_wheels(platform.replace("_2_28", "_2_5")) != ""
