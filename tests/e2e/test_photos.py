"""The main job with real photographs: what is uploaded is found by its copies."""

import io
from collections.abc import Generator
from pathlib import Path

import pytest
from PIL import Image

from servers import Server, running
from stored import data_uri, search, uploaded

PHOTOS = sorted((Path(__file__).parents[1] / "pictures").glob("*.jpg"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with running(tmp_path_factory.mktemp("photos")) as server:
        yield server


@pytest.fixture(scope="module")
def ids(server: Server) -> dict[Path, str]:
    with server.client() as client:
        return {path: uploaded(client, path.read_bytes()) for path in PHOTOS}


def copied(path: Path, scale: float, quality: int) -> bytes:
    """Return another JPEG of the photograph."""
    file = io.BytesIO()
    with Image.open(path) as image:
        size = round(image.width * scale), round(image.height * scale)
        image.resize(size).save(file, "JPEG", quality=quality)
    return file.getvalue()


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.stem)
@pytest.mark.parametrize(("scale", "quality"), [(1.0, 40), (0.5, 90), (1.7, 90)])
def test_a_photograph_is_found_by_its_copy(
    server: Server, ids: dict[Path, str], path: Path, scale: float, quality: int
) -> None:
    image = {"image": data_uri(copied(path, scale, quality))}

    with server.client() as client:
        hits = search(client, image, k=len(PHOTOS))

    best = max(hits, key=hits.__getitem__)
    assert best == ids[path]
    assert len(hits) == len(PHOTOS)
