"""`newswire audit`: read the audit log."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newswire_cli.client.redis import DataDir, with_stores
from newswire_cli.terminal.json_output import Json
from newswire_cli.terminal.tables import Record, member, print_records, second
from newswire_operations.stores import Stores

if TYPE_CHECKING:
    from newswire.observability.audit import AuditEntry

app = typer.Typer(help="Read the audit log.", no_args_is_help=True)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(help="The maximum number of entries.", min=1, max=10_000)] = 100,
    act: Annotated[
        str | None, typer.Option(help="Only this act, e.g. account.disabled, or all acts of a kind: account.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Only acts on this id or account.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only since this time (UTC).", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
    ] = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """List who did what, newest first: keys, users, the command line. Entries never contain secrets."""

    async def work(stores: Stores) -> list[Record]:
        from newswire.observability.audit import read_page

        found: list[AuditEntry] = []
        before: str | None = None
        while len(found) < limit:
            page = await read_page(
                stores.redis,
                stores.keys,
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
        return [_record(entry) for entry in found]

    columns = {
        "time": second("time"),
        "act": member("act"),
        "target": lambda entry: f"{entry['target_type']} {entry['target']}",
        "actor": _actor,
        "from": lambda entry: entry["actor"]["address"] or "",
        "details": _details,
    }
    print_records(with_stores(data_dir, work), columns, as_json=json)


def _record(entry: "AuditEntry") -> dict[str, Any]:
    actor = {
        "type": entry.actor.type.value,
        "key_id": entry.actor.key_id,
        "user_id": entry.actor.user_id,
        "account": entry.actor.account,
        "address": entry.actor.address,
    }
    return {
        "id": entry.id,
        "time": entry.time,
        "act": entry.act,
        "target_type": entry.target_type,
        "target": entry.target,
        "actor": actor,
        "details": dict(entry.details),
    }


def _actor(entry: Record) -> str:
    actor = entry["actor"]
    if actor["key_id"]:
        return f"{actor['account']} ({actor['key_id']})"
    return f"user {actor['user_id']}" if actor["user_id"] else str(actor["type"])


def _details(entry: Record) -> str:
    from json import dumps

    return dumps(entry["details"], ensure_ascii=False) if entry["details"] else ""
