"""Which float16 candidates are scored anew from float32."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dinoserve.adapters.mapped_index.codes import ROUNDING, contenders

_SCORES = st.lists(
    st.tuples(st.floats(-1, 1), st.floats(-0.999 * ROUNDING, 0.999 * ROUNDING)),
    min_size=1,
    max_size=60,
)


@given(_SCORES, st.integers(1, 20))
def test_whatever_float16_did_the_best_are_among_those_that_are_scored(
    drawn: list[tuple[float, float]], k: int
) -> None:
    truth = np.array([score for score, _ in drawn])
    rounded = truth + np.array([error for _, error in drawn])
    order = np.argsort(-rounded, kind="stable")

    kept = contenders(rounded[order].astype(np.float32), order, k)

    kth = np.sort(truth)[::-1][:k][-1]
    assert set(np.flatnonzero(truth > kth).tolist()) <= set(kept.tolist())
    assert len(kept) >= min(k, len(drawn))


def test_what_cannot_be_among_the_best_is_not_scored() -> None:
    scores = np.array([0.9, 0.8, 0.8 - 1.9 * ROUNDING, 0.8 - 2.1 * ROUNDING, 0.1])

    kept = contenders(scores.astype(np.float32), np.arange(5), 2)

    assert kept.tolist() == [0, 1, 2]
