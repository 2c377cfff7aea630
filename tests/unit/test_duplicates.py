"""Which of a group is kept, and what groups there are."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dinoserve.domain.assets import Asset, ImageInfo
from dinoserve.domain.duplicates import Best, NearPair, best, near_groups, same_by
from records import NOON, an_asset


def asset(
    seed: int, kind: str = "image/jpeg", side: int = 100, size: int = 1000
) -> Asset:
    return replace(
        an_asset(seed),
        image=ImageInfo(kind, side, side),
        size_bytes=size,
        created_at=NOON + timedelta(seconds=seed),
    )


@pytest.mark.parametrize(
    ("better", "worse", "reason"),
    [
        (asset(2, side=101, size=5), asset(1, "image/png"), "most pixels: 101 x 101"),
        (asset(2, "image/png", size=5), asset(1), "lossless: image/png"),
        (asset(2, size=1001), asset(1), "most bytes: 1001"),
        (asset(1), asset(2), "equal in all that was compared, and uploaded first"),
    ],
    ids=["resolution", "format", "bytes", "time"],
)
def test_what_is_kept_is_better_and_says_in_what(
    better: Asset, worse: Asset, reason: str
) -> None:
    for pair in ([better, worse], [worse, better]):
        kept = best(pair, {})

        assert kept.asset == better.id
        assert kept.reasons == (reason,)


def test_the_sharpest_is_kept_before_the_one_of_most_bytes() -> None:
    soft, sharp = asset(1, size=2000), asset(2)

    kept = best([soft, sharp], {soft.id: 10.0, sharp.id: 400.0})

    assert kept.asset == sharp.id
    assert kept.reasons == ("sharpest: 400",)


def test_sharpness_of_some_only_decides_nothing() -> None:
    measured, larger = asset(1), asset(2, size=2000)

    assert best([measured, larger], {measured.id: 400.0}).asset == larger.id


def test_every_criterion_that_decided_is_told() -> None:
    kept = best([asset(1, "image/png"), asset(2), asset(3, side=50)], {})

    assert kept.reasons == ("most pixels: 100 x 100", "lossless: image/png")


def test_assets_without_a_digest_stand_for_themselves() -> None:
    assets = {each.id: each for each in map(asset, range(3))}

    groups, standing = same_by(assets, lambda _: None)

    assert groups == []
    assert standing == sorted(assets)


def test_of_one_digest_only_the_oldest_stands_for_the_others() -> None:
    first, later, other = asset(1), asset(2, "image/png", size=9999), asset(3)
    assets = {each.id: each for each in (later, first, other)}
    digests = {first.id: "a", later.id: "a", other.id: "b"}

    [group], standing = same_by(assets, digests.get)

    assert group.digest == "a"
    assert group.assets == tuple(sorted([first.id, later.id]))
    assert group.keep == Best(first.id, ("the same pixels, and uploaded first",))
    assert standing == sorted([first.id, other.id])


def test_pairs_that_share_an_asset_are_one_group() -> None:
    assets = {each.id: each for each in map(asset, range(5))}
    a, b, c, d, e = assets
    pairs = [
        NearPair(a, b, 1, "none"),
        NearPair(b, c, 2, "none"),
        NearPair(d, e, 0, "none"),
    ]

    large, small = near_groups(pairs, assets, {})

    assert large.assets == tuple(sorted([a, b, c]))
    assert large.pairs == tuple(pairs[:2])
    assert small.assets == tuple(sorted([d, e]))


def test_no_pairs_are_no_groups() -> None:
    assert near_groups([], {}, {}) == []
