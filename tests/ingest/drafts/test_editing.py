"""Working on drafts: nothing typed is lost, and nothing is published."""

from newswire.auth.accounts import disable_account
from newswire.auth.credentials import Scope
from newswire_ingest.drafts import composition
from newswire_ingest.drafts.upkeep import erase_expired
from tests.ingest.drafts.conftest import TEXT, Clock, Drafts


async def test_a_draft_may_be_empty_and_is_saved_by_the_revision_that_was_read(drafts: Drafts) -> None:
    draft = await drafts.create(content={})
    assert (draft["state"], draft["content"], draft["acts"]) == (
        "open",
        {"title": "", "body": ""},
        ["publish", "schedule"],
    )
    saved = await drafts.save(draft, title="Half a th", image={"alt": "A bridge"}, canonical_url="https:/")
    assert saved["revision"] != draft["revision"]
    assert (await drafts.read(draft))["content"] == saved["content"]
    assert await drafts.ingest.events() == []
    without = await drafts.send("PUT", f"/drafts/{draft['id']}", TEXT)
    assert (without.status_code, f'"{saved["revision"]}"' in without.json()["detail"]) == (428, True)
    star = await drafts.ingest.http.put(
        f"/v1/drafts/{draft['id']}", json=TEXT, headers=drafts.headers | {"If-Match": "*"}
    )
    assert star.status_code == 422


async def test_of_two_texts_based_on_one_revision_both_are_kept(drafts: Drafts) -> None:
    draft = await drafts.create()
    path = f"/drafts/{draft['id']}"
    mine = await drafts.save(draft, title="Mine")
    other = Drafts(drafts.ingest, await drafts.ingest.key("Harbour Gazette", Scope.PUBLISH))
    refused = await other.send("PUT", path, TEXT | {"title": "Theirs"}, draft["revision"])
    problem = refused.json()
    assert (refused.status_code, problem["type"]) == (412, "urn:newswire:problem:draft-changed")
    assert problem["draft"]["content"]["title"] == "Mine"
    assert problem["draft"]["updated_by"]["id"] == mine["updated_by"]["id"]
    kept = await other.send("GET", f"{path}/revisions/{problem['kept_revision']}")
    assert kept.json()["title"] == "Theirs"
    revisions = (await other.send("GET", f"{path}/revisions")).json()["revisions"]
    assert [(each["kind"], each["title"], each["is_current"]) for each in revisions] == [
        ("conflict", "Theirs", False),
        ("saved", "Mine", True),
        ("created", TEXT["title"], False),
    ]
    again = await other.send("PUT", path, TEXT | {"title": "Theirs, longer"}, draft["revision"])
    assert again.status_code == 412
    both = (await other.send("GET", f"{path}/revisions")).json()["revisions"]
    assert [each["title"] for each in both] == ["Theirs, longer", "Mine", TEXT["title"]]
    # The losing text can be taken instead: by its author, who has seen both.
    number = again.json()["kept_revision"]
    restored = await other.send("POST", f"{path}/revisions/{number}/restore", match=mine["revision"])
    assert restored.json()["content"]["title"] == "Theirs, longer"


async def test_a_save_whose_answer_was_lost_can_be_repeated(drafts: Drafts) -> None:
    draft = await drafts.create()
    first = await drafts.save(draft, title="Saved")
    assert await drafts.save(draft, title="Saved") == first
    later = await drafts.save(first, title="Later")
    repeated = await drafts.send("PUT", f"/drafts/{draft['id']}", TEXT | {"title": TEXT["title"]}, 1)
    assert (repeated.status_code, repeated.json()["kept_revision"]) == (412, draft["revision"])
    assert (await drafts.read(draft))["revision"] == later["revision"]


async def test_saves_of_one_author_within_five_minutes_are_one_revision(timed: Drafts, clock: Clock) -> None:
    draft = await timed.create()
    for minute in range(1, 8):
        clock.shift(minutes=1)
        draft = await timed.save(draft, title=f"Minute {minute}")
    revisions = (await timed.send("GET", f"/drafts/{draft['id']}/revisions")).json()["revisions"]
    assert [each["title"] for each in revisions] == ["Minute 7", "Minute 5", TEXT["title"]]
    assert await timed.audit() == ["draft.created", "draft.saved", "draft.saved"]


async def test_the_history_is_bounded_and_keeps_the_newest(timed: Drafts, clock: Clock) -> None:
    draft = await timed.create()
    path = f"/drafts/{draft['id']}/revisions"
    for number in range(4):
        clock.shift(minutes=10)
        draft = await timed.save(draft, title=f"Text {number}")
    titles = [each["title"] for each in (await timed.send("GET", path)).json()["revisions"]]
    assert titles == ["Text 3", "Text 2", "Text 1"]
    clock.shift(days=100)
    draft = await timed.save(draft, title="After a summer")
    titles = [each["title"] for each in (await timed.send("GET", path)).json()["revisions"]]
    assert titles == ["After a summer"]
    redis, keys = timed.ingest.redis, timed.ingest.keys
    record, text = keys.key("draft", draft["id"]), f"text:{draft['revision']}"
    assert [field for field in await redis.hkeys(record) if field.startswith(b"text:")] == [text.encode()]
    assert int(await redis.get(keys.key("drafts", "bytes", "Harbour Gazette"))) == await redis.hstrlen(record, text)


async def test_a_discarded_draft_can_be_recovered_and_only_then_erased(drafts: Drafts) -> None:
    draft = await drafts.create()
    path = f"/drafts/{draft['id']}"
    assert (await drafts.send("POST", f"{path}/erase")).json()["type"].endswith("draft-not-discarded")
    discarded = (await drafts.send("DELETE", path)).json()
    assert (discarded["state"], discarded["acts"]) == ("discarded", [])
    assert discarded["erased_at"] > discarded["discarded_at"]
    assert (await drafts.send("DELETE", path)).json() == discarded
    assert (await drafts.send("PUT", path, TEXT, draft["revision"])).json()["type"].endswith("draft-discarded")
    assert (await drafts.send("POST", f"{path}/publish", match=draft["revision"])).status_code == 409
    assert (await drafts.send("GET", "/drafts")).json()["drafts"] == []
    assert len((await drafts.send("GET", "/drafts?state=discarded")).json()["drafts"]) == 1
    assert (await drafts.send("POST", f"{path}/recover")).json() == draft
    await drafts.send("DELETE", path)
    assert (await drafts.send("POST", f"{path}/erase")).status_code == 204
    assert (await drafts.send("GET", path)).status_code == 404
    assert await drafts.ingest.everything_of("draft:", "drafts:of", "drafts:discarded", "drafts:articles") == {}
    assert await drafts.audit() == [
        "draft.created",
        "draft.discarded",
        "draft.recovered",
        "draft.discarded",
        "draft.erased",
    ]


async def test_a_draft_that_was_discarded_long_ago_is_erased(timed: Drafts, clock: Clock) -> None:
    old, kept = await timed.create(), await timed.create()
    await timed.send("DELETE", f"/drafts/{old['id']}")
    clock.shift(days=20)
    await timed.send("DELETE", f"/drafts/{kept['id']}")
    store = composition.draft_store(timed.ingest.redis, timed.ingest.keys, timed.ingest.settings)
    clock.shift(days=11)
    assert await erase_expired(store, timed.ingest.settings.discarded_draft_retention, clock()) == 1
    assert (await timed.send("GET", f"/drafts/{old['id']}")).status_code == 404
    assert (await timed.read(kept))["state"] == "discarded"
    assert (await timed.audit())[-1] == "draft.erased"


async def test_lists_are_by_state_author_and_title_and_paged(timed: Drafts) -> None:
    made = [await timed.create(content={"title": f"Ferry {number}"}) for number in range(5)]
    # All have one time: pages miss and repeat none.
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await timed.send("GET", f"/drafts?limit=2{cursor}")).json()
        seen += [each["id"] for each in page["drafts"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert sorted(seen) == sorted(each["id"] for each in made)
    assert len(seen) == 5
    named = (await timed.send("GET", "/drafts?text=FERRY+3")).json()["drafts"]
    assert [each["title"] for each in named] == ["Ferry 3"]
    author = made[0]["created_by"]["id"]
    assert len((await timed.send("GET", f"/drafts?author={author}&state=open")).json()["drafts"]) == 5
    assert (await timed.send("GET", "/drafts?author=someone")).json()["drafts"] == []
    assert (await timed.send("GET", "/drafts?state=finished")).status_code == 422


async def test_drafts_of_others_do_not_exist(drafts: Drafts) -> None:
    draft = await drafts.create()
    other = Drafts(drafts.ingest, await drafts.ingest.key("Other House", Scope.PUBLISH))
    for method, path in [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/recover"),
        ("GET", "/revisions"),
        ("GET", "/revisions/1"),
    ]:
        assert (await other.send(method, f"/drafts/{draft['id']}{path}")).status_code == 404
    for act in ("publish", "schedule", "update", "correct", "revisions/1/restore"):
        assert (await other.send("POST", f"/drafts/{draft['id']}/{act}", match=1)).status_code == 404
    assert (await other.send("PUT", f"/drafts/{draft['id']}", TEXT, 1)).status_code == 404
    assert (await other.send("GET", "/drafts")).json()["drafts"] == []
    reader = Drafts(drafts.ingest, await drafts.ingest.key("Harbour Gazette", Scope.READ))
    assert (await reader.send("GET", f"/drafts/{draft['id']}")).status_code == 403
    assert (await drafts.send("GET", "/drafts/dft_x:y")).status_code == 404


async def test_limits_name_what_to_do(drafts: Drafts) -> None:
    few = Drafts(drafts.ingest.with_settings(draft_limit=1), drafts.headers)
    await few.create()
    refused = await few.send("POST", "/drafts", {"content": TEXT})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:newswire:problem:too-many-drafts")
    small = Drafts(drafts.ingest.with_settings(draft_space_bytes=200), drafts.headers)
    refused = await small.send("POST", "/drafts", {"content": {"body": "".join(map(chr, range(1000, 2000)))}})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:newswire:problem:too-many-drafts")
    large = await drafts.send("POST", "/drafts", {"content": {"body": "x" * 1024 * 1024}})
    assert large.status_code == 413


async def test_a_disabled_account_neither_saves_nor_publishes(drafts: Drafts) -> None:
    draft = await drafts.create()
    await disable_account(drafts.ingest.redis, drafts.ingest.keys, "Harbour Gazette")
    assert (await drafts.send("PUT", f"/drafts/{draft['id']}", {"title": "Late"}, draft["revision"])).status_code == 401
    assert (await drafts.send("POST", f"/drafts/{draft['id']}/publish", match=draft["revision"])).status_code == 401
    assert await drafts.ingest.events() == []
