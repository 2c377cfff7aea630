"""The pictures that come with dinoserve, and what is said of them."""

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from dinoserve.domain.assets import Metadata


class Sample(NamedTuple):
    """A picture whose author and licence stand in `samples/SOURCES.md`.

    Attributes:
        subject: the drawn character that it shows; None: none.
        metadata: its title; of a changed copy also which picture it is `of`, and how.
    """

    path: Path
    tags: Sequence[str]
    subject: str | None
    metadata: Metadata


def sample_pictures() -> list[Sample]:
    """Return the pictures, by file name."""
    folder = Path(str(resources.files("dinoserve"))) / "samples"
    lines = (folder / "manifest.ndjson").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        Sample(folder / row["path"], row["tags"], row.get("subject"), row["metadata"])
        for row in rows
    ]
