"""From the words of a request to where an image is: data URI, URL or asset id."""

import base64
import binascii
import re

from dinoserve.domain.assets import ASSET_ID_PATTERN
from dinoserve.errors import ImageUnsupportedError, InvalidInputError
from dinoserve.services.sources import Encoded, Kept, Linked, Source

_SHOWN = 60


def source_of(text: str, field: str) -> Source:
    """Return where the image is that the text names.

    Raises:
        InvalidInputError: none of the three forms, or base64 that is none.
    """
    if text.startswith("data:"):
        return Encoded(_data_uri(text, field))
    if text.startswith(("https:", "http:")):
        return Linked(text)
    if re.fullmatch(ASSET_ID_PATTERN, text):
        return Kept(text)
    raise InvalidInputError(
        "An image is given as a data URI (data:image/jpeg;base64,…), an https URL or"
        " an asset id of 32 hex digits; text is not embedded here.",
        field=field,
        value=text[:_SHOWN],
    )


def _data_uri(text: str, field: str) -> bytes:
    head, comma, payload = text.partition(",")
    parts = head.removeprefix("data:").split(";")
    if not comma or parts[-1].strip().lower() != "base64":
        raise InvalidInputError(
            "A data URI must look like data:image/jpeg;base64,<base64>.",
            field=field,
            value=head[:_SHOWN],
        )
    media_type = parts[0].strip().lower()
    if media_type and not media_type.startswith(("image/", "application/octet-stream")):
        raise ImageUnsupportedError(
            "The data URI does not claim to be an image.",
            field=field,
            value=media_type[:_SHOWN],
        )
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError(
            "The data URI's payload is not valid base64.", field=field
        ) from error
