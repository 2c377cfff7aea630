"""Every way dinoserve fails, drawn as one tree.

The tree knows nothing of HTTP: `web/problems.py` maps it to status codes. Each
class has a stable `code`, documented under that name in `docs/problems.md`.

    DinoserveError
    ├── InvalidInputError          invalid-input
    │   ├── ImageEmptyError        image-empty
    │   ├── ImageUnsupportedError  image-unsupported
    │   ├── ImageDamagedError      image-damaged
    │   ├── ImageTooLargeError     image-too-large
    │   ├── BodyTooLargeError      body-too-large
    │   ├── HeaderError            invalid-header
    │   ├── RangeError             range-not-satisfiable
    │   ├── FetchDisabledError     fetch-disabled
    │   ├── FetchRefusedError      fetch-refused
    │   └── FetchFailedError       fetch-failed
    ├── NotFoundError              not-found
    │   ├── AssetNotFoundError     asset-not-found
    │   └── ModelNotFoundError     model-not-found
    ├── ConflictError              conflict
    │   ├── RecipeMismatchError    recipe-mismatch
    │   └── NotEmbeddedError       asset-not-embedded
    ├── UnauthorizedError          unauthorized
    ├── ForeignCallerError         foreign-caller
    ├── LinkRefusedError           link-refused
    ├── OverloadedError            overloaded
    ├── DeadlineError              deadline-exceeded
    ├── UnavailableError           unavailable
    │   └── StorageFullError       storage-full
    └── StartUpError               start-up
        ├── ModelUnavailableError  model-unavailable
        ├── DataFolderError        data-folder
        └── UnsafeBindError        unsafe-bind
"""

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


class InvalidInputError(DinoserveError):
    """The caller sent something that cannot be used.

    Args:
        detail: what is wrong and what would be right.
        field: where it is wrong, e.g. `file`, `input[3]` or `query.vector`.
        limit: the bound that was crossed, in the unit that `detail` names.
        value: what was given instead.
        extra: further readable fields.
    """

    code = "invalid-input"

    def __init__(
        self,
        detail: str,
        *,
        field: str | None = None,
        limit: object = None,
        value: object = None,
        **extra: object,
    ) -> None:
        super().__init__(detail, field=field, limit=limit, value=value, **extra)

    def at(self, field: str) -> "InvalidInputError":
        """Return the same error, told of another field."""
        extra = {**self.extra, "field": field}
        return type(self)(self.detail, **extra)  # pyright: ignore[reportArgumentType] - extra holds what the constructor took


class ImageEmptyError(InvalidInputError):
    """No bytes were sent where an image belongs."""

    code = "image-empty"


class ImageUnsupportedError(InvalidInputError):
    """The bytes are no image of a kind that is read here."""

    code = "image-unsupported"


class ImageDamagedError(InvalidInputError):
    """The bytes begin like an image but cannot be decoded to the end."""

    code = "image-damaged"


class ImageTooLargeError(InvalidInputError):
    """The image has more bytes, pixels or a longer side than is allowed."""

    code = "image-too-large"


class BodyTooLargeError(InvalidInputError):
    """The request body is larger than the server takes."""

    code = "body-too-large"


class HeaderError(InvalidInputError):
    """A request header says what cannot be."""

    code = "invalid-header"


class RangeError(InvalidInputError):
    """The byte range asked for lies outside the content."""

    code = "range-not-satisfiable"


class FetchDisabledError(InvalidInputError):
    """A URL was given, but this server does not fetch URLs."""

    code = "fetch-disabled"


class FetchRefusedError(InvalidInputError):
    """The URL points where this server must not look."""

    code = "fetch-refused"


class FetchFailedError(InvalidInputError):
    """The URL is allowed but gave no bytes in time and size."""

    code = "fetch-failed"


class NotFoundError(DinoserveError):
    """The thing named does not exist."""

    code = "not-found"


class AssetNotFoundError(NotFoundError):
    """No asset has this id."""

    code = "asset-not-found"


class ModelNotFoundError(NotFoundError):
    """No loaded model has this id."""

    code = "model-not-found"


class ConflictError(DinoserveError):
    """The request is right in itself but does not fit the present state."""

    code = "conflict"


class RecipeMismatchError(ConflictError):
    """Vectors of two recipes would have met."""

    code = "recipe-mismatch"


class NotEmbeddedError(ConflictError):
    """The asset has no embedding yet."""

    code = "asset-not-embedded"


class UnauthorizedError(DinoserveError):
    """The API key is missing or wrong."""

    code = "unauthorized"


class ForeignCallerError(DinoserveError):
    """The caller is not of this machine, and no key protects the server."""

    code = "foreign-caller"


class LinkRefusedError(DinoserveError):
    """A signed link was changed, or its time has passed."""

    code = "link-refused"


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
