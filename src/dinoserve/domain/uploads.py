"""Direct uploads: what was agreed before the bytes go straight to the object store."""

import json
from dataclasses import asdict, dataclass, field

from dinoserve.domain.assets import Metadata
from dinoserve.errors import InvalidInputError

EXPIRES_S = 3600
"""How long the bytes may be sent, and the upload be completed."""
GRACE_S = 600
"""For how much longer what came is kept: a `complete` may have begun at the end."""
MAX_SAID_BYTES = 4096
"""Of what is said of an image, as JSON: in an id it makes 5462 characters of a URL,
and servers in front of ours take lines of 8 KiB."""

_SAID = ("filename", "tags", "metadata", "subject")


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """Which bytes are to come, and what is said of them.

    Attributes:
        sha256: of the bytes, 64 hex digits.
        size_bytes: how many, at least 1.
        embed: the asset shall be searchable.
        name: 64 hex digits of chance that the bytes come under, given when it begins.
        expires_at: seconds since 1970 UTC, given when it begins.
    """

    sha256: str
    size_bytes: int
    embed: bool = True
    collection: str = "default"
    filename: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=dict[str, object])
    subject: str | None = None
    name: str = ""
    expires_at: int = 0

    def to_text(self) -> str:
        """Return all of it, for `from_text`.

        Raises:
            InvalidInputError: it is longer than an id can be.
        """
        plan = asdict(self)
        said = {name: plan.pop(name) for name in _SAID}
        size = len(_json(said).encode())
        if size > MAX_SAID_BYTES:
            raise InvalidInputError(
                "Filename, tags, metadata and subject may be"
                f" {MAX_SAID_BYTES} bytes as JSON here; change the asset afterwards to"
                " say more.",
                field="metadata",
                limit=MAX_SAID_BYTES,
                value=size,
            )
        return _json(plan | said)

    @classmethod
    def from_text(cls, text: str) -> "UploadPlan":
        """Return the plan that `to_text` wrote."""
        plan = json.loads(text)
        return cls(**plan | {"tags": tuple(plan["tags"])})


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
