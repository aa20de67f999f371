"""All of Newswire in one process, with the embedded Valkey and the embedded index."""

import ipaddress
import os
import shlex
import signal
import socket
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path

from pydantic import ValidationError

from newswire_cli.client.redis import names_redis
from newswire_cli.local.data_dir import (
    CREDENTIALS,
    DataFolderInUseError,
    ensure_credentials,
    lock_data_folder,
    read_credentials,
)
from newswire_cli.local.known_settings import reject_unknown_settings
from newswire_cli.local.listening import listening
from newswire_cli.local.valkey import EmbeddedValkey, ValkeyError, embedded_valkey
from newswire_cli.terminal.console import fail, say, settings_problem

LOG = "newswire.log"
SAMPLES_DUE = "samples.due"
"""This file exists in the data folder from the first start until the samples are published."""


def run_all(host: str, port: int, data_dir: Path, with_samples: bool, with_link: bool) -> None:
    """Run everything until Ctrl-C or SIGTERM."""
    from newswire.settings import SettingsError

    reject_unknown_settings()
    data_dir = data_dir.expanduser()
    os.umask(0o077)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with lock_data_folder(data_dir), listening(host, port) as listener:
            port = listener.getsockname()[1]
            if names_redis():
                say("NEWSWIRE_REDIS_URL is ignored: `newswire run` starts its own server.")
            _keep_private(data_dir)
            with embedded_valkey(data_dir.resolve(), meanwhile=_import_services) as valkey:
                _set_environment(host, port, data_dir.resolve(), valkey.url)
                _serve_all(listener, host, data_dir, with_samples, with_link, valkey)
    except DataFolderInUseError:
        fail(f"another `newswire run` uses {data_dir}; stop it first, or give this one its own --data-dir")
    except ValkeyError as error:
        fail(str(error))
    except (ValidationError, SettingsError) as error:
        fail(settings_problem(error))
    except KeyboardInterrupt:
        pass
    except OSError as error:
        fail(f"cannot use {data_dir}: {error.strerror or error}")
    say("Newswire has stopped.")


def _import_services() -> None:
    """Import what is served: more than half of the time of a start."""
    for service in ("ingest", "search", "notify"):
        import_module(f"newswire_{service}.app")


def _set_environment(host: str, port: int, data_dir: Path, redis_url: str) -> None:
    own = {
        "NEWSWIRE_REDIS_URL": redis_url,
        "NEWSWIRE_DELIVERY_REDIS_URL": redis_url,
        "NEWSWIRE_INDEX": "embedded",
        "NEWSWIRE_DATA_DIR": str(data_dir),
    }
    for name in own:
        os.environ.pop(f"{name}_FILE", None)
    defaults = {
        "NEWSWIRE_PUBLIC_URL": _address(host, port),
        # The hub fetches feeds from this process: the public URL may lead through a proxy, or nowhere yet.
        "NEWSWIRE_FEEDS_URL": _address(host, port),
        # Otherwise any client of this server could make it call addresses inside the operator's network.
        "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true" if is_loopback(host) else "false",
    }
    os.environ |= own
    os.environ |= {
        name: value for name, value in defaults.items() if name not in os.environ and f"{name}_FILE" not in os.environ
    }


def is_loopback(host: str) -> bool:
    """Return whether a server that listens on this host can be reached from this machine only; a name by all its addresses."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host or "0.0.0.0", None)}  # noqa: S104 ('' listens on it)
    except OSError:
        return False
    addresses = [ipaddress.ip_address(str(address).partition("%")[0]) for address in found]
    return bool(addresses) and all((getattr(each, "ipv4_mapped", None) or each).is_loopback for each in addresses)


def _address(host: str, port: int) -> str:
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{name}:{port}"


def _keep_private(data_dir: Path) -> None:
    """Restrict files of earlier releases to their owner; the umask does so for new files."""
    for name in (LOG, "index", "valkey", "lock"):
        if (kept := data_dir / name).exists():
            kept.chmod(kept.stat().st_mode & ~0o077)


def _serve_all(
    listener: socket.socket, host: str, data_dir: Path, with_samples: bool, with_link: bool, valkey: EmbeddedValkey
) -> None:
    from newswire.auth.api_keys import list_keys
    from newswire.http.application import run, serve
    from newswire.keys import Keyspace
    from newswire.observability.json_logging import log_as_json, rotating_file
    from newswire.settings import Settings
    from newswire.storage.redis_client import open_redis
    from newswire_cli.local.demo_admin import sign_in_link
    from newswire_cli.local.supervisor import supervision
    from newswire_ingest.app import service as ingest
    from newswire_notify.app import service as notify
    from newswire_notify.settings import NotifySettings
    from newswire_search.app import service as search

    settings = Settings()

    async def main() -> None:
        first_start = not read_credentials(data_dir)
        async with open_redis(settings.redis_url.get_secret_value(), settings.namespace) as redis:
            restored = bool(await list_keys(redis, Keyspace(settings.namespace), limit=1))
            credentials = await ensure_credentials(redis, Keyspace(settings.namespace), data_dir)
            link = await sign_in_link(redis, Keyspace(settings.namespace)) if with_link else None
        due = data_dir / SAMPLES_DUE
        if not with_samples:
            due.unlink(missing_ok=True)
        elif first_start and not restored:
            due.touch()
        private_webhooks = NotifySettings().webhook_allow_private
        address = f"{settings.site}{link}" if link else None
        port = listener.getsockname()[1]
        started = _welcome(
            host, port, data_dir, credentials, first_start, private_webhooks, settings.public_read, address
        )
        services = [supervision(valkey, say), ingest, search, notify]
        await serve(services, settings, listener, started=started)

    log_as_json(rotating_file(data_dir / LOG))
    run(main())


def _welcome(
    host: str,
    port: int,
    data_dir: Path,
    credentials: dict[str, str],
    first_start: bool,
    private_webhooks: bool,
    public_read: bool,
    sign_in_address: str | None,
) -> Callable[[], Awaitable[None]]:
    site = _address(host, port)

    async def welcome() -> None:
        # The path must contain a slash: a shell looks for a bare name in PATH.
        secrets = shlex.quote(os.path.join(data_dir, CREDENTIALS))  # noqa: PTH118 (pathlib drops the "./")
        say(f"Newswire runs at {site}    (Ctrl-C ends it)")
        say()
        say(f"  read       {site}/")
        if sign_in_address:
            say(f"  sign in    {sign_in_address}  (once, within 15 minutes)")
        say(f"  docs       {site}/docs")
        say(f"  live       {site}/v1/stream")
        say(f"  keys       {data_dir / CREDENTIALS}{'  (just created, only you can read it)' if first_start else ''}")
        say(f"  log        {data_dir / LOG}")
        has_server = any(os.environ.get(name) for name in ("NEWSWIRE_SMTP_URL", "NEWSWIRE_SMTP_URL_FILE"))
        say(f"  mail       {'to the server of NEWSWIRE_SMTP_URL' if has_server else f'{site}/mail'}")
        if not private_webhooks:
            say("  webhooks   to public addresses only; NEWSWIRE_WEBHOOK_ALLOW_PRIVATE=true allows private ones too")
        elif not is_loopback(host):
            say(
                "  webhooks   to private addresses too (NEWSWIRE_WEBHOOK_ALLOW_PRIVATE): subscribers can reach your network"
            )
        say()
        due = data_dir / SAMPLES_DUE
        if due.exists():
            from newswire_cli.local.samples import publish_samples

            steps = "searched, delivered to a webhook" if private_webhooks else "searched"
            say(f"Six sample articles are published, {steps}:")
            keys = [credentials[f"NEWSWIRE_{name}_KEY"] for name in ("PUBLISHER", "SUBSCRIBER", "READ")]
            if await publish_samples(site, *keys, with_webhook=private_webhooks):
                due.unlink(missing_ok=True)
            say()
        say("Publish your own article, and find it by another form of one of its words:")
        say()
        say(
            f"  . {secrets} && curl -s {site}/v1/articles"
            ' -H "Authorization: Bearer $NEWSWIRE_PUBLISHER_KEY" -H "Content-Type: application/json"'
            """ -d '{"title": "Hello, world", "body": "<p>Our presses were rolling all night.</p>"}'"""
        )
        key = "" if public_read else ' -H "Authorization: Bearer $NEWSWIRE_READ_KEY"'
        say(f"  curl -s '{site}/v1/search?q=press+rolled'{key}")
        say()

    return welcome
