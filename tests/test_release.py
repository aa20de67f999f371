"""The number of the release is the same everywhere, and `make release` builds what docs/releases.md says."""

import importlib.util
import json
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.cli.running import Running

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


@pytest.fixture(scope="module")
def dist(release: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a release, without an image; what was installed for the check is beside it."""
    folder = tmp_path_factory.mktemp("release")

    def install_each(built: Path, _: Path) -> None:
        release_installs(built, folder)

    release_installs = release.install_each
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "docker_answers", lambda: False)
        patch.setattr(release, "install_each", install_each)
        release.build(folder / "dist")
    return folder / "dist"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_release_has_wheels_checksums_contents_and_a_tag_text(dist: Path) -> None:
    built = {path.name for path in dist.iterdir()}
    wheels = {f"{name.replace('-', '_')}-{RELEASE}-py3-none-any.whl" for name in DISTRIBUTIONS}
    assert built == wheels | {"SHA256SUMS", "newswire.cdx.json", "requirements.txt", "tag.txt"}
    written = (dist / "newswire.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written) is None
    contents = json.loads(written)
    assert (contents["metadata"]["component"]["name"], contents["metadata"]["component"]["version"]) == (
        "newswire",
        RELEASE,
    )
    assert {"fastapi", "redis", "elasticsearch"} <= {part["name"] for part in contents["components"]}
    assert len((dist / "SHA256SUMS").read_text().splitlines()) == len(wheels) + 3
    needed = (dist / "requirements.txt").read_text()
    assert {each for each in wheels if f"./{each} --hash=sha256:" in needed} == wheels
    assert (ROOT / "requirements-run.lock").read_text() in needed


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_was_installed_runs(dist: Path, tmp_path: Path) -> None:
    """Each wheel declares its imports, or the fixture would have failed; the texts of the site are files of a wheel."""
    command = [str(dist.parent / "all" / "bin" / "newswire")]
    running = Running(tmp_path / "data", "--no-samples", command=command, environment={"NEWSWIRE_SITE_LANGUAGE": "de"})
    try:
        running.until_ready()
        front = running.get("/")
        assert (front.status_code, "Neueste Artikel" in front.text) == (200, True)
    finally:
        assert running.interrupt() == 0


@pytest.mark.parametrize("platform", ["x86_64-manylinux_2_28", "aarch64-manylinux_2_28"])
def test_the_images_can_be_built_for_both_architectures(release: ModuleType, platform: str) -> None:

    assert platform in release.PLATFORMS
    assert release.without_wheels(platform) == ""
    assert release.without_wheels(platform.replace("_2_28", "_2_5")) != ""
