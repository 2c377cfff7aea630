"""Many clients that give a server large images at the same moment, over raw sockets."""

import json
import os
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from odd_files import photo

# The 20 MB that were promised take minutes: `DINOSERVE_TEST_LONG` asks for them. Seven
# times two hundred are several times the bound on memory, too.
SIZE_BYTES = 20_000_000 if os.environ.get("DINOSERVE_TEST_LONG") else 7_000_000
_SEGMENT_BYTES = 65_000
_PATIENCE_S = 300


class Answer(NamedTuple):
    """A status and its JSON."""

    status: int
    body: dict[str, object]


def large_photo(number: int, size_bytes: int = SIZE_BYTES) -> list[bytes]:
    """Return a JPEG that is cheap to decode and no one else's, in pieces.

    Its bytes are comments (ITU-T T.81 §B.2.4.5); the pieces may be shared.
    """
    small = photo(0, 64, 48)
    comment = b"\xff\xfe" + (_SEGMENT_BYTES + 2).to_bytes(2, "big")
    padding = (comment + bytes(_SEGMENT_BYTES)) * (size_bytes // (_SEGMENT_BYTES + 4))
    own = b"\xff\xfe\x00\x0a" + f"{number:08}".encode()
    return [small[:2], own, padding, small[2:]]


def uploaded_together(port: int, count: int) -> list[Answer]:
    """Upload as many large photos at once, each over a connection of its own."""
    pieces = large_photo(0)

    def one(number: int) -> Answer:
        own = large_photo(number, 0)[1]
        return _post(port, [pieces[0], own, *pieces[2:]])

    with ThreadPoolExecutor(count) as clients:
        return list(clients.map(one, range(count)))


def _post(port: int, image: Sequence[bytes]) -> Answer:
    head = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body = [head, *image, b"\r\n--x--\r\n"]
    with socket.create_connection(("127.0.0.1", port), _PATIENCE_S) as line:
        line.sendall(
            b"POST /v1/assets HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
            b"content-type: multipart/form-data; boundary=x\r\n"
            b"content-length: %d\r\n\r\n" % sum(map(len, body))
        )
        # An answer may come before all was sent; the server then takes no more.
        with suppress(ConnectionError):
            for piece in body:
                line.sendall(piece)
        answer = b"".join(_received(line))
    start, _, text = answer.partition(b"\r\n\r\n")
    return Answer(int(start.split()[1]), json.loads(text))


def _received(line: socket.socket) -> Iterator[bytes]:
    with suppress(ConnectionError):
        while piece := line.recv(65_536):
            yield piece
