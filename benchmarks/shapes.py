"""How a picture is sent: path, headers and body of each API that is measured."""

import base64
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.pictures import Picture

_BOUNDARY = "dinoserve-benchmark"


class Shape(NamedTuple):
    """One API that takes a picture.

    Attributes:
        path: where the request goes.
        content_type: of the body.
        before: bytes in front of the picture.
        after: bytes behind it.
        is_base64: the picture is sent as base64, not as it is.
    """

    path: str
    content_type: str
    before: bytes
    after: bytes
    is_base64: bool

    def bodies(self, picture: Picture) -> Callable[[], bytes]:
        """Return what makes a body of the picture, each with fresh bytes.

        Encoding is done here, once: the client shares its cores with the server.
        """
        rest = base64.b64encode(picture.rest) if self.is_base64 else picture.rest
        rest += self.after

        def body() -> bytes:
            head = picture.head()
            return self.before + (
                base64.b64encode(head) + rest if self.is_base64 else head + rest
            )

        return body


SHAPES = {
    "embeddings": Shape(
        "/v1/embeddings",
        "application/json",
        b'{"model":"default","encoding_format":"base64","input":"data:image/jpeg;base64,',
        b'"}',
        is_base64=True,
    ),
    "raw": Shape(
        "/v1/embeddings?encoding_format=base64",
        "image/jpeg",
        b"",
        b"",
        is_base64=False,
    ),
    "assets": Shape(
        "/v1/assets",
        f"multipart/form-data; boundary={_BOUNDARY}",
        f"--{_BOUNDARY}\r\n"
        'Content-Disposition: form-data; name="file"; filename="photo.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n".encode(),
        f"\r\n--{_BOUNDARY}--\r\n".encode(),
        is_base64=False,
    ),
    "handwritten": Shape(
        "/embed", "application/json", b'{"image":"', b'"}', is_base64=True
    ),
    "litserve": Shape(
        "/predict", "application/json", b'{"image":"', b'"}', is_base64=True
    ),
}
