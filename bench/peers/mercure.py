"""Mercure, as its own Caddyfile configures it: with the Bolt transport, which keeps all events on disk."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlencode

from bench.load import request
from bench.peers.contestants import Conditions, Story, Streaming, StreamService
from bench.peers.programs import found, running, version_of
from bench.servers import answers
from tests.servers.valkey import free_port

_PATH, _TOPIC = "/.well-known/mercure", "https://example.com/news"
_ISSUER, _SECRET = "https://example.com", "a secret of at least thirty-two bytes"
_CADDYFILE = """{
	admin localhost:%(admin)d
	auto_https off
}
http://:%(port)d {
	bind 127.0.0.1
	encode zstd gzip
	mercure {
		issuer %(issuer)s {
			publisher {
				jwt "%(secret)s" HS256
			}
			subscriber {
				jwt "%(secret)s" HS256
			}
		}
		resource_identifier %(issuer)s%(path)s
		anonymous
		transport bolt {
			path %(folder)s/mercure.db
		}
	}
	respond "Not Found" 404
}
"""


@asynccontextmanager
async def stream(conditions: Conditions) -> AsyncIterator[StreamService]:
    """Run Mercure.

    Raises:
        UnavailableError: it is not installed or cannot be started.
    """
    program, port, admin = found("mercure", conditions.programs), free_port(), free_port()
    site, caddyfile = f"http://127.0.0.1:{port}", conditions.folder / "Caddyfile"
    values = {"issuer": _ISSUER, "secret": _SECRET, "path": _PATH, "folder": conditions.folder}
    caddyfile.write_text(_CADDYFILE % (values | {"port": port, "admin": admin}))
    command = [program, "run", "--config", str(caddyfile), "--adapter", "caddyfile"]
    token = _token()
    with running(command, conditions.folder / "mercure.log", lambda: answers(site)) as process:
        yield StreamService(
            "Mercure",
            version_of(program, "version"),
            "Bolt transport, anonymous readers; defaults of its Caddyfile",
            site,
            200,
            lambda story: _publication(story, token),
            [process],
            [],
            Streaming(site, request("GET", f"{_PATH}?{urlencode({'match': _TOPIC})}"), b":\n", b"}\n\n"),
        )


def _publication(story: Story, token: str) -> bytes:
    body = urlencode({"topic": _TOPIC, "data": story.event}).encode()
    form = "application/x-www-form-urlencoded"
    return request("POST", _PATH, body, content_type=form, authorization=f"Bearer {token}")


def _token() -> str:
    """Return an access token that allows publishing to every topic."""
    detail = {
        "type": "https://mercure.rocks/authorization-detail",
        "actions": ["publish"],
        "topics": [{"match": "*"}],
    }
    claims = {
        "iss": _ISSUER,
        "aud": f"{_ISSUER}{_PATH}",
        "exp": int(time.time()) + 86_400,
        "authorization_details": [detail],
    }
    signed = ".".join(_base64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "at+jwt"}, claims))
    return f"{signed}.{_base64(hmac.digest(_SECRET.encode(), signed.encode(), hashlib.sha256))}"


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
