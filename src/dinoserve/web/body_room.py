"""Room for bodies: how many bytes of them this server holds, and where."""

from dataclasses import dataclass

from fastapi import Request

from dinoserve.errors import BodyTooLargeError, OverloadedError

SCOPE_KEY = "dinoserve.body"


@dataclass(slots=True)
class BodyRoom:
    """What the bodies of all requests that are not answered yet take.

    Attributes:
        max_bytes: of one body.
        max_held_bytes: of all bodies in memory.
        max_spooled_bytes: of all bodies on the disk for temporary files.
        held_bytes: in memory now.
        spooled_bytes: on that disk now.
    """

    max_bytes: int
    max_held_bytes: int
    max_spooled_bytes: int
    held_bytes: int = 0
    spooled_bytes: int = 0

    def too_large(self, size_bytes: int) -> BodyTooLargeError:
        """Return the refusal of a body of this size."""
        return BodyTooLargeError(
            f"A request body may be {self.max_bytes} bytes (DINOSERVE_MAX_BODY_BYTES).",
            field="body",
            limit=self.max_bytes,
            value=size_bytes,
        )


class Body:
    """The bytes of one request's body, wherever they are.

    Args:
        room: what they take room of.
    """

    def __init__(self, room: BodyRoom) -> None:
        self._room = room
        self._held = 0
        self._spooled = 0

    def arrive(self, size_bytes: int) -> None:
        """Count bytes that came into memory.

        Raises:
            BodyTooLargeError: they are too many for one body.
            OverloadedError: the memory for bodies is taken.
        """
        self._held += size_bytes
        self._room.held_bytes += size_bytes
        if (size := self._held + self._spooled) > self._room.max_bytes:
            raise self._room.too_large(size)
        if size_bytes and self._room.held_bytes > self._room.max_held_bytes:
            raise _full(
                "hold", self._room.held_bytes, self._room.max_held_bytes, "HELD"
            )

    def spool(self, size_bytes: int) -> None:
        """Count bytes that went from memory to the disk.

        Raises:
            OverloadedError: the room for bodies on the disk is taken.
        """
        self._move(size_bytes)
        if size_bytes and self._room.spooled_bytes > self._room.max_spooled_bytes:
            raise _full(
                "have spooled",
                self._room.spooled_bytes,
                self._room.max_spooled_bytes,
                "SPOOLED",
            )

    def leave(self) -> None:
        """Count no byte any more: the request was answered."""
        self._room.held_bytes -= self._held
        self._room.spooled_bytes -= self._spooled
        self._held = self._spooled = 0

    def _move(self, size_bytes: int) -> None:
        self._held -= size_bytes
        self._spooled += size_bytes
        self._room.held_bytes -= size_bytes
        self._room.spooled_bytes += size_bytes


def body_of(request: Request) -> Body:
    """Return where the bytes of the request's body are counted."""
    return request.scope[SCOPE_KEY]


def _full(verb: str, value: int, limit: int, setting: str) -> OverloadedError:
    return OverloadedError(
        f"Requests that are not answered yet {verb} {value} bytes;"
        f" {limit} are allowed (DINOSERVE_MAX_{setting}_BYTES)."
    )
