"""Scores of some members of a set, as bytes until those of all are there."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.neighbours import NOBODY, Neighbours, only
from dinoserve.domain.vectors import Matrix

_WIDTH = 4  # bytes of every number


class ScoreBlock(NamedTuple):
    """Scores of some members of a set.

    Attributes:
        rows: int32 (r,): places of these members in the set.
        indices: int32 (r, k): which others the scores are of, `NOBODY` at the end;
            k is 0 where they are of all, in order.
        scores: float32 (r, k), or (r, n) where k is 0.
    """

    rows: NDArray[np.int32]
    indices: NDArray[np.int32]
    scores: Matrix

    def to_bytes(self) -> bytes:
        """Return the three arrays behind each other, little-endian."""
        arrays = self.rows, self.indices, self.scores
        return b"".join(each.astype(_little(each), copy=False).data for each in arrays)

    @classmethod
    def from_bytes(
        cls, raw: bytes | bytearray, count: int, width: tuple[int, int]
    ) -> "ScoreBlock":
        """Return what `to_bytes` was asked of.

        Args:
            raw: of the length that `size_bytes` gives.
            count: rows.
            width: columns of indices and of scores.
        """
        split = count * (1 + width[0])
        whole = np.frombuffer(raw, "<i4", split)
        scores = np.frombuffer(raw, "<f4", offset=split * _WIDTH)
        return cls(
            whole[:count],
            whole[count:].reshape(count, width[0]),
            scores.reshape(count, width[1]),
        )


def size_bytes(count: int, width: tuple[int, int]) -> int:
    """Return how long a block of so many rows and columns is."""
    return count * (1 + sum(width)) * _WIDTH


def rows_of(head: bytes | bytearray) -> NDArray[np.int32]:
    """Return the rows of a block of which this is the beginning."""
    return np.frombuffer(head, "<i4")


def kept_scores(block: ScoreBlock, kept: NDArray[np.int32]) -> Matrix:
    """Return the scores of those members of a block with all that are kept.

    Args:
        block: scores of all, in order.
        kept: int32 (m,): places in the set, in the order of the answer.

    Returns:
        float32 (rows that are kept, m), rows in the order of the block.
    """
    is_kept = np.isin(block.rows, kept)
    return block.scores[is_kept][:, kept]


def kept_neighbours(block: ScoreBlock, places: NDArray[np.int32]) -> Neighbours:
    """Return the neighbours that are kept, of those members that are.

    Args:
        block: with indices.
        places: int32 (n,): the place of each member in the answer; `NOBODY`: none.
    """
    is_kept = places[block.rows] != NOBODY
    return only(Neighbours(block.indices[is_kept], block.scores[is_kept]), places)


def to_lines(ids: Sequence[str], first: int, found: Neighbours) -> bytes:
    """Return NDJSON: a line for each member, with its neighbours.

    Args:
        ids: of all, in the order of the answer.
        first: place of the first member in them; the others follow.
        found: their neighbours.
    """
    lines: list[str] = []
    for at, (places, scores) in enumerate(zip(*found, strict=True), first):
        pairs = zip(places.tolist(), scores.tolist(), strict=True)
        near = [
            {"asset": ids[place], "score": float(f"{score:.9g}")}
            for place, score in pairs
            if place != NOBODY
        ]
        line = json.dumps({"asset": ids[at], "neighbours": near}, separators=(",", ":"))
        lines.append(line + "\n")
    return "".join(lines).encode()


def _little(array: NDArray[np.int32] | Matrix) -> str:
    return "<i4" if array.dtype == np.int32 else "<f4"
