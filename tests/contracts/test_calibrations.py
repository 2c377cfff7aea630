"""How every `CalibrationStore` keeps what scores of checks mean."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dinoserve.domain.calibration import Calibration, CalibrationFor, Counts
from dinoserve.domain.kept_calibrations import KeptCalibration
from dinoserve.domain.probabilities import Isotonic, Platt
from dinoserve.domain.verification import Estimate
from dinoserve.ports import CalibrationQuery, DocumentStore
from records import NOON

COUNTS = Counts(8, 20, 40, 21, 41, 80)
FIGURES = {"roc_auc": Estimate(0.1 + 0.2, 0.25, 1.0), "ece": Estimate(1 / 3)}


def kept(
    threshold: float,
    *,
    collection: str = "film",
    recipe: str = "r1",
    score: str = "foreground",
    minutes: int = 0,
) -> KeptCalibration:
    made_for = CalibrationFor(recipe, score, 0.05)
    calibration = Calibration(made_for, threshold, Platt(12.5, -1 / 7), FIGURES, COUNTS)
    return KeptCalibration(collection, NOON + timedelta(minutes=minutes), calibration)


async def test_a_calibration_comes_back_as_it_was_stored(
    documents: DocumentStore,
) -> None:
    store, one = documents.characters.calibrations, kept(0.1 + 0.7)
    curve = Isotonic((-0.25, 1 / 3, 0.9), (0.0, 0.1 + 0.2, 1.0))
    other = one._replace(calibration=replace(one.calibration, curve=curve))
    await store.put(one)
    await store.put(other)
    assert await store.get(one.id) == one
    assert await store.get(other.id) == other


async def test_an_absent_calibration_is_none(documents: DocumentStore) -> None:
    assert await documents.characters.calibrations.get("f" * 32) is None


async def test_one_stored_again_takes_the_place_of_the_first(
    documents: DocumentStore,
) -> None:
    store, first = documents.characters.calibrations, kept(0.5)
    again = kept(0.5, minutes=5)
    await store.put(first)
    await store.put(again)
    assert again.id == first.id
    assert await store.find(CalibrationQuery()) == ([again], None)


async def test_an_erased_calibration_is_gone(documents: DocumentStore) -> None:
    store, one, other = documents.characters.calibrations, kept(0.5), kept(0.6)
    await store.put(one)
    await store.put(other)
    assert await store.remove(one.id)
    assert not await store.remove(one.id)
    assert await store.get(one.id) is None
    assert await store.find(CalibrationQuery()) == ([other], None)


async def test_the_same_figures_of_two_collections_are_two_calibrations(
    documents: DocumentStore,
) -> None:
    store = documents.characters.calibrations
    film, series = kept(0.5), kept(0.5, collection="series")
    await store.put(film)
    await store.put(series)
    assert await store.get(film.id) == film
    assert await store.get(series.id) == series


@pytest.mark.parametrize(
    "query",
    [
        CalibrationQuery(collection="series"),
        CalibrationQuery(recipe="r2"),
        CalibrationQuery(score="pair_mean"),
        CalibrationQuery("series", "r2", "pair_mean"),
    ],
    ids=["collection", "recipe", "score", "all three"],
)
async def test_only_what_is_asked_for_is_found(
    documents: DocumentStore, query: CalibrationQuery
) -> None:
    store = documents.characters.calibrations
    meant = kept(0.5, collection="series", recipe="r2", score="pair_mean")
    await store.put(meant)
    await store.put(kept(0.5))
    assert await store.find(query) == ([meant], None)


@pytest.mark.parametrize("limit", [1, 2, 4, 5])
async def test_pages_show_every_calibration_once_newest_first(
    documents: DocumentStore, limit: int
) -> None:
    store = documents.characters.calibrations
    stored = [kept(at / 8, minutes=at // 2) for at in range(4)]
    for each in stored:
        await store.put(each)
    found: list[KeptCalibration] = []
    query = CalibrationQuery("film", limit=limit)
    while True:
        page = await store.find(query)
        assert len(page.calibrations) <= limit
        found += page.calibrations
        if page.next is None:
            break
        query = replace(query, after=page.next)
    assert found == sorted(stored, key=lambda one: (one.created_at, one.id))[::-1]
