"""Runs the stack of the compose file through `docker compose`, with a project name of its own."""

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = "newswire-drill"
"""So that containers, volumes and images differ from those of an installation on the same machine."""
OVERRIDE = "tests/faults/compose_drill.yml"
HIGHLY_AVAILABLE = "docker-compose.ha.yml"
HA_OVERRIDE = "tests/faults/compose_ha_drill.yml"


def files() -> list[str]:
    """Return the compose files; ``COMPOSE_FILE`` may add to the full stack, as `docker compose` itself has it."""
    named = os.environ.get("COMPOSE_FILE", "docker-compose.yml").split(os.environ.get("COMPOSE_PATH_SEPARATOR", ":"))
    return [*named, OVERRIDE, *([HA_OVERRIDE] if HIGHLY_AVAILABLE in named else ())]


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
    """Return the ``host:port`` of a container's port; it changes when the container is restarted."""
    return compose("port", service, str(port)).strip()


def exit_codes() -> dict[str, int]:
    """Return the exit code of each container that has ended."""
    lines = compose("ps", "--all", "--format", "json").splitlines()
    return {row["Name"]: row["ExitCode"] for row in map(json.loads, lines) if row["State"] == "exited"}
