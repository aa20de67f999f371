"""Pausing, resuming and enabling: what is decided from a record, and that Redis applies it only to that record."""

import pytest

from newswire_notify.subscriptions.errors import SubscriptionConflictError
from newswire_notify.subscriptions.models import PausedBy, Subscription
from newswire_notify.subscriptions.status_changes import (
    MAX_REORDERING_MS,
    Backfill,
    StatusChange,
    StatusRecord,
    change_status,
    enable,
    pause,
    resume,
)
from tests.notify.conftest import Desk, Receiver

ACTIVE = StatusRecord("active")
PAUSED = StatusRecord("paused", left_seq=4, left_entry="50-1", paused_at=60, after_entry="7-0")
BY_OPERATOR = StatusRecord(
    "paused", "operator", paused_before="active", left_seq=4, left_entry="50-1", paused_at=60, after_entry="7-0"
)
DISABLED = StatusRecord("disabled", "gone", left_seq=4, left_entry="9000000-1", disabled_at=8_000_000)


def test_an_owner_pauses_without_a_reason() -> None:
    expected = StatusChange({"status": "paused", "left_entry": "9-1"}, membership="leave")
    assert pause(ACTIVE, PausedBy.OWNER, "", "9-1") == expected
    assert pause(PAUSED, PausedBy.OWNER, "", "9-1") is None
    assert pause(BY_OPERATOR, PausedBy.OWNER, "", "9-1") is None


def test_an_operator_pauses_with_a_note_and_remembers_the_status_before() -> None:
    noted = {"status_reason": "operator", "status_note": "too many"}
    of_active = {"paused_before": "active", "reason_before": "", "status": "paused", "left_entry": "9-1"}
    assert pause(ACTIVE, PausedBy.OPERATOR, "too many", "9-1") == StatusChange(of_active | noted, membership="leave")
    of_paused = {"paused_before": "paused", "reason_before": ""}
    assert pause(PAUSED, PausedBy.OPERATOR, "too many", "9-1") == StatusChange(of_paused | noted)
    assert pause(BY_OPERATOR, PausedBy.OPERATOR, "too many", "9-1") == StatusChange(noted)


def test_a_suspended_account_pauses_only_what_is_active() -> None:
    change = pause(ACTIVE, PausedBy.ACCOUNT, "", "9-1")
    assert change is not None
    assert (change.set["status_reason"], change.membership) == ("account_disabled", "leave")
    assert pause(PAUSED, PausedBy.ACCOUNT, "", "9-1") is None
    assert pause(BY_OPERATOR, PausedBy.ACCOUNT, "", "9-1") is None


@pytest.mark.parametrize("by", PausedBy)
def test_a_disabled_subscription_is_neither_paused_nor_resumed(by: PausedBy) -> None:
    with pytest.raises(SubscriptionConflictError, match="disabled"):
        pause(DISABLED, by, "", "9-1")
    with pytest.raises(SubscriptionConflictError, match="disabled"):
        resume(DISABLED, by, suspended=False)


@pytest.mark.parametrize(
    ("record", "by", "reason"),
    [
        (BY_OPERATOR, PausedBy.OWNER, "only an operator can resume it"),
        (StatusRecord("paused", "account_disabled"), PausedBy.OWNER, "its account is disabled"),
        (PAUSED, PausedBy.OPERATOR, "was not paused by an operator"),
        (BY_OPERATOR, PausedBy.ACCOUNT, "only an operator can resume it"),
    ],
)
def test_only_who_paused_it_resumes_it(record: StatusRecord, by: PausedBy, reason: str) -> None:
    with pytest.raises(SubscriptionConflictError, match=reason):
        resume(record, by, suspended=False)


def test_resuming_covers_the_pause_by_a_backfill() -> None:
    change = resume(PAUSED, PausedBy.OWNER, suspended=False)
    assert change is not None
    assert (change.set, change.membership) == ({"status": "active"}, "rejoin")
    assert change.backfill == Backfill("50-1", 60, 4, "missed")
    assert {"left_seq", "left_entry", "paused_at", "status_reason", "status_note"} <= set(change.unset)
    assert resume(ACTIVE, PausedBy.OWNER, suspended=False) is None


def test_a_backfill_does_not_begin_before_the_start_of_the_subscription() -> None:
    # Compared as numbers: as texts, "9-5" comes after "50-1".
    later = StatusRecord("paused", left_seq=4, left_entry="9-5", paused_at=60, after_entry="50-1")
    change = resume(later, PausedBy.OWNER, suspended=False)
    assert change is not None
    assert change.backfill == Backfill("50-1", 60, 4, "missed")


def test_an_operator_restores_the_pause_of_the_owner() -> None:
    by_owner = StatusRecord("paused", "operator", paused_before="paused")
    assert resume(by_owner, PausedBy.OPERATOR, suspended=False) == StatusChange(
        unset=("paused_before", "reason_before", "status_note", "status_reason")
    )
    of_account = StatusRecord("paused", "operator", paused_before="paused", reason_before="account_disabled")
    active_again = resume(of_account, PausedBy.OPERATOR, suspended=False)
    assert active_again is not None
    assert active_again.membership == "rejoin"


def test_nothing_becomes_active_while_its_account_is_suspended() -> None:
    assert resume(PAUSED, PausedBy.OWNER, suspended=True) == StatusChange({"status_reason": "account_disabled"})
    by_operator = resume(BY_OPERATOR, PausedBy.OPERATOR, suspended=True)
    assert by_operator is not None
    assert (by_operator.set, by_operator.membership) == ({"status_reason": "account_disabled"}, "")
    assert enable(DISABLED, suspended=True) is None
    of_account = StatusRecord("paused", "account_disabled", left_seq=4, left_entry="50-1", paused_at=60)
    resumed = resume(of_account, PausedBy.ACCOUNT, suspended=True)
    assert resumed is not None
    assert resumed.membership == "rejoin"


def test_enabling_covers_what_it_was_sent_from_before_it_was_disabled() -> None:
    change = enable(DISABLED, suspended=False)
    assert change is not None
    assert change.backfill == Backfill(f"{8_000_000 - MAX_REORDERING_MS}-0", 8_000_000, 4, "recipients")
    lagging = enable(
        StatusRecord("disabled", left_seq=4, left_entry="6000000-0", disabled_at=8_000_000), suspended=False
    )
    assert lagging is not None
    assert lagging.backfill == Backfill(f"{6_000_000 - MAX_REORDERING_MS}-0", 8_000_000, 4, "recipients")
    early = enable(StatusRecord("disabled", left_seq=4, disabled_at=8_000), suspended=False)
    assert early is not None
    assert early.backfill == Backfill("0-0", 8_000, 4, "recipients")
    assert enable(ACTIVE, suspended=False) is None


def test_a_subscription_that_was_no_member_needs_no_backfill() -> None:
    change = enable(StatusRecord("disabled", "gone", disabled_at=8_000), suspended=False)
    assert change is not None
    assert (change.membership, change.backfill) == ("rejoin", None)


async def current(desk: Desk, subscription: Subscription) -> Subscription:
    found = await desk.subscriptions.find(subscription.id)
    assert found is not None
    return found


async def test_a_change_is_decided_again_where_the_record_changed_meanwhile(desk: Desk, receiver: Receiver) -> None:
    mine = await desk.subscribe(f"{receiver.url}/a")
    seen: list[str] = []

    def decide(record: StatusRecord, suspended: bool) -> StatusChange | None:
        seen.append(record.status)
        return pause(record, PausedBy.OWNER, "", "0-0")

    call = desk.queue.call

    async def overtaken(function: str, **arguments: object) -> object:
        desk.queue.call = call  # type: ignore[method-assign]
        await desk.subscriptions.pause(await current(desk, mine), PausedBy.OPERATOR, "too many")
        return await call(function, **arguments)

    desk.queue.call = overtaken  # type: ignore[method-assign]
    assert await change_status(desk.queue, mine, decide) is False  # an operator has paused it
    assert seen == ["active", "paused"]
    assert ((await current(desk, mine)).status, (await current(desk, mine)).status_reason) == ("paused", "operator")


async def test_a_change_is_decided_again_where_the_account_was_suspended_meanwhile(
    desk: Desk, receiver: Receiver
) -> None:
    mine = await desk.subscribe(f"{receiver.url}/a")
    await desk.subscriptions.pause(mine)
    await desk.redis.sadd(desk.keys.deliveries.key("suspended"), "reader")
    assert await desk.subscriptions.resume(await current(desk, mine))
    assert ((await current(desk, mine)).status, (await current(desk, mine)).status_reason) == (
        "paused",
        "account_disabled",
    )


async def test_a_client_that_saw_an_old_revision_changes_nothing(desk: Desk, receiver: Receiver) -> None:
    mine = await desk.subscribe(f"{receiver.url}/a")
    await desk.subscriptions.pause(mine)
    assert not await desk.subscriptions.resume(mine)
    assert (await current(desk, mine)).status == "paused"


async def test_a_deleted_subscription_is_left_alone(desk: Desk, receiver: Receiver) -> None:
    mine = await desk.subscribe(f"{receiver.url}/a")
    assert await desk.subscriptions.remove("reader", mine.id)
    await desk.subscriptions.pause(mine)
    await desk.subscriptions.enable(mine)
    assert await desk.subscriptions.find(mine.id) is None
