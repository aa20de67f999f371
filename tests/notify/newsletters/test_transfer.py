"""Lists of subscribers come in with proof of consent, and go out."""

from typing import Any

import pytest

from newswire_notify.newsletters import transfer
from newswire_notify.newsletters.transfer import export_subscribers, import_subscribers
from tests.notify.newsletters.conftest import House

GOOD = {
    "email": "reader@example.org",
    "consent_at": "2024-05-01T10:00:00Z",
    "consent_source": "https://old.example/join",
}


def rows(*changes: dict[str, str]) -> list[tuple[int, dict[str, str]]]:
    return [(number, GOOD | change) for number, change in enumerate(changes, start=2)]


async def test_imported_readers_are_subscribed_without_a_confirmation(house: House) -> None:
    newsletter = await house.create()
    report = await import_subscribers(
        house.parts.subscribers, newsletter, rows({"topics": "Ferries; Bridges", "cadence": "instant"}, {}), "list.csv"
    )
    assert dict(report.counts) == {"imported": 1, "known": 1}
    assert await house.send() == []
    await house.desk.publish("a1", topics=["Ferries"])
    assert [mail.recipient for mail in await house.send()] == ["reader@example.org"]
    found = await house.parts.subscribers.by_address(newsletter, "reader@example.org")
    assert found is not None
    assert found.consent["imported"]["consent_source"] == "https://old.example/join"


async def test_rows_without_proof_or_with_nonsense_are_named(house: House) -> None:
    newsletter = await house.create()
    wrong = [
        {"email": "nobody"},
        {"consent_at": ""},
        {"consent_at": "yesterday"},
        {"consent_at": "2099-01-01T00:00:00Z"},
        {"consent_source": " "},
        {"topics": "Weather"},
        {"cadence": "hourly"},
        {"hour": "25"},
        {"zone": "Berlin"},
    ]
    report = await import_subscribers(house.parts.subscribers, newsletter, rows(*wrong), "list.csv")
    assert dict(report.counts) == {"invalid": len(wrong)}
    for number, (change, problem) in enumerate(zip(wrong, report.problems, strict=True), start=2):
        assert problem.startswith(f"row {number}: {next(iter(change))}: ")


async def test_an_import_does_not_bring_back_who_left(house: House) -> None:
    newsletter = await house.create()
    left = await house.reader(newsletter, "left@example.org")
    erased = await house.reader(newsletter, "erased@example.org")
    bounced = await house.reader(newsletter, "bounced@example.org")
    await house.parts.signup.unsubscribe(left.id)
    await house.parts.subscribers.erase(erased)
    await house.parts.bounces.record(bounced.id, 1, "550 5.1.1")
    changes = [{"email": f"{name}@example.org"} for name in ("left", "Erased", "bounced", "fresh")]
    report = await import_subscribers(house.parts.subscribers, newsletter, rows(*changes), "list.csv")
    assert dict(report.counts) == {"suppressed": 3, "imported": 1}


async def test_states_of_a_file_are_kept(house: House) -> None:
    """A list from another installation: who left there gets no mail here, now or after a later import."""
    newsletter = await house.create()
    here = await house.reader(newsletter, "here@example.org")
    changes = [
        {"email": "active@example.org", "state": "Active "},
        *({"email": f"{state}@example.org", "state": state} for state in ("unsubscribed", "bounced", "complained")),
        {"email": "pending@example.org", "state": "pending"},
        {"email": "other@example.org", "state": "cleaned"},
        {"email": "here@example.org", "state": "unsubscribed"},
    ]
    left = [change | {"consent_at": ""} if change["state"] == "bounced" else change for change in changes]
    report = await import_subscribers(house.parts.subscribers, newsletter, rows(*left), "old.csv")
    assert dict(report.counts) == {"imported": 1, "suppressed": 3, "invalid": 2, "known": 1}
    assert [problem.partition(":")[0] for problem in report.problems] == ["row 6", "row 7"]
    assert await house.state(here) == "active"
    later = await import_subscribers(
        house.parts.subscribers, newsletter, rows(*({"email": change["email"]} for change in changes)), "new.csv"
    )
    assert dict(later.counts) == {"known": 2, "suppressed": 3, "imported": 2}
    answer = await house.sign_up("unsubscribed@example.org")
    assert answer.status_code == 200
    assert [mail.message["Subject"] for mail in await house.send()] == ["Please confirm: Ferry News"]


async def test_rows_that_are_stored_together_count_as_one_by_one(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "CHUNK_ROWS", 3)
    newsletter = await house.create()
    left = {"state": "unsubscribed"}
    changes = [
        *({"email": f"{name}@example.org"} for name in ("a", "b", "A", "c", "d", "e", "f")),
        {"email": "b@example.org"} | left,  # it is known by then
        {"email": "g@example.org"} | left,
        {"email": "g@example.org"},
        {"email": "nobody"},
        {"email": "h@example.org", "cadence": "weekly", "weekday": "3"},
    ]
    report = await import_subscribers(house.parts.subscribers, newsletter, rows(*changes), "list.csv")
    assert dict(report.counts) == {"imported": 7, "known": 2, "suppressed": 2, "invalid": 1}
    exported = [row["email"] async for row in export_subscribers(house.parts.subscribers, newsletter)]
    assert sorted(exported) == [f"{name}@example.org" for name in "abcdefh"]
    scheduled = await house.redis.zrange(house.parts.newsletters.keys.key("newsletter_schedule"), 0, -1)
    assert len(scheduled) == 2


async def test_an_export_can_be_imported(house: House) -> None:
    newsletter = await house.create()
    await house.sign_up("leser@bücher.example", topics="Bridges", cadence="weekly")
    [mail] = await house.send()
    from tests.notify.newsletters.conftest import link_in

    await house.http.post(link_in(mail, "confirm"))
    await house.reader(newsletter, "weekly@example.org", "weekly", hour=18, weekday=4, zone="Asia/Tokyo")
    exported: list[dict[str, Any]] = [row async for row in export_subscribers(house.parts.subscribers, newsletter)]
    assert {row["email"] for row in exported} == {"leser@xn--bcher-kva.example", "weekly@example.org"}
    other = await house.create(slug="other")
    proven = [
        row if row["consent_at"] else row | {"consent_at": GOOD["consent_at"], "consent_source": "x"}
        for row in exported
    ]
    report = await import_subscribers(house.parts.subscribers, other, enumerate(proven), "ferries.csv")
    assert dict(report.counts) == {"imported": 2}
    again = [row async for row in export_subscribers(house.parts.subscribers, other)]
    chosen = ("email", "topics", "cadence", "hour", "weekday", "zone", "language")
    assert sorted([row[name] for name in chosen] for row in again) == sorted(
        [row[name] for name in chosen] for row in exported
    )
