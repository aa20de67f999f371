"""Whether there is a Docker daemon to start servers with."""

import os
from functools import cache
from pathlib import Path


@cache
def docker_answers() -> bool:
    """Return whether a Docker daemon answers."""
    if "DOCKER_HOST" not in os.environ and not Path("/var/run/docker.sock").exists():
        return False
    import docker
    from docker.errors import DockerException

    try:
        client = docker.DockerClient.from_env(timeout=5, version="1.41")
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except (DockerException, OSError):
        return False
    finally:
        client.close()


def fetch_image(name: str) -> None:
    """Pull an image unless it is here."""
    import docker
    from docker.errors import ImageNotFound

    client = docker.DockerClient.from_env(timeout=600, version="1.41")
    try:
        client.images.get(name)
    except ImageNotFound:
        client.images.pull(name)
    finally:
        client.close()
