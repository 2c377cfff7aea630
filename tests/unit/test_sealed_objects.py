"""What a sealed folder keeps from others, and what it notices."""

import base64
import hashlib
import logging
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dinoserve.adapters.objects import LocalObjects
from dinoserve.adapters.objects.formats import read_key
from dinoserve.errors import StartUpError, UnavailableError

KEY = bytes(range(32))
CHUNK = 64 * 1024
SEALED = CHUNK + 16
HEADER = 40
DATA = bytes(range(251)) * 1000  # not quite four chunks
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def objects(folder: Path) -> LocalObjects:
    return LocalObjects(folder, key=KEY)


def place(folder: Path, digest: str = DIGEST) -> Path:
    return folder / digest[:2] / digest[2:4] / digest


async def read(objects: LocalObjects, start: int = 0, stop: int = len(DATA)) -> bytes:
    return b"".join([chunk async for chunk in objects.read(DIGEST, start, stop)])


async def test_a_sealed_file_opens_as_its_format_is_told(
    objects: LocalObjects, folder: Path
) -> None:
    await objects.put(DIGEST, DATA)
    file = place(folder).read_bytes()
    header, sealed = file[:HEADER], file[HEADER:]
    key = HKDF(SHA256(), 32, header[8:], b"dinoserve object").derive(KEY)
    bound = header + bytes.fromhex(DIGEST)
    chunks = [sealed[at : at + SEALED] for at in range(0, len(sealed), SEALED)]
    opened = [
        AESGCM(key).decrypt(
            number.to_bytes(11, "big") + bytes([number == 3]), chunk, bound
        )
        for number, chunk in enumerate(chunks)
    ]
    assert header[:8] == b"dinosrv1"
    assert b"".join(opened) == DATA


async def test_nothing_of_the_bytes_is_in_the_file(
    objects: LocalObjects, folder: Path
) -> None:
    await objects.put(DIGEST, DATA)
    file = place(folder).read_bytes()
    assert not any(DATA[at : at + 8] in file for at in range(0, len(DATA), 997))


async def test_the_same_bytes_are_sealed_differently_each_time(
    objects: LocalObjects, folder: Path
) -> None:
    await objects.put(DIGEST, DATA)
    first = place(folder).read_bytes()
    await objects.delete(DIGEST)
    await objects.put(DIGEST, DATA)
    assert place(folder).read_bytes()[HEADER:] != first[HEADER:]


@pytest.mark.parametrize("at", [0, 7, 8, 39, 40, 40 + CHUNK, -17, -1])
async def test_a_changed_byte_is_noticed(
    objects: LocalObjects, folder: Path, at: int
) -> None:
    await objects.put(DIGEST, DATA)
    file = bytearray(place(folder).read_bytes())
    file[at] ^= 1
    place(folder).write_bytes(file)
    with pytest.raises(UnavailableError, match="changed"):
        await read(objects)


async def test_a_changed_chunk_does_not_hinder_reading_others(
    objects: LocalObjects, folder: Path
) -> None:
    await objects.put(DIGEST, DATA)
    file = bytearray(place(folder).read_bytes())
    file[HEADER + SEALED] ^= 1
    place(folder).write_bytes(file)
    assert await read(objects, 0, CHUNK) == DATA[:CHUNK]
    assert await read(objects, 2 * CHUNK, len(DATA)) == DATA[2 * CHUNK :]


async def test_chunks_in_another_order_are_noticed(
    objects: LocalObjects, folder: Path
) -> None:
    await objects.put(DIGEST, DATA)
    file = place(folder).read_bytes()
    first, second = file[HEADER : HEADER + SEALED], file[HEADER + SEALED :][:SEALED]
    rest = file[HEADER + 2 * SEALED :]
    place(folder).write_bytes(file[:HEADER] + second + first + rest)
    with pytest.raises(UnavailableError):
        await read(objects, 0, 1)


@pytest.mark.parametrize("chunks", [1, 2, 3])
async def test_a_file_cut_between_chunks_is_noticed(
    objects: LocalObjects, folder: Path, chunks: int
) -> None:
    await objects.put(DIGEST, DATA)
    os.truncate(place(folder), HEADER + chunks * SEALED)
    assert await objects.size(DIGEST) == chunks * CHUNK
    with pytest.raises(UnavailableError, match="changed"):
        await read(objects, 0, chunks * CHUNK)


@pytest.mark.parametrize("length", [0, 1, HEADER, HEADER + 15])
async def test_a_file_cut_to_almost_nothing_is_noticed(
    objects: LocalObjects, folder: Path, length: int
) -> None:
    await objects.put(DIGEST, DATA)
    os.truncate(place(folder), length)
    assert await objects.size(DIGEST) == 0
    with pytest.raises(UnavailableError):
        await read(objects, 0, 1)


async def test_a_file_in_the_place_of_another_is_noticed(
    objects: LocalObjects, folder: Path
) -> None:
    other = DATA[::-1]
    digest = hashlib.sha256(other).hexdigest()
    await objects.put(DIGEST, DATA)
    await objects.put(digest, other)
    place(folder, digest).replace(place(folder))
    with pytest.raises(UnavailableError, match="changed"):
        await read(objects)


async def test_a_file_that_is_not_sealed_is_noticed(
    objects: LocalObjects, folder: Path
) -> None:
    await objects.put(DIGEST, DATA)
    place(folder).write_bytes(DATA)
    with pytest.raises(UnavailableError, match="changed"):
        await read(objects, 0, 1)


async def test_storing_again_mends_a_changed_file(
    objects: LocalObjects, folder: Path
) -> None:
    await objects.put(DIGEST, DATA)
    file = bytearray(place(folder).read_bytes())
    file[HEADER] ^= 1
    place(folder).write_bytes(file)
    await objects.put(DIGEST, DATA)
    assert await read(objects) == DATA


async def test_the_same_key_opens_the_folder_again(
    objects: LocalObjects, folder: Path
) -> None:
    await objects.put(DIGEST, DATA)
    assert await read(LocalObjects(folder, key=KEY)) == DATA


async def test_another_key_is_told_at_the_start(
    objects: LocalObjects, folder: Path
) -> None:
    await objects.put(DIGEST, DATA)
    with pytest.raises(StartUpError, match="DINOSERVE_OBJECTS_KEY"):
        LocalObjects(folder, key=KEY[::-1])


async def test_another_key_is_told_though_nothing_was_stored(
    objects: LocalObjects, folder: Path
) -> None:
    assert await objects.ping()
    with pytest.raises(StartUpError, match="DINOSERVE_OBJECTS_KEY"):
        LocalObjects(folder, key=KEY[::-1])


async def test_a_sealed_folder_is_not_opened_without_its_key(
    objects: LocalObjects, folder: Path
) -> None:
    await objects.put(DIGEST, DATA)
    with pytest.raises(StartUpError, match="DINOSERVE_OBJECTS_KEY"):
        LocalObjects(folder)


async def test_a_folder_begun_without_a_key_takes_none_later(folder: Path) -> None:
    await LocalObjects(folder).put(DIGEST, DATA)
    with pytest.raises(StartUpError, match="not sealed"):
        LocalObjects(folder, key=KEY)
    assert await read(LocalObjects(folder)) == DATA


async def test_the_key_is_told_to_nobody(
    objects: LocalObjects, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await objects.put(DIGEST, DATA)
    with pytest.raises(StartUpError) as caught:
        LocalObjects(folder, key=KEY[::-1])
    said = f"{caught.getrepr()} {caplog.text} {objects!r} {vars(objects)}"
    for key in (KEY, KEY[::-1]):
        assert repr(key) not in said
        assert base64.b64encode(key).decode() not in said


@pytest.mark.parametrize(
    "text", ["", "secret", base64.b64encode(KEY[:31]).decode(), "ä" * 44, "=" * 44]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64 of 32 bytes"):
        read_key(text)
