"""What is sent: path, headers and body of each API that is measured."""

import base64
from collections.abc import Callable, Mapping
from typing import NamedTuple

from benchmarks.pictures import Picture

_BOUNDARY = "dinoserve-benchmark"
_JSON = "application/json"


class Request(NamedTuple):
    """One request; a body of None has no type."""

    method: str
    path: str
    content_type: str = ""
    body: bytes | None = None


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

    def requests(self, picture: Picture) -> Callable[[], Request]:
        """Return what makes a request with the picture, each with fresh bytes."""
        body = self.bodies(picture)
        return lambda: Request("POST", self.path, self.content_type, body())


_MULTIPART = Shape(
    "/v1/assets",
    f"multipart/form-data; boundary={_BOUNDARY}",
    f"--{_BOUNDARY}\r\n"
    'Content-Disposition: form-data; name="file"; filename="photo.jpg"\r\n'
    "Content-Type: image/jpeg\r\n\r\n".encode(),
    f"\r\n--{_BOUNDARY}--\r\n".encode(),
    is_base64=False,
)

SHAPES = {
    "embeddings": Shape(
        "/v1/embeddings",
        _JSON,
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
    "assets": _MULTIPART,
    "assets without embedding": _MULTIPART._replace(path="/v1/assets?embed=false"),
    "handwritten": Shape("/embed", _JSON, b'{"image":"', b'"}', is_base64=True),
    "litserve": Shape("/predict", _JSON, b'{"image":"', b'"}', is_base64=True),
}


def _stored_vector(asset: str) -> Request:
    body = b'{"model":"default","encoding_format":"base64","input":"%b"}'
    return Request("POST", "/v1/embeddings", _JSON, body % asset.encode())


QUESTIONS: Mapping[str, Callable[[str], Request]] = {
    "livez": lambda _: Request("GET", "/livez"),
    "vector": _stored_vector,
    "record": lambda asset: Request("GET", f"/v1/assets/{asset}"),
    "page": lambda _: Request("GET", "/v1/assets?limit=50"),
}
"""What makes a request from the id of an asset."""
