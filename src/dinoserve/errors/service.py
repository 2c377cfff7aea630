"""What the service itself lacks, now or at its start."""

from dinoserve.errors.base import DinoserveError


class OverloadedError(DinoserveError):
    """More work is waiting than the server accepts.

    Args:
        detail: what is full.
        retry_after_s: seconds after which another try makes sense, at least 1.
    """

    code = "overloaded"

    def __init__(self, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)
        self.retry_after_s = retry_after_s


class DeadlineError(DinoserveError):
    """The time that the caller set passed before the answer began."""

    code = "deadline-exceeded"


class UnavailableError(DinoserveError):
    """Something the service stands on does not answer.

    Args:
        detail: what failed and whether another try makes sense.
        port: which port failed: `documents`, `objects`, `embedder`, …
    """

    code = "unavailable"

    def __init__(self, detail: str, *, port: str) -> None:
        super().__init__(detail, port=port)
        self.port = port


class StorageFullError(UnavailableError):
    """The disk or quota behind a store is full; nothing was stored."""

    code = "storage-full"


class StartUpError(DinoserveError):
    """The server cannot start; the message says what to do."""

    code = "start-up"


class ModelUnavailableError(StartUpError):
    """The model's files could not be had or are not a DINOv3 model."""

    code = "model-unavailable"


class DataFolderError(StartUpError):
    """The data folder is in use, not writable, damaged or too new."""

    code = "data-folder"


class UnsafeBindError(StartUpError):
    """The server would be reachable from outside without authentication."""

    code = "unsafe-bind"
