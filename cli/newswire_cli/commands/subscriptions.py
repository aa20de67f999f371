"""`newswire subscriptions`: list, pause, resume and end the subscriptions of any account."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from newswire_cli.client.redis import DataDir, with_stores
from newswire_cli.terminal.console import fail, say
from newswire_cli.terminal.json_output import Json
from newswire_cli.terminal.tables import Record, member, minute, print_records
from newswire_operations.stores import Stores

if TYPE_CHECKING:
    from newswire_notify.subscriptions.models import Subscription
    from newswire_notify.subscriptions.repository import Subscriptions

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

    async def work(stores: Stores) -> bool:
        from newswire.observability.audit import COMMAND_LINE, Act, record
        from newswire_notify.subscriptions.models import PausedBy, SubscriptionConflictError

        subscriptions = _subscriptions(stores)
        if (found := await subscriptions.find(subscription)) is None:
            return False
        try:
            await subscriptions.pause(found, PausedBy.OPERATOR, _checked(reason))
        except SubscriptionConflictError as error:
            fail(f"{subscription} cannot be paused: {error}")
        details = {"account": found.account, "reason": reason}
        await record(
            stores.redis, stores.keys, COMMAND_LINE, Act.SUBSCRIPTION_PAUSED, "subscription", found.id, **details
        )
        return True

    _report(with_stores(data_dir, work), subscription, "is paused")


@app.command()
def resume(subscription: Id, data_dir: DataDir = None) -> None:
    """Undo an operator's pause."""

    async def work(stores: Stores) -> bool:
        from newswire.observability.audit import COMMAND_LINE, Act, record
        from newswire_notify.subscriptions.models import PausedBy, SubscriptionConflictError

        subscriptions = _subscriptions(stores)
        while (found := await subscriptions.find(subscription)) is not None:
            try:
                if not await subscriptions.resume(found, PausedBy.OPERATOR):
                    continue  # another process changed it at the same time
            except SubscriptionConflictError as error:
                fail(f"{subscription} cannot be resumed: {error}")
            details = {"account": found.account}
            await record(
                stores.redis, stores.keys, COMMAND_LINE, Act.SUBSCRIPTION_RESUMED, "subscription", found.id, **details
            )
            return True
        return False

    _report(with_stores(data_dir, work), subscription, "has the status that it had before the pause")


@app.command()
def end(subscription: Id, reason: Reason, data_dir: DataDir = None) -> None:
    """End a subscription for good. Its owner can read the reason for 30 days."""

    async def work(stores: Stores) -> bool:
        from newswire.observability.audit import COMMAND_LINE, Act, record

        subscriptions = _subscriptions(stores)
        found = await subscriptions.find(subscription)
        if found is None or not await subscriptions.remove(found.account, found.id, _checked(reason)):
            return False
        details = {"account": found.account, "reason": reason}
        await record(
            stores.redis, stores.keys, COMMAND_LINE, Act.SUBSCRIPTION_ENDED, "subscription", found.id, **details
        )
        return True

    _report(with_stores(data_dir, work), subscription, "is ended")


def _subscriptions(stores: Stores) -> "Subscriptions":
    from newswire_notify.deliveries.queue import Queue
    from newswire_notify.settings import NotifySettings
    from newswire_notify.subscriptions.repository import Subscriptions

    queue = Queue.from_settings(stores.deliveries, stores.keys, NotifySettings())
    return Subscriptions(queue, stores.redis, stores.keys)


def _checked(reason: str) -> str:
    if not reason.strip():
        fail("--reason is empty; the owner of the subscription has to know why")
    return reason


def _report(found: bool, subscription: str, result: str) -> None:
    if not found:
        fail(f"there is no subscription {subscription}; `newswire subscriptions list --account NAME` lists them")
    say(f"{subscription} {result}")
