"""Follows the live stream for `newswire listen`: prints each event, and forwards it as a signed webhook."""

import signal
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NoReturn

import httpx
import orjson
from httpx_sse import SSEError, connect_sse
from rich.console import Console
from rich.text import Text

from newswire.validation.characters import escaped
from newswire_cli.client.http import error_message
from newswire_cli.client.retry import RETRIED_STATUSES, connection_error, retry_after, retry_delay
from newswire_cli.terminal.console import fail, note
from newswire_cli.terminal.json_output import print_json_line
from newswire_notify.streaming.event_names import ENDED, TRIMMED
from newswire_notify.webhooks.signing import new_secret, signature

MAX_RECONNECT_DELAY_SECONDS = 10.0
IDLE_TIMEOUT_SECONDS = 60.0
"""A connection that is silent for so long counts as broken: a stream sends something every 15 s."""
FORWARD_TIMEOUT_SECONDS = 15.0
_STYLES = {"published": "green", "updated": "cyan", "corrected": "yellow", "retracted": "red"}

HandleEvent = Callable[[dict[str, Any]], None]


def follow(
    site: str,
    key: str | None,
    filters: Sequence[tuple[str, str]],
    since: str | None,
    forward: str | None,
    secret: str | None,
    *,
    as_json: bool = False,
) -> None:
    """Print a line for each event, and forward it if an address is given, until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    params = httpx.QueryParams(tuple(filters))
    if since:
        params = params.add("since", since)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    console = Console(highlight=False, soft_wrap=True)
    with (
        httpx.Client(base_url=site, headers=headers, timeout=IDLE_TIMEOUT_SECONDS, trust_env=False) as client,
        httpx.Client(timeout=FORWARD_TIMEOUT_SECONDS, trust_env=False) as poster,
    ):
        signing_secret = secret or new_secret()
        if forward:
            shown = "the given secret" if secret else signing_secret
            message = f"forwarding to {forward}, signed with {shown}"
            note(message) if as_json else console.print(Text(message))

        def handle(event: dict[str, Any]) -> None:
            if as_json:
                print_json_line(event)
            else:
                console.print(_line(event))
            if forward:
                result = _forward(poster, forward, signing_secret, event)
                note(result) if as_json else console.print(Text(f"    {result}", style="dim"))
            console.file.flush()  # otherwise a pipe or a file would receive events in blocks

        try:
            _receive(client, params, handle)
        except KeyboardInterrupt:
            pass


def _receive(client: httpx.Client, params: httpx.QueryParams, handle: HandleEvent) -> NoReturn:
    """Receive the events of the stream, and resume after each interruption."""
    last = ""
    failures = 0
    while True:
        requested = 0.0
        try:
            headers = {"Last-Event-ID": last} if last else {}
            with connect_sse(client, "GET", "/v1/stream", params=params, headers=headers) as source:
                response = source.response
                if response.status_code in RETRIED_STATUSES:
                    requested = retry_after(response)
                elif response.status_code != 200:
                    response.read()
                    fail(error_message(response))
                else:
                    last = last or response.headers.get("Newswire-Resumed-From", "")
                    failures = 0
                    note(f"connected to {client.base_url}")
                    for event in source.iter_sse():
                        content = orjson.loads(event.data)
                        if event.event == TRIMMED:
                            note("earlier events are no longer available: the stream is kept for a limited time")
                        elif event.event == ENDED:
                            note(f"the server closed the stream: {content['reason']}")
                        else:
                            handle(content)
                        last = event.id or last
            note("the stream ended; resuming")
        except (httpx.TransportError, SSEError) as error:
            if not last and isinstance(error, httpx.ConnectError):
                fail(connection_error(client, error))
            is_transport = isinstance(error, httpx.TransportError)
            note(f"{connection_error(client, error)}; resuming" if is_transport else str(error))
        time.sleep(min(retry_delay(failures, requested), max(MAX_RECONNECT_DELAY_SECONDS, requested)))
        failures += 1


def _line(event: dict[str, Any]) -> Text:
    data = event["data"]
    kind = "retracted" if event["type"].endswith(".retracted.v1") else data.get("kind", "published")
    published = datetime.fromisoformat(event["time"]).astimezone()
    text = data.get("title") or f"{data['id']}{': ' + data['reason'] if data.get('reason') else ''}"
    return Text.assemble(
        (f"{published:%H:%M:%S} ", "dim"),
        (f"{kind:<9} ", _STYLES.get(kind, "")),
        (f"{escaped(data['publisher'])}: ", "bold"),
        escaped(text),
        (f"  {escaped(data.get('url', ''))}", "dim"),
    )


def _forward(poster: httpx.Client, url: str, secret: str, event: dict[str, Any]) -> str:
    """POST an event as a webhook would deliver it; return a line about the result."""
    body = orjson.dumps({**event, "reason": "matched"})
    message_id, now = f"listen_{event['id'].replace('.', '_')}", int(time.time())
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(now),
        "webhook-signature": signature(secret, message_id, now, body),
    }
    started = time.monotonic()
    try:
        response = poster.post(url, content=body, headers=headers)
    except httpx.HTTPError as error:
        return f"not forwarded: {error or type(error).__name__}"
    return f"forwarded: {response.status_code} after {(time.monotonic() - started) * 1000:.0f} ms"
