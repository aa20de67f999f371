"""Writing to an index, on both implementations: versions never decrease, retractions stay."""

from newswire_search.index.models import RejectedOperation, Retracted, WriteStatus
from newswire_search.index.port import ArticleIndex
from tests.search.samples import found, publish, put, retract, search


async def test_a_redelivered_version_changes_nothing(index: ArticleIndex) -> None:
    first = publish("a1", "Ferry timetable")
    assert await index.write([first]) == [WriteStatus.APPLIED]
    assert await index.write([first]) == [WriteStatus.SUPERSEDED]
    await index.until_visible([first])
    assert await found(index, "ferry") == ["a1"]


async def test_late_older_version_is_superseded(index: ArticleIndex) -> None:
    await put(index, publish("a1", "Ferry delayed", version=2))
    assert await index.write([publish("a1", "Ferry on time", version=1)]) == [WriteStatus.SUPERSEDED]
    assert await found(index, "delayed") == ["a1"]
    assert await found(index, '"on time"') == []


async def test_a_later_version_replaces_the_earlier_one_within_one_batch(index: ArticleIndex) -> None:
    results = await index.write([publish("a1", "Storm"), publish("a1", "Calm", version=2), publish("a1", "Storm")])
    assert results == [WriteStatus.APPLIED, WriteStatus.APPLIED, WriteStatus.SUPERSEDED]
    await index.until_visible([publish("a1", version=2)])
    assert await found(index, "storm") == []
    assert await found(index, "calm") == ["a1"]


async def test_retraction_removes_the_article(index: ArticleIndex) -> None:
    await put(index, publish("a1", "Ferry", category="Travel"), publish("a2", "Ferry again", category="Sea"))
    await put(index, retract("a1", 1))
    page = await search(index, "ferry")
    assert (page.total, [a["id"] for a in page.articles]) == (1, ["a2"])
    assert [f.value for f in page.facets["category"]] == ["Sea"]
    assert await found(index) == ["a2"]
    assert await index.get("a1") == Retracted("a1", 1)


async def test_late_events_do_not_restore_a_retracted_article(index: ArticleIndex) -> None:
    await put(index, publish("a1", "Ferry", version=2))
    await put(index, retract("a1", 2))
    late = [publish("a1", "Ferry", version=1), publish("a1", "Ferry", version=2)]
    assert await index.write(late) == [WriteStatus.SUPERSEDED, WriteStatus.SUPERSEDED]
    await put(index, publish("b1", "Marker"))
    assert await found(index, "ferry") == []
    assert isinstance(await index.get("a1"), Retracted)


async def test_retraction_before_its_article_wins(index: ArticleIndex) -> None:
    await put(index, retract("a1", 1))
    assert await index.write([publish("a1", "Ferry")]) == [WriteStatus.SUPERSEDED]
    await put(index, publish("b1", "Marker"))
    assert await found(index) == ["b1"]


async def test_republished_article_supersedes_a_late_retraction(index: ArticleIndex) -> None:
    await put(index, publish("a1", "Ferry", version=2))
    await put(index, retract("a1", 2))
    await put(index, publish("a1", "Ferry, revised", version=3))
    assert await found(index, "ferry") == ["a1"]
    assert await index.write([retract("a1", 2)]) == [WriteStatus.SUPERSEDED]
    await put(index, publish("b1", "Marker"))
    assert await found(index, "revised") == ["a1"]


async def test_get_returns_unknown_members_unchanged(index: ArticleIndex) -> None:
    sent = publish("a1", "Ferry", mood="hopeful", metadata={"desk": "night"})
    await put(index, sent)
    assert await index.get("a1") == dict(sent.document)
    assert await index.get("a2") is None


async def test_only_the_invalid_operation_of_a_batch_is_rejected(index: ArticleIndex) -> None:
    fine = publish("a1", "Ferry")
    beyond = publish("b1", "Ferry", category="x" * 40_000)
    results = await index.write([fine, beyond, publish("a2", "Ferry")])
    assert [results[0], results[2]] == [WriteStatus.APPLIED, WriteStatus.APPLIED]
    if index.name == "elasticsearch":
        assert isinstance(results[1], RejectedOperation)
        assert "xxx" not in results[1].reason  # logs and dead letters outlive a retraction
    await index.until_visible([publish("a2")])
    assert {"a1", "a2"} <= set(await found(index, "ferry"))


async def test_extreme_dates_are_kept(index: ArticleIndex) -> None:
    await put(
        index,
        publish("old", published_at="0001-01-01T00:00:00Z"),
        publish("early", published_at="1921-04-05T06:07:08Z"),
        publish("late", published_at="9999-12-31T23:59:59Z"),
    )
    assert await found(index) == ["late", "early", "old"]
