"""What is agreed on before bytes come: it survives its id, or is too long for one."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dinoserve.domain.links import KEY_BYTES, Signer
from dinoserve.domain.uploads import MAX_SAID_BYTES, UploadPlan
from dinoserve.errors import InvalidInputError

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
plans = st.builds(
    UploadPlan,
    sha256=st.just("ab" * 32),
    size_bytes=st.integers(1, 2**53),
    embed=st.booleans(),
    collection=st.text(),
    filename=st.none() | st.text(),
    tags=st.lists(st.text()).map(tuple),
    metadata=st.dictionaries(st.text(), values, max_size=5),
    subject=st.none() | st.text(),
    name=st.text(),
    expires_at=st.integers(0, 2**40),
)


@given(plans)
def test_a_plan_survives_being_written(plan: UploadPlan) -> None:
    said = [plan.filename, plan.tags, plan.metadata, plan.subject]
    assume(len(json.dumps(said)) < MAX_SAID_BYTES / 2)
    assert UploadPlan.from_text(plan.to_text()) == plan


def saying(size_bytes: int) -> UploadPlan:
    """A plan that says so many bytes of its image."""
    empty = len('{"filename":null,"tags":[],"metadata":{"a":""},"subject":null}')
    return UploadPlan("ab" * 32, 1, metadata={"a": "x" * (size_bytes - empty)})


def test_the_longest_id_that_can_be_is_no_longer_than_a_line_of_a_proxy() -> None:
    token = Signer(bytes(KEY_BYTES)).token("upload", saying(MAX_SAID_BYTES).to_text())
    assert 5000 < len(token) < 8000


def test_more_than_an_id_can_hold_is_refused() -> None:
    with pytest.raises(InvalidInputError) as caught:
        saying(MAX_SAID_BYTES + 1).to_text()
    assert caught.value.extra["limit"] == MAX_SAID_BYTES
    assert caught.value.extra["value"] == MAX_SAID_BYTES + 1
