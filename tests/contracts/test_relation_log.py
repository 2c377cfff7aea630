"""How every `RelationLog` tells followers what they have yet to see."""

import pytest

from dinoserve.domain.relations import RelationKey
from dinoserve.ports import DocumentStore, Mark, RelationLog, RelationStore
from relations import a_relation

ONE = a_relation("tag:a", "tag:b")
TWO = a_relation("tag:b", "entity:c")


@pytest.fixture
def kept(documents: DocumentStore) -> RelationStore:
    return documents.relations


@pytest.fixture
async def log(documents: DocumentStore) -> RelationLog:
    log = documents.relation_log
    assert not await log.follow("arangodb")
    return log


async def subjects(log: RelationLog, limit: int = 99) -> list[RelationKey | str | None]:
    return [mark.key or mark.node for mark in await log.marked("arangodb", limit)]


async def test_who_follows_again_is_told_so(log: RelationLog) -> None:
    assert await log.follow("arangodb")
    assert not await log.follow("pathrag")


async def test_nothing_that_was_put_before_is_marked(documents: DocumentStore) -> None:
    await documents.relations.put([ONE])
    await documents.relation_log.follow("arangodb")
    assert await subjects(documents.relation_log) == []
    assert await documents.relation_log.marked("unheard", 9) == []


async def test_what_is_put_and_removed_is_marked_the_oldest_first(
    kept: RelationStore, log: RelationLog
) -> None:
    await kept.put([ONE])
    await kept.put([TWO])
    assert await subjects(log) == [ONE.key, TWO.key]
    assert await subjects(log, 1) == [ONE.key]
    await kept.remove([ONE.key])
    await kept.remove(nodes=["entity:c"])
    assert (await subjects(log))[:2] == [TWO.key, ONE.key]
    assert set((await subjects(log))[2:]) == {"entity:c", "tag:b"}


async def test_with_a_node_goes_every_node_that_has_no_other_relation(
    kept: RelationStore, log: RelationLog
) -> None:
    between = a_relation("tag:far", "tag:away")
    await kept.put([a_relation("tag:a", f"tag:{name}") for name in ("b", "far", "a")])
    await kept.put([between, a_relation("tag:c", "tag:a")])
    await log.settle("arangodb", await log.marked("arangodb", 99))
    await kept.remove(nodes=["tag:a"])
    assert set(await subjects(log)) == {"tag:a", "tag:b", "tag:c"}


async def test_what_changes_nothing_marks_nothing(
    kept: RelationStore, log: RelationLog
) -> None:
    await kept.remove([ONE.key], ["tag:a"])
    await kept.put([])
    assert await subjects(log) == []


async def test_a_write_that_is_refused_marks_nothing(
    kept: RelationStore, log: RelationLog
) -> None:
    with pytest.raises(Exception, match="No asset has the id"):
        await kept.put([ONE, a_relation("tag:a", f"asset:{'f' * 32}")])
    assert await subjects(log) == []


async def test_a_settled_mark_is_gone_and_told_to_nobody(
    kept: RelationStore, log: RelationLog
) -> None:
    await kept.put([ONE, TWO])
    first, *_ = marks = await log.marked("arangodb", 9)
    assert await log.settle("arangodb", [first]) == []
    assert await log.marked("arangodb", 9) == marks[1:]
    assert await log.settle("arangodb", []) == []


async def test_every_follower_settles_its_own(
    kept: RelationStore, log: RelationLog
) -> None:
    await log.follow("pathrag")
    await kept.put([ONE])
    await log.settle("arangodb", await log.marked("arangodb", 9))
    assert await subjects(log) == []
    assert [mark.key for mark in await log.marked("pathrag", 9)] == [ONE.key]


async def test_a_mark_renewed_meanwhile_stays(
    kept: RelationStore, log: RelationLog
) -> None:
    await kept.put([ONE])
    [read] = await log.marked("arangodb", 9)
    await kept.remove([ONE.key])
    [renewed] = await log.marked("arangodb", 9)
    assert renewed.version > read.version
    assert await log.settle("arangodb", [read]) == [read]
    assert await log.marked("arangodb", 9) == [renewed]


async def test_the_mark_of_a_node_is_renewed_as_well(
    kept: RelationStore, log: RelationLog
) -> None:
    versions: list[int] = []
    for _ in range(2):
        await kept.put([ONE])
        await kept.remove(nodes=["tag:a"])
        marks = await log.marked("arangodb", 9)
        versions += [mark.version for mark in marks if mark.node == "tag:a"]
    assert versions == sorted(set(versions))
    assert len(versions) == 2


async def test_of_two_drainers_the_later_marks_anew_what_the_other_took_off(
    kept: RelationStore, log: RelationLog
) -> None:
    await kept.put([ONE])
    await kept.remove(nodes=["tag:a"])
    theirs = ours = await log.marked("arangodb", 9)
    assert await log.settle("arangodb", theirs) == []
    assert await log.settle("arangodb", ours) == ours
    anew = await log.marked("arangodb", 9)
    assert {mark[:2] for mark in anew} == {mark[:2] for mark in ours}
    assert not {mark.version for mark in anew} & {mark.version for mark in ours}
    assert await log.settle("arangodb", anew) == []
    assert await subjects(log) == []


async def test_a_drainer_that_was_late_cannot_settle_what_came_after(
    kept: RelationStore, log: RelationLog
) -> None:
    await kept.put([ONE])
    late = await log.marked("arangodb", 9)
    await log.settle("arangodb", late)
    await kept.put([ONE])
    [new] = await log.marked("arangodb", 9)
    assert await log.settle("arangodb", late) == late
    assert await log.marked("arangodb", 9) == [new]


async def test_who_follows_no_more_has_no_marks(
    kept: RelationStore, log: RelationLog
) -> None:
    await kept.put([ONE])
    marks = await log.marked("arangodb", 9)
    await log.unfollow("arangodb")
    await log.unfollow("arangodb")
    await kept.put([TWO])
    assert await log.settle("arangodb", marks) == []
    assert await subjects(log) == []
    assert not await log.follow("arangodb")
    assert await subjects(log) == []


async def test_many_are_marked_and_settled_at_once(
    kept: RelationStore, log: RelationLog
) -> None:
    many = [a_relation("tag:hub", f"tag:{at}") for at in range(1500)]
    await kept.put(many)
    marks = await log.marked("arangodb", 9999)
    assert {mark.key for mark in marks} == {one.key for one in many}
    assert marks == sorted(marks, key=lambda mark: mark.version)
    assert await log.settle("arangodb", [*marks, Mark(ONE.key, None, 1)]) == [
        Mark(ONE.key, None, 1)
    ]
    assert await subjects(log) == [ONE.key]


async def test_followers_are_told_with_what_waits_for_each_up_to_a_limit(
    kept: RelationStore, log: RelationLog
) -> None:
    await kept.put([ONE])
    await log.follow("pathrag")
    await kept.put([TWO])
    assert dict(await log.followers(9)) == {"arangodb": 2, "pathrag": 1}
    assert dict(await log.followers(1)) == {"arangodb": 1, "pathrag": 1}


async def test_what_was_never_marked_is_marked_by_settling_it(
    kept: RelationStore, log: RelationLog
) -> None:
    await kept.put([ONE])
    noted = [Mark(each, None, 0) for each in (ONE.key, TWO.key)]
    assert await log.settle("arangodb", noted) == noted
    assert await subjects(log) == [ONE.key, TWO.key]
