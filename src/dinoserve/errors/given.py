"""What a caller sent cannot be used."""

from dinoserve.errors.base import DinoserveError


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


class UploadMismatchError(InvalidInputError):
    """What came is not what the upload was asked for; it was not kept."""

    code = "upload-mismatch"


class RenditionRefusedError(InvalidInputError):
    """This size or quality is made for holders of a signed link only."""

    code = "rendition-refused"


class FetchDisabledError(InvalidInputError):
    """A URL was given, but this server does not fetch URLs."""

    code = "fetch-disabled"


class FetchRefusedError(InvalidInputError):
    """The URL points where this server must not look."""

    code = "fetch-refused"


class FetchFailedError(InvalidInputError):
    """The URL is allowed but gave no bytes in time and size."""

    code = "fetch-failed"
