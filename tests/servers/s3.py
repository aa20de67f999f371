"""A real server of the protocol of S3, over HTTP, with one bucket."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.npm import node_with
from tests.polling import until
from tests.servers.valkey import free_port

SERVER = Path(__file__).parent / "s3_server"
KEYS = {"access_key_id": "S3RVER", "secret_access_key": "S3RVER"}


@contextmanager
def s3_server(folder: Path, bucket: str) -> Iterator[str]:
    """Run a server whose objects are in a folder; yield its address."""
    node, port = node_with("s3rver", SERVER), free_port()
    program = [node, str(SERVER / "node_modules/s3rver/bin/s3rver.js"), "-d", str(folder), "-a", "127.0.0.1"]
    server = subprocess.Popen(
        [*program, "-p", str(port), "--configure-bucket", bucket], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(url, timeout=5).status_code < 500
        except httpx.TransportError:
            return False

    try:
        until(answers, 60)
        yield url
    finally:
        server.kill()
        server.wait()
