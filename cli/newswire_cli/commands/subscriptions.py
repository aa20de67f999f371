"""`newswire subscriptions`: list, pause, resume and end the subscriptions of any account."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newswire_cli.client.redis import DataDir, with_stores
from newswire_cli.terminal.console import fail, say
from newswire_cli.terminal.json_output import Json
from newswire_cli.terminal.reason import checked_reason
from newswire_cli.terminal.tables import Record, member, minute, print_records
from newswire_operations.stores import Stores

if TYPE_CHECKING:
    from newswire.observability.audit import Actor
    from newswire_notify.subscriptions.models import Subscription
    from newswire_notify.subscriptions.repository import Subscriptions
    from newswire_notify.subscriptions.service import OperatorActions

app = typer.Typer(help="List, pause, resume and end the subscriptions of any account.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID")]
Reason = Annotated[str, typer.Option(help="The reason; the owner of the subscription can read it.")]


@app.command("list")
def list_(
    account: Annotated[str, typer.Option(help="The account whose subscriptions are listed.")],
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """List the subscriptions of an account, oldest first."""

    async def work(stores: Stores) -> list[Record]:
        return [_record(found) async for found in _subscriptions(stores).of(account)]

    columns = {
        "id": member("id"),
        "status": member("status"),
        "reason": member("status_reason"),
        "created": minute("created_at"),
        "url": member("url"),
        "note": member("status_note"),
    }
    print_records(with_stores(data_dir, work), columns, as_json=json)


def _record(subscription: "Subscription") -> dict[str, Any]:
    return {
        "id": subscription.id,
        "account": subscription.account,
        "status": subscription.status,
        "status_reason": subscription.status_reason,
        "status_note": subscription.status_note,
        "created_at": subscription.created_at,
        "url": subscription.channel.url,
    }


@app.command()
def pause(subscription: Id, reason: Reason, data_dir: DataDir = None) -> None:
    """Deliver nothing to a subscription until an operator resumes it."""
    reason = checked_reason(reason)
    _act(subscription, data_dir, "paused", lambda actions, actor: actions.pause(actor, subscription, reason))
    say(f"{subscription} is paused")


@app.command()
def resume(subscription: Id, data_dir: DataDir = None) -> None:
    """Undo an operator's pause."""
    _act(subscription, data_dir, "resumed", lambda actions, actor: actions.resume(actor, subscription))
    say(f"{subscription} has the status that it had before the pause")


@app.command()
def end(subscription: Id, reason: Reason, data_dir: DataDir = None) -> None:
    """End a subscription for good. Its owner can read the reason for 30 days."""
    reason = checked_reason(reason)
    _act(subscription, data_dir, "ended", lambda actions, actor: actions.end(actor, subscription, reason))
    say(f"{subscription} is ended")


def _act(
    subscription: str,
    data_dir: Path | None,
    done: str,
    act: "Callable[[OperatorActions, Actor], Awaitable[None]]",
) -> None:
    async def work(stores: Stores) -> None:
        from newswire.observability.audit import COMMAND_LINE
        from newswire_notify.subscriptions.errors import (
            SubscriptionBusyError,
            SubscriptionConflictError,
            SubscriptionNotFoundError,
        )
        from newswire_notify.subscriptions.service import OperatorActions

        try:
            await act(OperatorActions(_subscriptions(stores), stores.redis, stores.keys), COMMAND_LINE)
        except SubscriptionNotFoundError:
            fail(f"there is no subscription {subscription}; `newswire subscriptions list --account NAME` lists them")
        except (SubscriptionConflictError, SubscriptionBusyError) as error:
            fail(f"{subscription} cannot be {done}: {error}")

    with_stores(data_dir, work, writes=True)


def _subscriptions(stores: Stores) -> "Subscriptions":
    from newswire_notify.deliveries.queue import Queue
    from newswire_notify.settings import NotifySettings
    from newswire_notify.subscriptions.repository import Subscriptions

    queue = Queue.from_settings(stores.deliveries, stores.keys, NotifySettings())
    return Subscriptions(queue, stores.redis, stores.keys)
