"""The root of the tree."""

from typing import ClassVar


class DinoserveError(Exception):
    """An expected failure, told to the caller.

    Args:
        detail: one or two sentences that say what happened and what to do next;
            never a traceback, a path of the server or a secret.
        extra: fields that a program can read, added to the problem document.
    """

    code: ClassVar[str] = "error"

    def __init__(self, detail: str, **extra: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = {key: value for key, value in extra.items() if value is not None}
