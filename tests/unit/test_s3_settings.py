"""From settings to a store of objects, and what is told of wrong ones."""

import base64
from pathlib import Path

import pytest
from pydantic import ValidationError

from dinoserve.adapters.objects import LocalObjects, S3Objects, open_place
from dinoserve.errors import StartUpError
from dinoserve.services.upload import Upload
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.wiring import open_services
from object_servers import SECRET, clear, fresh_bucket, keys
from odd_files import photo

KEY = base64.b64encode(bytes(range(32))).decode()
BUCKET = {
    "objects": "s3://pictures/of/us",
    "s3_endpoint": "http://127.0.0.1:1",
    "s3_access_key": "ACCESS",
    "s3_secret_key": SECRET,
}


def settings(**changes: object) -> Settings:
    return Settings.model_validate(changes)


async def test_by_default_objects_lie_in_the_data_folder(tmp_path: Path) -> None:
    store = await open_place(settings(data=tmp_path))
    assert isinstance(store, LocalObjects)
    assert (tmp_path / "objects").is_dir()


async def test_a_key_seals_the_folder(tmp_path: Path) -> None:
    store = await open_place(settings(data=tmp_path, objects_key=KEY))
    await store.put("a" * 64, b"picture")
    [file] = (tmp_path / "objects" / "aa" / "aa").iterdir()
    assert b"picture" not in file.read_bytes()


@pytest.mark.needs("moto")
async def test_a_bucket_is_named_by_its_url() -> None:
    bucket = fresh_bucket("moto")
    store = await open_place(
        settings(
            objects=f"s3://{bucket.name}/{bucket.prefix}/",
            s3_endpoint=f"{bucket.endpoint}/",
            s3_access_key=bucket.access_key,
            s3_secret_key=SECRET,
        )
    )
    assert isinstance(store, S3Objects)
    assert bucket.name in await store.ping()
    await clear(bucket)


@pytest.mark.needs("moto")
async def test_an_upload_goes_into_the_bucket_and_comes_back(tmp_path: Path) -> None:
    bucket = fresh_bucket("moto")
    own = settings(
        data=tmp_path,
        model="stub",
        objects=f"s3://{bucket.name}/{bucket.prefix}",
        s3_endpoint=bucket.endpoint,
        s3_access_key=bucket.access_key,
        s3_secret_key=SECRET,
    )
    async with open_services(own, Metrics()) as services:
        asset, _ = await services.assets.upload(Upload(photo(1)))
        chunks = await services.assets.read(asset, 0, asset.size_bytes)
        assert b"".join([chunk async for chunk in chunks]) == photo(1)
        assert any(key.endswith(asset.sha256) for key in await keys(bucket))
        await services.assets.remove(asset.id)
        assert not any(key.endswith(asset.sha256) for key in await keys(bucket))
    await clear(bucket)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"s3_access_key": None}, "DINOSERVE_S3_ACCESS_KEY"),
        ({"s3_secret_key": None}, "DINOSERVE_S3_SECRET_KEY"),
        ({"s3_endpoint": None}, "DINOSERVE_S3_ENDPOINT"),
        ({"s3_endpoint": "r2.example.com"}, "DINOSERVE_S3_ENDPOINT"),
        ({"s3_endpoint": "https://r2.example.com/pictures"}, "DINOSERVE_S3_ENDPOINT"),
        ({"s3_endpoint": "https:///"}, "DINOSERVE_S3_ENDPOINT"),
        ({"s3_sse_c_key": "short"}, "DINOSERVE_S3_SSE_C_KEY"),
        ({"objects_key": KEY}, "DINOSERVE_S3_SSE_C_KEY"),
        ({"s3_sse_c_key": KEY, "s3_endpoint": "http://example.com"}, "https"),
        ({"objects": "file:", "s3_sse_c_key": KEY}, "DINOSERVE_OBJECTS_KEY"),
        ({"objects": "file:", "objects_key": KEY[1:]}, "DINOSERVE_OBJECTS_KEY"),
    ],
)
async def test_settings_that_do_not_fit_stop_the_start_and_are_named(
    change: dict[str, object], named: str, tmp_path: Path
) -> None:
    with pytest.raises(StartUpError, match=named) as caught:
        await open_place(settings(**{**BUCKET, "data": tmp_path, **change}))
    assert KEY[1:] not in caught.value.detail


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3://ab",
        "s3://Pictures",
        "s3://user:secret@pictures",
        "s3:pictures",
        "s3://pictures?x=1",
        "s3://pictures/ü",
        "file:/tmp",
        "r2://pictures",
        "",
    ],
)
def test_what_is_no_place_for_objects_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        settings(objects=url)


def test_secrets_of_the_bucket_are_never_shown() -> None:
    own = settings(**BUCKET, s3_sse_c_key=KEY, objects_key=KEY)
    shown = repr(own) + own.model_dump_json()
    assert KEY not in shown
    assert SECRET not in shown
