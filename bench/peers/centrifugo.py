"""Centrifugo, with unidirectional server-sent events, in memory and without history."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

from bench.load import request
from bench.peers.contestants import Conditions, Story, Streaming, StreamService
from bench.peers.programs import built, running, version_of
from bench.servers import answers
from tests.servers.valkey import free_port

PACKAGE = "github.com/centrifugal/centrifugo/v6@v6.9.1"
_CHANNEL, _KEY = "news", "bench"


@asynccontextmanager
async def stream(conditions: Conditions) -> AsyncIterator[StreamService]:
    """Run Centrifugo.

    Raises:
        UnavailableError: it cannot be built or started.
    """
    conditions.tell("Centrifugo: finding or building it")
    program, port = built("centrifugo", PACKAGE, conditions.programs), free_port()
    site, settings = f"http://127.0.0.1:{port}", conditions.folder / "centrifugo.json"
    settings.write_text(json.dumps(_settings(port)))
    command = [program, "--config", str(settings)]
    with running(command, conditions.folder / "centrifugo.log", lambda: answers(f"{site}/health")) as process:
        wanted = quote(json.dumps({"subs": {_CHANNEL: {}}}))
        yield StreamService(
            "Centrifugo",
            version_of(program, "version"),
            "memory engine, no history, anonymous readers of uni_sse; defaults",
            site,
            200,
            _publication,
            [process],
            [],
            Streaming(site, request("GET", f"/connection/uni_sse?cf_connect={wanted}"), b'"connect":', b"}}}\n\n"),
        )


def _settings(port: int) -> dict[str, object]:
    """Return the settings that are not defaults. Pings and the reply to a connection end otherwise than events."""
    return {
        "http_server": {"address": "127.0.0.1", "port": str(port)},
        "http_api": {"key": _KEY},
        "client": {"allowed_origins": ["*"], "allow_anonymous_connect_without_token": True},
        "channel": {"without_namespace": {"allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True}},
        "uni_sse": {"enabled": True},
        "health": {"enabled": True},
    }


def _publication(story: Story) -> bytes:
    body = b'{"channel":"%b","data":%b}' % (_CHANNEL.encode(), story.event)
    return request("POST", "/api/publish", body, content_type="application/json", x_api_key=_KEY)
