"""How an object lies in its file: as it is, or sealed with AES-256-GCM.

A sealed file is a header of 8 bytes `dinosrv1` and 32 of salt, then the object in
chunks of 64 KiB, each followed by its tag of 16 bytes; the last chunk may be shorter,
and is empty only if the object is. Chunks are sealed with a key of their own file
(HKDF-SHA256 of key and salt, RFC 5869), so that a nonce may be the chunk's number and
whether it is the last (Hoang, Reyhanitabar, Rogaway, Vizár: "Online Authenticated-
Encryption and its Nonce-Reuse Misuse-Resistance", 2015, the STREAM construction).
Header and digest are authenticated with every chunk: files cannot be swapped, chunks
cannot be reordered, repeated or cut off unnoticed. Any range opens without the rest.
"""

import base64
import os
from typing import BinaryIO, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dinoserve.errors import UnavailableError

KEY_BYTES = 32
_MAGIC = b"dinosrv1"
_SALT_BYTES = 32
_HEADER_BYTES = len(_MAGIC) + _SALT_BYTES
_CHUNK_BYTES = 64 * 1024
_TAG_BYTES = 16
_SEALED_BYTES = _CHUNK_BYTES + _TAG_BYTES


class Encoder(Protocol):
    """Turns one object, given piece by piece, into what its file holds."""

    def update(self, data: bytes) -> bytes:
        """Return the next bytes of the file; may be empty."""
        ...

    def finish(self) -> bytes:
        """Return the last bytes of the file."""
        ...


class Format(Protocol):
    """A way to lay objects into files."""

    def encoder(self, sha256: str) -> Encoder:
        """Return an encoder for one object."""
        ...

    def size(self, file_bytes: int) -> int:
        """Return the bytes of an object whose file has so many."""
        ...

    def read(self, file: BinaryIO, sha256: str, start: int, stop: int) -> bytes:
        """Return the bytes [start, stop), which the object has.

        Raises:
            UnavailableError: the file was changed, or sealed with another key.
        """
        ...


class Plain:
    """Files that hold just the object's bytes."""

    def encoder(self, sha256: str) -> Encoder:
        """Return an encoder that changes nothing."""
        del sha256
        return _PlainEncoder()

    def size(self, file_bytes: int) -> int:
        """Return the bytes of the file."""
        return file_bytes

    def read(self, file: BinaryIO, sha256: str, start: int, stop: int) -> bytes:
        """Return the bytes [start, stop) of the file."""
        del sha256
        file.seek(start)
        return file.read(stop - start)


class Sealed:
    """Files that nobody reads or changes without the key.

    Args:
        key: 32 random bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self._key = key

    def encoder(self, sha256: str) -> Encoder:
        """Return an encoder with a new salt."""
        header = _MAGIC + os.urandom(_SALT_BYTES)
        return _SealingEncoder(header, _Chunks(self._key, header, sha256))

    def size(self, file_bytes: int) -> int:
        """Return the bytes of the object; 0 for a file too short to hold one."""
        body = file_bytes - _HEADER_BYTES
        return max(0, body - _TAG_BYTES * max(1, -(-body // _SEALED_BYTES)))

    def read(self, file: BinaryIO, sha256: str, start: int, stop: int) -> bytes:
        """Return the bytes [start, stop); see `Format.read`."""
        size = self.size(os.fstat(file.fileno()).st_size)
        first, end = start // _CHUNK_BYTES, max(1, -(-stop // _CHUNK_BYTES))
        last = max(0, -(-size // _CHUNK_BYTES) - 1)
        file.seek(0)
        header = file.read(_HEADER_BYTES)
        chunks = _Chunks(self._key, header, sha256)
        file.seek(_HEADER_BYTES + first * _SEALED_BYTES)
        try:
            opened = b"".join(
                chunks.open(file.read(_SEALED_BYTES), number, is_last=number == last)
                for number in range(first, end)
            )
        except InvalidTag as error:
            raise UnavailableError(
                "The bytes of this asset were changed where they are stored, or sealed"
                " with another key.",
                port="objects",
            ) from error
        return opened[start - first * _CHUNK_BYTES :][: stop - start]


def read_key(text: str) -> bytes:
    """Return the 32 bytes that a setting holds as base64.

    Raises:
        ValueError: it holds something else.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:  # of base64, or of ASCII
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key is the base64 of {KEY_BYTES} bytes")
    return key


class _PlainEncoder:
    def update(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""


class _SealingEncoder:
    def __init__(self, header: bytes, chunks: "_Chunks") -> None:
        self._header = header
        self._chunks = chunks
        self._waiting = b""
        self._number = 0

    def update(self, data: bytes) -> bytes:
        self._waiting += data
        sealed = [self._take_header()]
        done = 0
        # One byte more than a chunk tells that the chunk is not the last.
        while len(self._waiting) - done > _CHUNK_BYTES:
            chunk = self._waiting[done : done + _CHUNK_BYTES]
            sealed.append(self._chunks.seal(chunk, self._number, is_last=False))
            self._number += 1
            done += _CHUNK_BYTES
        self._waiting = self._waiting[done:]
        return b"".join(sealed)

    def finish(self) -> bytes:
        last = self._chunks.seal(self._waiting, self._number, is_last=True)
        return self._take_header() + last

    def _take_header(self) -> bytes:
        header, self._header = self._header, b""
        return header


class _Chunks:
    """Seals and opens the chunks of one file, of which the header is authenticated."""

    def __init__(self, key: bytes, header: bytes, sha256: str) -> None:
        salt = header[len(_MAGIC) :]
        derive = HKDF(SHA256(), KEY_BYTES, salt, b"dinoserve object")
        self._cipher = AESGCM(derive.derive(key))
        self._bound = header + bytes.fromhex(sha256)

    def seal(self, chunk: bytes, number: int, *, is_last: bool) -> bytes:
        return self._cipher.encrypt(_nonce(number, is_last), chunk, self._bound)

    def open(self, sealed: bytes, number: int, *, is_last: bool) -> bytes:
        if len(sealed) < _TAG_BYTES:
            raise InvalidTag
        return self._cipher.decrypt(_nonce(number, is_last), sealed, self._bound)


def _nonce(number: int, is_last: bool) -> bytes:  # noqa: FBT001 - one bit of the nonce
    return number.to_bytes(11, "big") + bytes([is_last])
