"""Build a release into dist/<version>/: wheels, checksums, contents of the images, text of the tag; an image if Docker runs.

`make release` runs it after `make lint audit test`; `python .ci/release.py --check` only looks whether a release can be made,
`--contents FILE` only writes the contents of the images. Nothing is tagged and nothing is uploaded. Exit code 1 if the release
cannot be made; the lines say why.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSION = (ROOT / "VERSION").read_text().strip()
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")
"""Those of the images, as uv names them."""
IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith(".__main__") and module.name != sys.argv[2]:
        importlib.import_module(module.name)
"""
OF_EXTRA = "newswire.observability.span_export"
"""The module that needs the extra `otel`."""
MEMBERS = {
    "newswire": "shared",
    "newswire_ingest": "services/ingest",
    "newswire_search": "services/search",
    "newswire_notify": "services/notify",
    "newswire_operations": "services/operations",
    "newswire_cli": "cli",
}
"""Package → folder, in the order of their dependencies."""
EXACT = "--exact"
"""With uv, what is not needed is removed."""
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NEWSWIRE_"))}
"""The environment of commands that must not find the packages of this one."""


def main() -> int:
    """Check, and build unless only the check was asked for."""
    if "--contents" in sys.argv:
        describe_contents(ROOT / sys.argv[sys.argv.index("--contents") + 1])
        return 0
    problems = list(problems_of_release())
    for problem in problems:
        print(f"release {VERSION}: {problem}", file=sys.stderr)
    if problems:
        return 1
    if "--check" not in sys.argv:
        build(ROOT / "dist" / VERSION)
    return 0


def problems_of_release() -> Iterator[str]:
    """Yield why the release cannot be made."""
    if output("git", "status", "--porcelain"):
        yield "there are changes that are not committed"
    chart = (ROOT / "deploy/helm/newswire/Chart.yaml").read_text()
    if f"\nversion: {VERSION}\n" not in chart or f"\nappVersion: {VERSION}\n" not in chart:
        yield "deploy/helm/newswire/Chart.yaml has another version or appVersion"
    if not (ROOT / f"tests/golden/backup-{VERSION}.nw").exists():
        yield "the golden backup is missing: python -m tests.golden.make_backup"
    if not changes((ROOT / "CHANGELOG.md").read_text(), VERSION):
        yield f"CHANGELOG.md has no section '## {VERSION} - <date>' with text"
    if output("git", "tag", "--list", f"v{VERSION}"):
        yield f"the tag v{VERSION} exists already"
    for platform in PLATFORMS:
        if missing := without_wheels(platform):
            yield f"the images cannot be built for {platform}: {missing}"


def without_wheels(platform: str) -> str:
    """Return what is wrong if not every locked dependency of the images has a wheel, with a locked hash, for a platform."""
    python = re.search(r"^FROM python:(\d+\.\d+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    if python is None:
        return "Dockerfile begins from no version of Python"
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--dry-run", "--quiet", "--no-deps"]
    wanted = ["--python-platform", platform, "--python-version", python[1], "--only-binary", ":all:"]
    locked = ["--require-hashes", "-r", str(ROOT / "requirements-run.lock"), "--target", str(ROOT / "dist/none")]
    tried = subprocess.run([*uv, *wanted, *locked], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else tried.stderr.strip()


def changes(changelog: str, version: str) -> str:
    """Return what the changelog says of a version, or an empty text."""
    section = re.search(rf"(?ms)^## {re.escape(version)} - \d{{4}}-\d\d-\d\d$(.*?)(?=^## |\Z)", changelog)
    return section[1].strip() if section else ""


def build(folder: Path) -> None:
    """Build everything into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    python = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    run(
        *python,
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder),
        *(str(ROOT / each) for each in MEMBERS.values()),
    )
    describe_contents(folder / "newswire.cdx.json")
    (folder / "requirements.txt").write_text(requirements(folder))
    with tempfile.TemporaryDirectory() as temporary:
        install_each(folder, Path(temporary))
    (folder / "tag.txt").write_text(f"Newswire {VERSION}\n\n{changes((ROOT / 'CHANGELOG.md').read_text(), VERSION)}\n")
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.iterdir())]
    (folder / "SHA256SUMS").write_text("".join(sums))
    if docker_answers():
        run("docker", "build", "--tag", f"newswire:{VERSION}", str(ROOT))
    else:
        print("no image was built: there is no Docker here; docker build --tag newswire:" + VERSION + " .")
    print(
        "".join(sums) + f"in {folder}; next: git tag --sign v{VERSION} --cleanup=verbatim --file {folder / 'tag.txt'}"
    )


def requirements(folder: Path) -> str:
    """Return what `pip install --require-hashes` needs in the folder: our wheels and the locked dependencies, all with hashes."""
    own = [
        f"./{wheel.name} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"
        for wheel in sorted(folder.glob("*.whl"))
    ]
    return "".join(own) + (ROOT / "requirements-run.lock").read_text()


def install_each(folder: Path, environments: Path) -> None:
    """Install each wheel with what it declares, and import what it contains; then all of them, as users do, with their hashes.

    The environment `each` holds the dependencies of one wheel at a time, so that one that does not declare what it imports fails.
    `all` holds all of them.
    """
    each, together = (_environment(environments / name) for name in ("each", "all"))
    constraints = environments / "constraints.txt"
    constraints.write_text(versions((ROOT / "requirements-run.lock").read_text()))
    wheels = {wheel.name.partition("-")[0]: str(wheel) for wheel in folder.glob("*.whl")}
    for package in MEMBERS:
        install(each, EXACT, "--constraints", str(constraints), "--find-links", str(folder), wheels[package])
        run(str(each), "-I", "-c", IMPORT_ALL, package, OF_EXTRA, env=CLEAN)
    install(each, "--constraints", str(constraints), f"{wheels['newswire']}[otel]")
    run(str(each), "-I", "-c", f"import {OF_EXTRA}", env=CLEAN)
    install(together, "--no-deps", "--require-hashes", "--requirement", "requirements.txt", folder=folder)
    run(str(together.with_name("newswire")), "--version", env=CLEAN)


def _environment(folder: Path) -> Path:
    run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    return folder / "bin" / "python"


def versions(lock: str) -> str:
    """Return the versions of a lock file without its hashes, which our own wheels are not among."""
    return "\n".join(line.removesuffix(" \\") for line in lock.splitlines() if re.match(r"[a-z0-9].*==", line))


def install(python: Path, *what: str, folder: Path = ROOT) -> None:
    """Install with uv, in a tenth of pip's time; with pip if uv reaches no index, as the Makefile does."""
    by_uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python), *what]
    if subprocess.run(by_uv, capture_output=True, check=False, cwd=folder, env=CLEAN).returncode != 0:
        by_pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install"]
        run(*by_pip, "--quiet", "--no-compile", *(each for each in what if each != EXACT), folder=folder, env=CLEAN)


def describe_contents(path: Path) -> None:
    """Write what the images contain, as CycloneDX, which the tool validates: Newswire, and what it depends on."""
    tool = [str(Path(sys.executable).with_name("cyclonedx-py")), "requirements", "--output-reproducible"]
    run(*tool, "--of", "JSON", "-o", str(path), str(ROOT / "requirements-run.lock"))
    document = json.loads(path.read_text())
    own = {"type": "application", "bom-ref": "newswire", "name": "newswire", "version": VERSION}
    licenses = [{"license": {"id": "Apache-2.0"}}]
    document["metadata"]["component"] = own | {"licenses": licenses, "purl": f"pkg:pypi/newswire@{VERSION}"}
    found = [each["bom-ref"] for each in document["components"]]
    others = [each for each in document.get("dependencies", ()) if each["ref"] != "newswire"]
    document["dependencies"] = [{"ref": "newswire", "dependsOn": sorted(found)}, *others]
    path.write_text(json.dumps(document, indent=2) + "\n")


def docker_answers() -> bool:
    """Return whether an image can be built here."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def output(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()


def run(*command: str, folder: Path = ROOT, env: dict[str, str] | None = None) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, cwd=folder, env=env)


if __name__ == "__main__":
    sys.exit(main())
