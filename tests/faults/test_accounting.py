"""The drill's counting finds what would be wrong."""

from tests.faults.accounting import (
    PUBLISHED,
    RETRACTED,
    Acknowledged,
    Found,
    Heard,
    wrong_at_receivers,
    wrong_in_search,
)

WRITES = [Acknowledged("a", 1), Acknowledged("b", 1, retracted=True)]
ALL_HEARD = [
    Heard("s", "1", PUBLISHED, "a"),
    Heard("s", "1", PUBLISHED, "a"),
    Heard("s", "2", PUBLISHED, "b"),
    Heard("s", "3", RETRACTED, "b"),
]


def test_search_must_hold_each_article_once() -> None:
    assert wrong_in_search(WRITES, [Found("a", 1)]) == []
    assert wrong_in_search(WRITES, []) == ["not found: a version 1"]
    assert wrong_in_search(WRITES, [Found("a", 2)]) == [
        "not found: a version 1",
        "found but not expected, or twice: a version 2",
    ]
    for extra in (Found("a", 1), Found("b", 1), Found("c", 1)):
        assert wrong_in_search(WRITES, [Found("a", 1), extra]) == [
            f"found but not expected, or twice: {extra.id} version 1"
        ]


def test_a_receiver_must_hear_of_everything_under_one_id_each() -> None:
    assert wrong_at_receivers(WRITES, ALL_HEARD, ["s"]) == []
    assert wrong_at_receivers(WRITES, ALL_HEARD[:2], ["s"]) == []  # b was gone before it went out
    assert wrong_at_receivers(WRITES, ALL_HEARD[2:], ["s"]) == ["s never heard of a"]
    assert wrong_at_receivers(WRITES, ALL_HEARD[:3], ["s"]) == ["s never heard of the retraction of b"]
    assert wrong_at_receivers(WRITES, [*ALL_HEARD, Heard("s", "9", PUBLISHED, "a")], ["s"]) == [
        f"s got {PUBLISHED} of a under 2 ids"
    ]
    assert wrong_at_receivers(WRITES, [*ALL_HEARD[:3], Heard("s", "2", RETRACTED, "b")], ["s"]) == [
        "s got 2 for 2 events"
    ]
    assert wrong_at_receivers(WRITES, [*ALL_HEARD, Heard("s", "9", PUBLISHED, "z")], ["s"]) == [
        "s heard of z, which nobody published"
    ]
    assert wrong_at_receivers(WRITES, [*ALL_HEARD, Heard("s", "9", RETRACTED, "a")], ["s"]) == [
        "s heard of a retraction of a, which nobody retracted"
    ]


def test_a_subscription_that_heard_nothing_is_missed() -> None:
    assert wrong_at_receivers(WRITES, ALL_HEARD, ["s", "t"]) == ["t never heard of a"]
