"""`make pin-images` pins every image by the registry's digest, or changes nothing."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DIGEST = "sha256:" + "ab" * 32
NEWER = "sha256:" + "cd" * 32
FILES = ("docker-compose.yml", "docker-compose.ha.yml", "Dockerfile")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).write_text((ROOT / name).read_text())
    return tmp_path


def pin(folder: Path, answers: str) -> subprocess.CompletedProcess[str]:
    """Run it with a `docker` in the path that is this shell script; ``$6`` is the image."""
    (folder / "docker").write_text(f"#!/bin/sh\n{answers}\n")
    (folder / "docker").chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run(
        [ROOT / ".ci/pin-images", *FILES], cwd=folder, env=environment, text=True, capture_output=True
    )


def named(folder: Path) -> list[str]:
    lines = [line.split() for name in FILES for line in (folder / name).read_text().splitlines()]
    return [words[1] for words in lines if words and words[0] in {"image:", "FROM"}]


def test_every_image_gets_its_digest_and_later_updates(folder: Path) -> None:
    before = [name.partition("@")[0] for name in named(folder)]
    assert len(before) == 9
    for digest in (DIGEST, NEWER):
        done = pin(folder, f'echo "$6" >> asked; echo {digest}')
        assert done.returncode == 0, done.stderr
        assert named(folder) == [f"{name}@{digest}" for name in before]
    assert " AS wheels" in (folder / "Dockerfile").read_text()
    assert set((folder / "asked").read_text().split()) == set(before)


def test_nothing_is_changed_if_a_digest_is_missing(folder: Path) -> None:
    before = [(folder / name).read_text() for name in FILES]
    assert pin(folder, f"case $6 in nginx*) exit 1;; esac; echo {DIGEST}").returncode == 1
    assert pin(folder, "echo none").returncode == 1
    assert [(folder / name).read_text() for name in FILES] == before
