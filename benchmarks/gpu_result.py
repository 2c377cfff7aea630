"""What a run on a GPU found out, as a table, as JSON and as a page."""

import json
import re
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

_HEADS = ("model", "what", "batch", "images/s", "of ceiling", "lowest cosine", "note")


class Row(NamedTuple):
    """One figure.

    Attributes:
        model: e.g. `ViT-B/16 224`.
        what: the path that was measured.
        batch: pictures at once; clients, over HTTP.
        images_per_s: None where nothing was measured; `note` tells why.
        share: of the ceiling; None where it would mean nothing.
        cosine: least one to float32, over all tokens of the pictures of the package.
        note: what else must be known.
    """

    model: str
    what: str
    batch: int
    images_per_s: float | None = None
    share: float | None = None
    cosine: float | None = None
    note: str = ""

    def is_equal(self, least: float) -> bool:
        """Return whether the path has at least this cosine, or none was taken."""
        return self.cosine is None or self.cosine >= least

    def cells(self) -> tuple[str, ...]:
        """Return the row as it is printed."""
        return (
            self.model,
            self.what,
            str(self.batch),
            _number(self.images_per_s, 1),
            _number(self.share, 2),
            _number(self.cosine, 6),
            self.note,
        )


@dataclass(slots=True)
class Result:
    """Everything a run found out.

    Attributes:
        device: its own name.
        software: versions of what decides how fast it goes.
        date: the day.
        command: what to type, from the root of the repository.
        ceiling_tflop_per_s: best bf16 product of matrices.
        took_s: the whole run.
        rows: the figures, in the order in which they were taken.
    """

    device: str
    software: str
    date: str
    command: str
    ceiling_tflop_per_s: float = 0.0
    took_s: float = 0.0
    rows: list[Row] = field(default_factory=list["Row"])

    def add(self, row: Row) -> None:
        """Keep a row and print it at once."""
        self.rows.append(row)
        print("  ".join(cell.ljust(width) for cell, width in _laid(row)), flush=True)

    def keep(self, folder: Path) -> Path:
        """Write `<device>.json` and `.md`; return the page."""
        folder.mkdir(parents=True, exist_ok=True)
        slug = re.sub(r"[^a-z0-9]+", "-", self.device.lower()).strip("-")
        page = folder / f"{slug}.md"
        page.with_suffix(".json").write_text(json.dumps(self._told(), indent=2) + "\n")
        page.write_text(self._markdown())
        return page

    def _told(self) -> dict[str, Any]:
        return asdict(self) | {"rows": [row._asdict() for row in self.rows]}

    def _markdown(self) -> str:
        rules = ["---"] * 2 + ["---:"] * 4 + ["---"]
        table = [_HEADS, rules, *(row.cells() for row in self.rows)]
        facts = [
            f"- {self.software}",
            f"- ceiling: {self.ceiling_tflop_per_s:.1f} TFLOP/s, the best bf16 product",
            f"- {self.date}: `{self.command}`, {self.took_s:.0f} s",
        ]
        lines = [f"| {' | '.join(cells)} |" for cells in table]
        return "\n".join([f"# {self.device}", "", *lines, "", *facts, ""])


def this_commit(root: Path) -> str:
    """Return the commit that is measured, or `unknown` without git."""
    command = ["git", "--no-optional-locks", "describe", "--always", "--dirty"]
    try:
        told = subprocess.run(
            command, cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return told.stdout.strip()


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _laid(row: Row) -> list[tuple[str, int]]:
    return list(zip(row.cells(), (14, 32, 4, 10, 5, 9, 0), strict=True))
