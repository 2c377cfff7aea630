"""How messages are named in Redis: a lane for each kind, a member for each message.

A member is the key of a message, `<job id>.<number>.<start>`; what is none of these is
taken off its lane, told in the log, and hurts nobody.
"""

import re
from typing import Final

from dinoserve.domain.jobs import Message

KINDS: Final = "dinoserve:queue:{lanes}"
"""Key of the set of kinds that messages were sent of.

Braces keep it and all lanes in one slot of a cluster, as a script needs.
"""

NEWS: Final = "dinoserve:queue:news"
"""The channel on which is told that something was sent."""

_KEY = re.compile(r"([0-9a-f]{32})\.(-1|\d{1,9})\.(\d{1,9})", re.ASCII)
_KIND = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)


def lane(kind: str) -> str:
    """Return the key of the lane of this kind."""
    return f"{KINDS}:{kind}"


def is_kind(name: str) -> bool:
    """Tell whether it may be the kind of a message."""
    return _KIND.fullmatch(name) is not None


def parsed(kind: str, key: str) -> Message | None:
    """Return the message that has this key; None: it is no key of ours."""
    if found := _KEY.fullmatch(key):
        return Message(kind, found[1], int(found[2]), int(found[3]))
    return None
