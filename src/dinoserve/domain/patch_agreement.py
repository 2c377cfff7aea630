"""Whether the patches of two pictures agree: alike, and in the same places."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.features import Mask, Tokens
from dinoserve.domain.matching import mutual_nearest, unit_patches
from dinoserve.domain.vectors import Matrix

_Numbers = NDArray[np.float64]

# Of the picture's side: a crop of 10 % moves what lies at the rim by 5 %.
_TOLERANCE: Final = 0.1


class PlacedPatches(NamedTuple):
    """The patches of a picture, and where in it they lie.

    Attributes:
        patches: float32 (n, d), rows of unit length.
        places: float64 (n, 2): down and across, in [0, 1].
    """

    patches: Matrix
    places: _Numbers

    @classmethod
    def of(cls, patches: Tokens, shown: Mask) -> "PlacedPatches":
        """Return those patches that show the picture.

        Args:
            patches: float32 (rows, columns, d).
            shown: bool (rows, columns); some must be true.
        """
        at = np.argwhere(shown)
        first, last = at.min(axis=0), at.max(axis=0) + 1
        return cls(unit_patches(patches[shown]), (at + 0.5 - first) / (last - first))


class Agreement(NamedTuple):
    """How far the patches of two pictures agree.

    Attributes:
        share: of the patches, those whose mutual nearest one lies in the same place,
            within a tenth of the side; the smaller share of the two, in [0, 1].
        cosine: mean cosine of these pairs, in [-1, 1]; 0 if there are none.
    """

    share: float
    cosine: float


def agreement(left: PlacedPatches, right: PlacedPatches) -> Agreement:
    """Return how far two pictures agree that lie the same way."""
    matches = mutual_nearest(left.patches, right.patches)
    apart = np.abs(left.places[matches.left] - right.places[matches.right])
    cosines = matches.cosines[(apart <= _TOLERANCE).all(axis=1)]
    most = max(len(left.patches), len(right.patches))
    mean = float(cosines.mean(dtype=np.float64)) if len(cosines) else 0.0
    return Agreement(len(cosines) / most, mean)
