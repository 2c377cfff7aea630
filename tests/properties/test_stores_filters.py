"""For all metadata, stores find just what `domain.assets.matches` says."""

import sqlite3
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from dinoserve.adapters.mongo.terms import terms
from dinoserve.adapters.sqlite import assets, schema
from dinoserve.domain.assets import Filter, Scalar, matches
from records import an_asset

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=4) | st.just(
    "long " * 20
)
NUMBERS = st.sampled_from([0, 1, -1, 0.0, -0.0, 1.0, 2**53, 2.0**53, 2**63, 2.0**63])
SCALARS: st.SearchStrategy[Scalar] = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    st.integers(),
    st.floats(allow_nan=False),
    TEXT,
    st.sampled_from(["True", "None", "1", "1.0", "null", "true"]),
)
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(TEXT, SCALARS)
TAGS = st.lists(TEXT, max_size=3).map(tuple)


@st.composite
def filters(draw: st.DrawFn, metadata: Mapping[str, object]) -> Filter:
    """Draw a filter that often asks for what is there."""
    keys = st.sampled_from(sorted(metadata)) | TEXT if metadata else TEXT
    there = [v for v in metadata.values() if isinstance(v, Scalar | None)]
    values = st.sampled_from(there) | SCALARS if there else SCALARS
    wanted = draw(st.dictionaries(keys, values, max_size=3))
    return Filter(frozenset(draw(st.sets(TEXT, max_size=1))), wanted)


@given(st.data(), TAGS, st.dictionaries(TEXT, VALUES, max_size=4))
def test_sqlite_and_the_domain_agree_on_every_filter(
    data: st.DataObject, tags: tuple[str, ...], metadata: dict[str, object]
) -> None:
    asset = an_asset(1, tags=tags, metadata=metadata)
    where = data.draw(filters(metadata))
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        schema.migrate(connection)
        assets.add(connection, asset, None)
        found = assets.ids(connection, "default", where)
    finally:
        connection.close()
    assert (asset.id in found) is matches(asset, where)


@given(st.data(), TAGS, st.dictionaries(TEXT, VALUES, max_size=4))
def test_terms_of_mongodb_and_the_domain_agree_on_every_filter(
    data: st.DataObject, tags: tuple[str, ...], metadata: dict[str, object]
) -> None:
    where = data.draw(filters(metadata))
    wanted = set(terms(where.tags, where.metadata))
    has_all = wanted <= set(terms(tags, metadata))
    assert has_all is matches(an_asset(1, tags=tags, metadata=metadata), where)
