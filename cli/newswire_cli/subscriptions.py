"""`newswire subscriptions`: look at those of any account, pause, resume and end them."""

from typing import TYPE_CHECKING, Annotated

import typer

from newswire_cli.console import fail, say
from newswire_cli.store import DataDir, Store, with_store

if TYPE_CHECKING:
    from newswire_notify.subscriptions.repository import Subscriptions

app = typer.Typer(help="List, pause, resume and end the subscriptions of any account.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID")]
Reason = Annotated[str, typer.Option(help="Why; the owner of the subscription can read it.")]


@app.command("list")
def list_(
    account: Annotated[str, typer.Option(help="The account whose subscriptions are listed.")], data_dir: DataDir = None
) -> None:
    """List the subscriptions of an account, oldest first."""

    async def work(store: Store) -> list[list[str]]:
        return [
            [
                found.id,
                found.status,
                found.status_reason or "",
                f"{found.created_at:%Y-%m-%d %H:%M}",
                found.channel.url,
                found.status_note or "",
            ]
            async for found in _subscriptions(store).of(account)
        ]

    from newswire_cli.tables import show

    show(["id", "status", "reason", "created", "url", "note"], with_store(data_dir, work))


@app.command()
def pause(subscription: Id, reason: Reason, data_dir: DataDir = None) -> None:
    """Deliver nothing to a subscription until an operator resumes it."""

    async def work(store: Store) -> bool:
        from newswire.observability.audit import COMMAND_LINE, Act, record
        from newswire_notify.subscriptions.repository import PausedBy, SubscriptionConflictError

        subscriptions = _subscriptions(store)
        if (found := await subscriptions.find(subscription)) is None:
            return False
        try:
            await subscriptions.pause(found, PausedBy.OPERATOR, _checked(reason))
        except SubscriptionConflictError as error:
            fail(f"{subscription} cannot be paused: {error}")
        details = {"account": found.account, "reason": reason}
        await record(
            store.redis, store.keys, COMMAND_LINE, Act.SUBSCRIPTION_PAUSED, "subscription", found.id, **details
        )
        return True

    _done(with_store(data_dir, work), subscription, "is paused")


@app.command()
def resume(subscription: Id, data_dir: DataDir = None) -> None:
    """Undo an operator's pause."""

    async def work(store: Store) -> bool:
        from newswire.observability.audit import COMMAND_LINE, Act, record
        from newswire_notify.subscriptions.repository import PausedBy, SubscriptionConflictError

        subscriptions = _subscriptions(store)
        while (found := await subscriptions.find(subscription)) is not None:
            try:
                if not await subscriptions.resume(found, PausedBy.OPERATOR):
                    continue  # another process changed it meanwhile
            except SubscriptionConflictError as error:
                fail(f"{subscription} cannot be resumed: {error}")
            details = {"account": found.account}
            await record(
                store.redis, store.keys, COMMAND_LINE, Act.SUBSCRIPTION_RESUMED, "subscription", found.id, **details
            )
            return True
        return False

    _done(with_store(data_dir, work), subscription, "is as it was before the pause")


@app.command()
def end(subscription: Id, reason: Reason, data_dir: DataDir = None) -> None:
    """End a subscription for good; its owner can read why for 30 days."""

    async def work(store: Store) -> bool:
        from newswire.observability.audit import COMMAND_LINE, Act, record

        subscriptions = _subscriptions(store)
        found = await subscriptions.find(subscription)
        if found is None or not await subscriptions.remove(found.account, found.id, _checked(reason)):
            return False
        details = {"account": found.account, "reason": reason}
        await record(store.redis, store.keys, COMMAND_LINE, Act.SUBSCRIPTION_ENDED, "subscription", found.id, **details)
        return True

    _done(with_store(data_dir, work), subscription, "is ended")


def _subscriptions(store: Store) -> "Subscriptions":
    from newswire_notify.deliveries.queue import Queue
    from newswire_notify.settings import NotifySettings
    from newswire_notify.subscriptions.repository import Subscriptions

    queue = Queue.from_settings(store.deliveries, store.keys, NotifySettings())
    return Subscriptions(queue, store.redis, store.keys)


def _checked(reason: str) -> str:
    if not reason.strip():
        fail("--reason is empty: its owner is to read why")
    return reason


def _done(found: bool, subscription: str, what: str) -> None:
    if not found:
        fail(f"there is no subscription {subscription}; `newswire subscriptions list --account NAME` shows them")
    say(f"{subscription} {what}")
