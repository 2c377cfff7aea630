"""The folder that every embedded default lives in, and who may be at it together."""

import fcntl
import os
import secrets
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, Literal, TypeAlias

from dinoserve.errors import DataFolderError

Claim: TypeAlias = Literal["server", "worker", "alone"]
"""As what a folder is held: one server, any number of workers beside it, or alone."""

_LOCKS: Final[Mapping[Claim, Mapping[str, int]]] = {
    "server": {"lock": fcntl.LOCK_EX},
    "worker": {"workers": fcntl.LOCK_SH},
    "alone": {"lock": fcntl.LOCK_EX, "workers": fcntl.LOCK_EX},
}


@contextmanager
def claim_folder(path: Path, claim: Claim = "server") -> Generator[Path]:
    """Hold the folder for this process during the block; make it if needed.

    The claim is a lock of the operating system: it ends with the process, even
    with one that was killed.

    Raises:
        DataFolderError: others have it so that this claim cannot be, or it cannot be
            written.
    """
    with ExitStack() as stack:
        for name, how in _LOCKS[claim].items():
            stack.enter_context(_locked(path, name, how))
        yield path


@contextmanager
def without_workers(path: Path) -> Generator[bool]:
    """Keep workers off the folder during the block; False: there are some.

    Raises:
        DataFolderError: the folder cannot be written.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(_locked(path, "workers", fcntl.LOCK_EX))
            is_kept = True
        except DataFolderError as error:
            if not isinstance(error.__cause__, BlockingIOError):
                raise
            is_kept = False
        yield is_kept


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


@contextmanager
def _locked(path: Path, name: str, how: int) -> Generator[None]:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path / name, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DataFolderError(
            f"The data folder {path} cannot be used: {error.strerror}."
            " Set DINOSERVE_DATA to a folder this user can write."
        ) from error
    try:
        _lock(descriptor, path, how)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path, how: int) -> None:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        raise DataFolderError(
            f"The data folder {path} is in use by process {owner or '?'}."
            " Stop that process, or set DINOSERVE_DATA to another folder."
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
