"""Two server processes on one MongoDB: what one stores and erases, the other sees."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from odd_files import photo
from servers import Server, running
from stored import data_uri, search, uploaded

pytestmark = pytest.mark.needs("mongodb")

# Far more than the second it may take, as the machine may be busy.
DEADLINE_S = 20


@pytest.fixture
def two(tmp_path: Path, mongodb: str) -> Iterator[tuple[Server, Server]]:
    env = {"DINOSERVE_MODEL": "stub", "DINOSERVE_DOCUMENTS": mongodb}
    with ExitStack() as stack:
        one, other = (
            stack.enter_context(running(tmp_path / name, **env))
            for name in ("one", "other")
        )
        yield one, other


def picture(seed: int) -> bytes:
    return photo(seed, 64, 48)


def found(client: httpx2.Client, seed: int) -> set[str]:
    return set(search(client, {"image": data_uri(picture(seed))}, k=100))


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline


def test_what_one_stores_the_other_finds_and_what_it_erases_it_misses(
    two: tuple[Server, Server],
) -> None:
    with two[0].client() as one, two[1].client() as other:
        key = uploaded(one, picture(1))
        until(lambda: key in found(other, 1))
        back = uploaded(other, picture(2))
        until(lambda: back in found(one, 2))
        assert other.delete(f"/v1/assets/{key}").status_code == 204
        until(lambda: key not in found(one, 1))
        assert found(one, 1) == found(other, 1) == {back}


def test_what_one_says_of_an_asset_the_other_shows_though_it_showed_it_before(
    two: tuple[Server, Server],
) -> None:
    def tags() -> list[str]:
        query = {"query": {"image": data_uri(picture(1))}}
        [hit] = other.post("/v1/search", json=query).json()["hits"]
        return list(hit["asset"]["tags"])

    with two[0].client() as one, two[1].client() as other:
        key = uploaded(one, picture(1))
        until(lambda: key in found(other, 1))
        assert tags() == []
        changed = one.patch(f"/v1/assets/{key}", json={"tags": ["new"]})
        assert changed.status_code == 200
        # Without being told, the other believes its own for a minute.
        until(lambda: tags() == ["new"])


def test_a_server_that_starts_late_knows_all_and_hears_the_rest(
    tmp_path: Path, mongodb: str
) -> None:
    env = {"DINOSERVE_MODEL": "stub", "DINOSERVE_DOCUMENTS": mongodb}
    with running(tmp_path / "one", **env) as one, one.client() as first:
        early = {uploaded(first, picture(seed)) for seed in range(5)}
        with running(tmp_path / "late", **env) as late, late.client() as second:
            assert found(second, 1) == early
            more = uploaded(first, picture(9))
            until(lambda: found(second, 1) == {*early, more})
            late.stop()
        assert "Traceback" not in late.output
