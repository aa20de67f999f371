"""The stack of the compose file as the drill drives it: through `docker compose`, under a project name of its own."""

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = "newswire-drill"
"""Its containers, volumes and images are not those of an installation on the same machine."""
OVERRIDE = "tests/faults/compose_drill.yml"


def files() -> list[str]:
    """Return the compose files; ``COMPOSE_FILE`` may add to the production shape, as `docker compose` itself has it."""
    named = os.environ.get("COMPOSE_FILE", "docker-compose.yml")
    return [*named.split(os.environ.get("COMPOSE_PATH_SEPARATOR", os.pathsep)), OVERRIDE]


def compose(*arguments: str, quiet: bool = True) -> str:
    """Run `docker compose`, and return what it printed.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    command = ["docker", "compose", "--project-name", PROJECT, "--project-directory", str(ROOT)]
    for file in files():
        command += ["--file", file]
    output = subprocess.PIPE if quiet else None
    done = subprocess.run([*command, *arguments], cwd=ROOT, text=True, stdout=output, stderr=output)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr)
    return done.stdout or ""


def docker(*arguments: str) -> str:
    """Run `docker`, and return what it printed."""
    return subprocess.run(["docker", *arguments], check=True, text=True, capture_output=True).stdout.strip()


def containers(service: str) -> list[str]:
    """Return the ids of a service's containers, running or not."""
    return compose("ps", "--all", "--quiet", service).split()


def published(service: str, port: int) -> str:
    """Return ``host:port`` under which a container's port answers here; it changes when the container is started again."""
    return compose("port", service, str(port)).strip()


def exit_codes() -> dict[str, int]:
    """Return how each container that has ended did so."""
    lines = compose("ps", "--all", "--format", "json").splitlines()
    return {row["Name"]: row["ExitCode"] for row in map(json.loads, lines) if row["State"] == "exited"}
