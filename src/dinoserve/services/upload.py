"""An image as it is given, and what becomes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from dinoserve.domain.assets import Asset
from dinoserve.services.spooling import Data


@dataclass(frozen=True, slots=True)
class Upload:
    """An image as it is given: its bytes, and what is said of it.

    Attributes:
        data: in memory, or in a file that the caller holds until it has its answer;
            `services.spooling.spooled` makes either of a stream.
        given_as: what the request calls the image; the `field` of its faults.
    """

    data: Data
    collection: str = "default"
    filename: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])
    subject: str | None = None
    given_as: str = "file"


class Uploaded(NamedTuple):
    """The asset, and whether it was not there before."""

    asset: Asset
    is_new: bool
