"""`newswire run`: all of Newswire in one process, on the embedded Valkey and the embedded index."""

import os
import shlex
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from pydantic import ValidationError

from newswire_cli.console import fail, say, settings_problem
from newswire_cli.datadir import CREDENTIALS, InUse, ensure_credentials, only_process_on, read_credentials
from newswire_cli.valkey import ValkeyFailed, embedded_valkey

LOG = "newswire.log"
SAMPLES_DUE = "samples.due"
"""Stands in the data folder from the first start until the samples are published."""


def run_all(host: str, port: int, data_dir: Path, with_samples: bool) -> None:
    """Run everything until Ctrl-C or SIGTERM."""
    data_dir = data_dir.expanduser()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with only_process_on(data_dir):
            port = free_port(host, port)
            if os.environ.get("NEWSWIRE_REDIS_URL"):
                say("NEWSWIRE_REDIS_URL is passed over: `newswire run` has a server of its own.")
            with embedded_valkey(data_dir.resolve()) as redis_url:
                _set_environment(host, port, data_dir.resolve(), redis_url)
                _serve_all(host, port, data_dir, with_samples)
    except InUse:
        fail(f"another `newswire run` works on {data_dir}; end it first, or give this one its own --data-dir")
    except ValkeyFailed as error:
        fail(str(error))
    except ValidationError as error:
        fail(settings_problem(error))
    except KeyboardInterrupt:
        pass
    except OSError as error:
        fail(f"cannot work in {data_dir}: {error.strerror or error}")
    say("Newswire has ended.")


def free_port(host: str, port: int) -> int:
    """Return the port if it can be listened on (for 0: one that can), or end the command with the reason."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family) as listener:
            return int(listener.getsockname()[1])
    except OverflowError:
        fail(f"{port} is no port; a port is a number from 0 to 65535")
    except OSError as error:
        fail(f"cannot listen on {host} port {port}: {error.strerror or error}; give another one by --port")


def _set_environment(host: str, port: int, data_dir: Path, redis_url: str) -> None:
    os.environ |= {
        "NEWSWIRE_REDIS_URL": redis_url,
        "NEWSWIRE_DELIVERY_REDIS_URL": redis_url,
        "NEWSWIRE_INDEX": "embedded",
        "NEWSWIRE_DATA_DIR": str(data_dir),
    }
    os.environ.setdefault("NEWSWIRE_PUBLIC_URL", _address(host, port))
    os.environ.setdefault("NEWSWIRE_WEBHOOK_ALLOW_PRIVATE", "true")


def _address(host: str, port: int) -> str:
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{name}:{port}"


def _serve_all(host: str, port: int, data_dir: Path, with_samples: bool) -> None:
    from newswire.app import open_redis, run, serve
    from newswire.keyring import list_keys
    from newswire.keyspace import Keyspace
    from newswire.settings import Settings
    from newswire.telemetry import log_as_json
    from newswire_ingest.app import service as ingest
    from newswire_notify.app import service as notify
    from newswire_search.app import service as search

    settings = Settings()

    async def main() -> None:
        first_start = not read_credentials(data_dir)
        async with open_redis(settings.redis_url.get_secret_value()) as redis:
            restored = bool(await list_keys(redis, Keyspace(settings.namespace), limit=1))
            credentials = await ensure_credentials(redis, Keyspace(settings.namespace), data_dir)
        due = data_dir / SAMPLES_DUE
        if not with_samples:
            due.unlink(missing_ok=True)
        elif first_start and not restored:
            due.touch()
        started = _welcome(_address(host, port), data_dir, credentials, first_start)
        await serve([ingest, search, notify], settings, host, port, started=started)

    with (data_dir / LOG).open("a", encoding="utf-8") as log:
        log_as_json(stream=log)
        run(main())


def _welcome(
    site: str, data_dir: Path, credentials: dict[str, str], first_start: bool
) -> Callable[[], Awaitable[None]]:
    async def welcome() -> None:
        # With a slash in it: a shell looks for a bare name in PATH.
        secrets = shlex.quote(os.path.join(data_dir, CREDENTIALS))  # noqa: PTH118 (pathlib drops the "./")
        say(f"Newswire runs at {site}    (Ctrl-C ends it)")
        say()
        say(f"  read       {site}/")
        say(f"  docs       {site}/docs")
        say(f"  live       {site}/v1/stream")
        say(f"  keys       {data_dir / CREDENTIALS}{'  (just made, only you can read it)' if first_start else ''}")
        say(f"  log        {data_dir / LOG}")
        say()
        due = data_dir / SAMPLES_DUE
        if due.exists():
            from newswire_cli.samples import publish_samples

            say("Six sample articles go the whole way: published, found by search, delivered to a webhook.")
            keys = credentials["NEWSWIRE_PUBLISHER_KEY"], credentials["NEWSWIRE_SUBSCRIBER_KEY"]
            if await publish_samples(site, *keys):
                due.unlink(missing_ok=True)
            say()
        say("Publish an article of your own, and find it by another form of one of its words:")
        say()
        say(
            f"  . {secrets} && curl -s {site}/v1/articles"
            ' -H "Authorization: Bearer $NEWSWIRE_PUBLISHER_KEY" -H "Content-Type: application/json"'
            """ -d '{"title": "Hello, world", "body": "<p>Our presses were rolling all night.</p>"}'"""
        )
        say(f"  curl -s '{site}/v1/search?q=press+rolled'")
        say()

    return welcome
