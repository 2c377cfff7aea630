"""The folder that every embedded default lives in: one server at a time."""

import fcntl
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from dinoserve.errors import DataFolderError


@contextmanager
def claim_folder(path: Path) -> Generator[Path]:
    """Hold the folder for this process during the block; make it if needed.

    The claim is a lock of the operating system: it ends with the process, even
    with one that was killed.

    Raises:
        DataFolderError: another process has it, or it cannot be written.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DataFolderError(
            f"The data folder {path} cannot be used: {error.strerror}."
            " Set DINOSERVE_DATA to a folder this user can write."
        ) from error
    try:
        _lock(descriptor, path)
        yield path
    finally:
        os.close(descriptor)


def kept_key(path: Path, size_bytes: int) -> bytes:
    """Return the folder's own random key; it is made when first asked for.

    Raises:
        DataFolderError: it cannot be read or written, or is no key.
    """
    file = path / "link-key"
    try:
        with suppress(FileExistsError), open(file, "xb", opener=_private) as new:
            new.write(secrets.token_bytes(size_bytes))
            os.fsync(new.fileno())
        key = file.read_bytes()
    except OSError as error:
        raise DataFolderError(
            f"{file} cannot be used: {error.strerror}. Set DINOSERVE_LINK_KEY instead."
        ) from error
    if len(key) != size_bytes:
        raise DataFolderError(f"{file} is damaged: remove it; links made before end.")
    return key


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        raise DataFolderError(
            f"The data folder {path} is in use by process {owner or '?'}."
            " Stop that server, or set DINOSERVE_DATA to another folder."
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
