"""Build a release into dist/<version>/: wheels, checksums, the contents of the images, the text of the tag; an image if Docker runs.

`make release` runs it after `make lint audit test`; `python .ci/release.py --check` only looks whether a release can be made.
Nothing is tagged and nothing is uploaded. Exit code 1 if the release cannot be made; the lines say why.
"""

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSION = (ROOT / "VERSION").read_text().strip()
MEMBERS = ("shared", "services/ingest", "services/search", "services/notify", "services/operations", "cli")


def main() -> int:
    """Check, and build unless only the check was asked for."""
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
        *(str(ROOT / each) for each in MEMBERS),
    )
    contents = str(folder / "newswire.cdx.json")
    sbom = [
        str(Path(sys.executable).with_name("cyclonedx-py")),
        "requirements",
        "--output-reproducible",
        "--of",
        "JSON",
    ]
    run(*sbom, "-o", contents, str(ROOT / "requirements-run.lock"))
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


def docker_answers() -> bool:
    """Return whether an image can be built here."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def output(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()


def run(*command: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main())
