"""Whether there is a Docker daemon to start servers with."""

from functools import cache


@cache
def docker_answers() -> bool:
    """Return whether a Docker daemon answers."""
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
