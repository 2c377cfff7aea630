"""`dinoserve ingest`: give a server the images of files and folders."""

import asyncio
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from dinoserve.cli.client import (
    ApiError,
    AsJson,
    Client,
    Key,
    Url,
    complain,
    connect,
    run,
)
from dinoserve.cli.config import load_settings
from dinoserve.cli.progress import Tally, work_off
from dinoserve.cli.samples import sample_pictures
from dinoserve.domain.assets import IMAGE_ENDINGS, Metadata, check_collection

_PATIENCE_S = 30.0
_CREATED = 201
_OUTCOMES = ("new", "already there")
_NOTHING_DONE = 2


class Found(NamedTuple):
    """What lies under some paths.

    Attributes:
        images: files to give, in the order of the paths, each once.
        skipped: how many other files there are.
        unreadable: paths that do not exist or folders that cannot be listed, and why.
    """

    images: list[Path]
    skipped: int
    unreadable: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of an image that is given."""

    collection: str = "default"
    tags: Sequence[str] = ()
    subject: str | None = None
    embed: bool = True
    metadata: Metadata = field(default_factory=dict[str, object])


class Saying(NamedTuple):
    """What is said of all images, and instead of that of some."""

    of_all: Said
    own: Mapping[Path, Said] = {}

    def of(self, path: Path) -> Said:
        """Return what is said of this image."""
        return self.own.get(path, self.of_all)


def ingest(  # noqa: PLR0913, PLR0917 - every option is an argument
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Image files and folders.")
    ] = None,
    samples: Annotated[
        bool, typer.Option("--samples", help="The pictures that come with dinoserve.")
    ] = False,
    collection: Annotated[str, typer.Option(help="Where they belong.")] = "default",
    tag: Annotated[
        list[str] | None, typer.Option(help="On every image; may be repeated.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="The person they show, for later erasure.")
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, max=256, help="Uploads at once.")
    ] = 8,
    no_embed: Annotated[
        bool, typer.Option("--no-embed", help="Only store; not searchable.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Try files of every name, not only images.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Upload images; again after a stop: what is there already costs little."""
    said = Said(collection, tag or (), subject, embed=not no_embed)
    found = find_images(paths or [], every=every)
    own = _own(said) if samples else {}
    found = found._replace(images=[*found.images, *own])
    server = connect(load_settings(), url, key)
    run(_ingest(server, found, Saying(said, own), concurrency, as_json=as_json))


def find_images(paths: Sequence[Path], *, every: bool) -> Found:
    """Return the files that lie at and below the paths, in a fixed order.

    Hidden files and folders are left out unless a path names one itself; folders
    behind symbolic links below a path are not entered.

    Args:
        paths: files and folders.
        every: take files of every name; else only those with an image's extension.
    """
    unreadable: list[tuple[str, str]] = []
    files = [file for path in paths for file in _files(path, unreadable)]
    once = list(dict.fromkeys(files))
    images = [file for file in once if every or file.suffix.lower() in IMAGE_ENDINGS]
    return Found(images, len(once) - len(images), unreadable)


def _own(said: Said) -> dict[Path, Said]:
    """Return the samples, and of each its own words beside those said of all."""
    return {
        sample.path: replace(
            said,
            tags=[*said.tags, *sample.tags],
            subject=said.subject or sample.subject,
            metadata=sample.metadata,
        )
        for sample in sample_pictures()
    }


def _files(root: Path, unreadable: list[tuple[str, str]]) -> Iterator[Path]:
    if root.is_file():
        yield root
        return

    def note(error: OSError) -> None:
        unreadable.append((str(error.filename), error.strerror or str(error)))

    for folder, subfolders, names in os.walk(root, onerror=note):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        visible = (Path(folder, name) for name in sorted(names) if name[0] != ".")
        yield from (path for path in visible if path.is_file())


async def _ingest(
    server: AbstractAsyncContextManager[Client],
    found: Found,
    said: Saying,
    concurrency: int,
    *,
    as_json: bool,
) -> int:
    check_collection(said.of_all.collection)
    if not found.images:
        for path, reason in found.unreadable:
            complain(f"{path}: {reason}")
        complain(
            f"no images; {found.skipped} other files, which --all would try. Name"
            " files or folders, or take --samples."
        )
        return _NOTHING_DONE
    async with server as client:
        tally = await upload_all(client, found, said, concurrency)
    tally.print(as_json=as_json)
    return tally.exit_code


async def upload_all(
    client: Client, found: Found, said: Saying, concurrency: int
) -> Tally:
    """Give the server every image found, and count what became of them.

    At most `concurrency` files are in memory.

    Raises:
        ApiError: the key is wrong.
        NoServerError: there is no server; one that goes away later is waited for,
            and ends the work with the reason in the tally.
    """
    await client.get("/v1/models")
    client.patience_s = _PATIENCE_S
    client.priority = "bulk"
    total = len(found.images) + len(found.unreadable)
    tally = Tally(total, "images", _OUTCOMES)
    tally.skipped = found.skipped
    for path, reason in found.unreadable:
        tally.fail(path, "unreadable", reason)

    async def upload(path: Path) -> None:
        try:
            data = await asyncio.to_thread(path.read_bytes)
            tally.outcomes[await _upload(client, path.name, data, said.of(path))] += 1
        except OSError as error:
            tally.fail(str(path), "unreadable", error.strerror or str(error))
        except ApiError as error:
            if error.code == "unauthorized":
                raise
            tally.fail(str(path), error.code, error.detail)

    await work_off(found.images, upload, tally, workers=concurrency)
    return tally


async def _upload(client: Client, name: str, data: bytes, said: Said) -> str:
    # A name that is no UTF-8 cannot travel as it is.
    filename = name.encode(errors="replace").decode()
    fields: dict[str, str | list[str]] = {
        "collection": said.collection,
        "tags": list(said.tags),
        "metadata": json.dumps(dict(said.metadata)),
    }
    answer = await client.send(
        "POST",
        "/v1/assets",
        params={"embed": said.embed},
        data=fields if said.subject is None else fields | {"subject": said.subject},
        files={"file": (filename, data)},
    )
    return _OUTCOMES[0 if answer.status_code == _CREATED else 1]
