"""What an object is called in a folder and in a bucket alike."""

import re

CHUNK_BYTES = 256 * 1024
"""The most bytes that a read yields at once."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


def key_of(sha256: str) -> str:
    """Return `ab/cd/<sha256>`, two levels so that no folder grows without bound.

    Raises:
        ValueError: not 64 hex digits in lower case.
    """
    if not _SHA256.fullmatch(sha256):
        raise ValueError("a digest is 64 hex digits")
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}"


def digest_of(key: str) -> str | None:
    """Return the digest a key ends with; None: it is something else."""
    name = key.rsplit("/", 1)[-1]
    return name if _SHA256.fullmatch(name) else None


def folders_of(prefix: str) -> list[str]:
    """Return the folders of a key that a digest's first digits decide."""
    return [prefix[at : at + 2] for at in (0, 2) if len(prefix) >= at + 2]


def check_range(start: int, stop: int) -> None:
    """Pass if [start, stop) is a range; else ValueError."""
    if not 0 <= start <= stop:
        raise ValueError(f"[{start}, {stop}) is no range")
