"""`newswire listen`: the live stream in a terminal, and on to an address of the developer's own."""

import signal
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn

import httpx
import orjson
from httpx_sse import SSEError, connect_sse
from rich.console import Console
from rich.text import Text

from newswire.validation.characters import escaped
from newswire_cli.console import fail, note
from newswire_cli.patience import LATER, pause, retry_after, unreachable
from newswire_notify.streaming.broadcaster import ENDED, TRIMMED
from newswire_notify.webhooks.signing import is_secret, new_secret, signature

LONGEST_PAUSE = 10.0
SILENCE = 60.0
"""Seconds without a sign of life, after which a connection is taken for broken; a stream says something every 15."""
FORWARD_TIMEOUT = 15.0
_STYLES = {"published": "green", "updated": "cyan", "corrected": "yellow", "retracted": "red"}

Take = Callable[[dict[str, Any]], None]


def listen(
    site: str, key: str | None, filters: list[str], since: str | None, forward: str | None, secret: str | None
) -> None:
    """Print a line for each event, and post it where it is to go, until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    params = httpx.QueryParams(tuple(_parameter(filter_) for filter_ in filters))
    if since:
        params = params.add("since", since)
    if secret and not is_secret(secret):
        fail("--secret has another form; it is whsec_ and 24 to 64 bytes in Base64, as subscriptions have it", code=2)
    for address in (site, *([forward] if forward else [])):
        if not address.startswith(("http://", "https://")):
            fail(f"{address} is no http or https address", code=2)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    console = Console(highlight=False, soft_wrap=True)
    with (
        httpx.Client(base_url=site, headers=headers, timeout=SILENCE, trust_env=False) as client,
        httpx.Client(timeout=FORWARD_TIMEOUT, trust_env=False) as poster,
    ):
        signed_with = secret or new_secret()
        if forward:
            kept = "the given secret" if secret else signed_with
            console.print(Text(f"forwarding to {forward}, signed with {kept}"))

        def take(event: dict[str, Any]) -> None:
            console.print(_line(event))
            if forward:
                console.print(Text(f"    {_post(poster, forward, signed_with, event)}", style="dim"))
            console.file.flush()  # a pipe or a file would get events by the block

        try:
            _follow(client, params, take)
        except KeyboardInterrupt:
            pass


def _parameter(filter_: str) -> tuple[str, str]:
    name, sign, value = filter_.partition("=")
    if not sign or name in ("since", "token"):
        fail(f"{filter_} is no filter; write for example --filter topic=Ferries", code=2)
    return name, value


def _follow(client: httpx.Client, params: httpx.QueryParams, take: Take) -> NoReturn:
    """Follow the stream, and resume wherever it breaks off."""
    last = ""
    failures = 0
    while True:
        asked = 0.0
        try:
            headers = {"Last-Event-ID": last} if last else {}
            with connect_sse(client, "GET", "/v1/stream", params=params, headers=headers) as source:
                answer = source.response
                if answer.status_code in LATER:
                    asked = retry_after(answer)
                elif answer.status_code != 200:
                    answer.read()
                    fail(_refusal(answer))
                else:
                    last = last or answer.headers.get("Newswire-Resumed-From", "")
                    failures = 0
                    note(f"connected to {client.base_url}")
                    for event in source.iter_sse():
                        said = orjson.loads(event.data)
                        if event.event == TRIMMED:
                            note("what lies further back is gone: the operator keeps the stream for a while only")
                        elif event.event == ENDED:
                            note(f"cut off: {said['reason']}")
                        else:
                            take(said)
                        last = event.id or last
            note("the stream ended; resuming")
        except (httpx.TransportError, SSEError) as error:
            if not last and isinstance(error, httpx.ConnectError):
                fail(unreachable(client, error))
            note(f"{unreachable(client, error)}; resuming" if isinstance(error, httpx.TransportError) else str(error))
        time.sleep(min(pause(failures, asked), max(LONGEST_PAUSE, asked)))
        failures += 1


def _line(event: dict[str, Any]) -> Text:
    data = event["data"]
    kind = "retracted" if event["type"].endswith(".retracted.v1") else data.get("kind", "published")
    moment = datetime.fromisoformat(event["time"]).astimezone()
    what = data.get("title") or f"{data['id']}{': ' + data['reason'] if data.get('reason') else ''}"
    return Text.assemble(
        (f"{moment:%H:%M:%S} ", "dim"),
        (f"{kind:<9} ", _STYLES.get(kind, "")),
        (f"{_printable(data['publisher'])}: ", "bold"),
        _printable(what),
        (f"  {_printable(data.get('url', ''))}", "dim"),
    )


def _printable(text: str) -> str:
    """Write out what would move the cursor or change colours: titles are other people's."""
    return escaped(text)


def _post(poster: httpx.Client, url: str, secret: str, event: dict[str, Any]) -> str:
    """Post an event as a webhook would bring it; return how that went."""
    body = orjson.dumps({**event, "reason": "matched"})
    message_id, now = f"listen_{event['id'].replace('.', '_')}", int(time.time())
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(now),
        "webhook-signature": signature(secret, message_id, now, body),
    }
    began = time.monotonic()
    try:
        answer = poster.post(url, content=body, headers=headers)
    except httpx.HTTPError as error:
        return f"not forwarded: {error or type(error).__name__}"
    return f"forwarded: {answer.status_code} after {(time.monotonic() - began) * 1000:.0f} ms"


def _refusal(answer: httpx.Response) -> str:
    try:
        return f"the site answers {answer.status_code}: {answer.json()['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"the site answers {answer.status_code}"
