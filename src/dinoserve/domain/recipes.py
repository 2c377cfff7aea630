"""Recipes: everything that decides what a vector means."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what a vector means; vectors of two never meet.

    Attributes:
        model: Hub id, folder name, or `bundled`.
        revision: exact commit on the Hub; `local` for files that have none.
        weights_sha256: digest of the weight files.
        config_sha256: digest of the model's configuration.
        preprocessing: id of the rule from bytes to pixels, e.g. `hf-224x224-lvd-v1`.
        pooling: which output became the vector: `cls`.
        dimension: numbers in a vector.
    """

    model: str
    revision: str
    weights_sha256: str
    config_sha256: str
    preprocessing: str
    pooling: str
    dimension: int

    @property
    def id(self) -> str:
        """16 hex digits of the SHA-256 over every field, in canonical JSON."""
        return _id(self)


# Every request asks for it, several times.
@lru_cache(maxsize=64)
def _id(recipe: Recipe) -> str:
    canonical = json.dumps(asdict(recipe), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
