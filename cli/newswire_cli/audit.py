"""`newswire audit`: who did what."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from newswire_cli.store import DataDir, Store, with_store

app = typer.Typer(help="Read the audit log.", no_args_is_help=True)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(help="How many entries at most.", min=1, max=10_000)] = 100,
    act: Annotated[
        str | None, typer.Option(help="Only this act, such as account.disabled, or all of a kind: account.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Only what was done to this id or account.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only since this time (UTC).", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """List who did what, newest first: by the command line or with a key, never with a secret in it."""

    async def work(store: Store) -> list[list[str]]:
        import json

        from newswire.observability.audit import AuditEntry, read_page

        found: list[AuditEntry] = []
        before: str | None = None
        while len(found) < limit:
            page = await read_page(
                store.redis,
                store.keys,
                limit=limit - len(found),
                before=before,
                since=since.replace(tzinfo=UTC) if since else None,
                act=act,
                target=target,
            )
            found += page.entries
            before = page.next_id
            if before is None:
                break
        return [
            [
                f"{entry.time:%Y-%m-%d %H:%M:%S}",
                entry.act,
                f"{entry.target_type} {entry.target}",
                f"{entry.actor.account} ({entry.actor.key_id})" if entry.actor.key_id else entry.actor.type.value,
                entry.actor.address or "",
                json.dumps(dict(entry.details), ensure_ascii=False) if entry.details else "",
            ]
            for entry in found
        ]

    from newswire_cli.tables import show

    show(["time", "act", "target", "actor", "from", "details"], with_store(data_dir, work))
