"""What was made from the index is kept while the index stays the same, and not a moment longer."""

from dataclasses import replace
from datetime import timedelta

import pytest

from newswire_search.feeds.index_changes import SETTLING_SECONDS, IndexState
from newswire_search.query.state_cache import BRIEF_SECONDS, MAX_SECONDS, StateCache

REFRESH = timedelta(seconds=0.2)
FIRST = IndexState("1-0 ", read_at=100.0)
SETTLED = replace(FIRST, read_at=101.0 + SETTLING_SECONDS + REFRESH.total_seconds())


def later(state: IndexState, seconds: float) -> IndexState:
    return replace(state, read_at=state.read_at + seconds)


def make(cache: StateCache[str], key: str, state: IndexState, value: str, size: int = 1) -> None:
    """Do as a page does that is not kept."""
    cache.get(key, state)
    cache.put(key, state, value, size)


@pytest.fixture
def cache() -> StateCache[str]:
    """Return a cache that has known the state for long."""
    made = StateCache[str](100, REFRESH)
    assert made.get("/", FIRST) is None
    make(made, "/", SETTLED, "a page")
    return made


def test_a_page_is_used_again_in_the_same_state(cache: StateCache[str]) -> None:
    assert cache.get("/", SETTLED) == "a page"
    assert cache.get("/", later(SETTLED, MAX_SECONDS - 1)) == "a page"
    assert cache.get("/live", SETTLED) is None


def test_some_changes_have_no_event_so_nothing_is_kept_for_ever(cache: StateCache[str]) -> None:
    assert cache.get("/", later(SETTLED, MAX_SECONDS + 1)) is None


@pytest.mark.parametrize("name", ["2-0 ", "1-0 1700000000000", None])
def test_a_page_is_not_used_in_another_state(cache: StateCache[str], name: str | None) -> None:
    assert cache.get("/", replace(SETTLED, name=name)) is None


def test_nothing_is_kept_while_the_state_is_unknown(cache: StateCache[str]) -> None:
    unknown = IndexState(read_at=SETTLED.read_at)
    make(cache, "/live", unknown, "a page")
    assert cache.get("/live", unknown) is None
    assert cache.get("/live", SETTLED) is None


def test_a_page_of_an_earlier_state_is_not_kept(cache: StateCache[str]) -> None:
    newer = replace(SETTLED, name="2-0 ")
    assert cache.get("/live", SETTLED) is None
    assert cache.get("/live", newer) is None
    cache.put("/live", SETTLED, "made before the second event, and finished after it")
    assert cache.get("/live", newer) is None
    assert cache.get("/live", SETTLED) is None


def test_what_is_made_before_searches_see_the_last_event_is_kept_briefly(cache: StateCache[str]) -> None:
    second = replace(SETTLED, name="2-0 ")
    make(cache, "/", second, "may lack the second event")
    assert cache.get("/", later(second, BRIEF_SECONDS / 2)) == "may lack the second event"
    assert cache.get("/", later(second, BRIEF_SECONDS * 2)) is None
    make(cache, "/", later(second, SETTLING_SECONDS), "may lack it too")
    assert cache.get("/", later(second, SETTLING_SECONDS + BRIEF_SECONDS * 2)) is None
    make(cache, "/", later(second, SETTLING_SECONDS + 0.5), "complete")
    assert cache.get("/", later(second, SETTLING_SECONDS + 0.5 + MAX_SECONDS / 2)) == "complete"


def test_pages_are_kept_briefly_while_events_are_indexed(cache: StateCache[str]) -> None:
    changing = replace(SETTLED, is_changing=True)
    assert cache.get("/", later(changing, BRIEF_SECONDS / 2)) == "a page"
    assert cache.get("/", later(changing, BRIEF_SECONDS * 2)) is None
    make(cache, "/live", changing, "may lack what is being indexed")
    assert cache.get("/live", later(SETTLED, BRIEF_SECONDS * 2)) is None


def test_a_state_that_returns_has_to_settle_again(cache: StateCache[str]) -> None:
    other = later(replace(SETTLED, name="2-0 "), 1)
    cache.get("/", other)
    back = later(SETTLED, 2)
    make(cache, "/", back, "another page")
    assert cache.get("/", later(back, BRIEF_SECONDS * 2)) is None


def test_the_size_is_bounded_and_what_is_not_used_is_removed_first() -> None:
    cache = StateCache[str](10, REFRESH)
    for name in ("a", "b"):
        make(cache, name, FIRST, name, 4)
    assert cache.get("a", FIRST) == "a"
    make(cache, "c", FIRST, "c", 4)
    assert [cache.get(name, FIRST) for name in "abc"] == ["a", None, "c"]
    make(cache, "c", FIRST, "c again", 6)
    assert [cache.get(name, FIRST) for name in "ac"] == ["a", "c again"]
    cache.put("d", FIRST, "d", 11)  # larger than all together
    assert [cache.get(name, FIRST) for name in "acd"] == ["a", "c again", None]
