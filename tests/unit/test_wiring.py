"""How settings become a server: who may reach it, and with which key."""

import hashlib
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from dinoserve.adapters.data_folder import claim_folder
from dinoserve.errors import DataFolderError, StartUpError, UnsafeBindError
from dinoserve.services.upload import Upload
from dinoserve.setting_values import key_digest
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.wiring import check_bind, open_services, web_app
from odd_files import photo


def settings(**changes: object) -> Settings:
    return Settings.model_validate(changes)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
def test_this_machine_alone_needs_no_key(host: str) -> None:
    check_bind(settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.com", ""])
def test_other_machines_need_a_key(host: str) -> None:
    with pytest.raises(UnsafeBindError, match="DINOSERVE_API_KEYS"):
        web_app(settings(host=host), Metrics())


def test_with_a_key_other_machines_may_reach_it() -> None:
    check_bind(settings(host="0.0.0.0", api_keys="k"))


def test_a_key_in_clear_and_its_digest_are_the_same() -> None:
    digest = hashlib.sha256(b"secret").hexdigest()

    assert key_digest(SecretStr("secret")) == key_digest(SecretStr(f"sha256:{digest}"))


@pytest.mark.parametrize(
    "text", ["sha256:" + hashlib.sha256(b"").hexdigest(), "schlüssel", "a\nb"]
)
def test_a_key_that_would_protect_nothing_stops_the_start(text: str) -> None:
    with pytest.raises(StartUpError, match="DINOSERVE_API_KEYS"):
        key_digest(SecretStr(text))


@pytest.mark.parametrize("text", ["sha256:", "sha256:abcd", "sha256:" + "z" * 64])
def test_a_digest_that_is_none_stops_the_start(text: str) -> None:
    with pytest.raises(StartUpError, match="64 hex"):
        key_digest(SecretStr(text))


def test_a_key_is_never_shown() -> None:
    own = settings(api_keys="very-secret, other", hf_token="hf_hidden")

    assert len(own.api_keys) == 2
    assert "very-secret" not in repr(own) + own.model_dump_json()
    assert "hf_hidden" not in repr(own) + own.model_dump_json()


@pytest.mark.parametrize(
    "change", [{"port": -1}, {"port": 70000}, {"documents": "mysql:"}, {"device": "x"}]
)
def test_a_setting_out_of_range_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        settings(**change)


def test_a_data_folder_belongs_to_one_server(tmp_path: Path) -> None:
    with (
        claim_folder(tmp_path / "var"),
        pytest.raises(DataFolderError, match="in use"),
        claim_folder(tmp_path / "var"),
    ):
        pass


def test_a_data_folder_is_free_again_afterwards(tmp_path: Path) -> None:
    with claim_folder(tmp_path / "var"):
        pass

    with claim_folder(tmp_path / "var") as folder:
        assert folder.stat().st_mode & 0o077 == 0


def test_a_file_in_place_of_the_data_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("not a folder")

    with (
        pytest.raises(DataFolderError, match="DINOSERVE_DATA"),
        claim_folder(tmp_path / "var"),
    ):
        pass


async def test_what_was_cut_off_is_not_swept_while_a_worker_may_be_at_it(
    tmp_path: Path,
) -> None:
    own = settings(data=tmp_path, model="stub")
    async with open_services(own, Metrics()) as services:
        await services.assets.documents.mark("a" * 64)

    with claim_folder(tmp_path, "worker"):
        async with open_services(own, Metrics()) as services:
            assert await services.assets.documents.unreferenced() == ["a" * 64]


async def test_an_unknown_model_stops_the_start_and_frees_the_folder(
    tmp_path: Path,
) -> None:
    wrong = settings(data=tmp_path, model="./no/such/folder")

    with pytest.raises(StartUpError):
        async with open_services(wrong, Metrics()):
            pass

    with claim_folder(tmp_path):
        pass


async def test_vectors_are_searchable_again_after_a_restart(tmp_path: Path) -> None:
    own = settings(data=tmp_path, model="stub")
    async with open_services(own, Metrics()) as services:
        await services.assets.upload(Upload(photo(1)))

    async with open_services(own, Metrics()) as services:
        assert await services.search.fill() == 1


async def test_what_a_crash_left_is_swept_at_the_start(tmp_path: Path) -> None:
    own = settings(data=tmp_path, model="stub")
    async with open_services(own, Metrics()) as services:
        await services.assets.documents.mark("a" * 64)
        await services.assets.objects.put("a" * 64, b"bytes of nobody")

    async with open_services(own, Metrics()) as services:
        assert await services.assets.objects.size("a" * 64) is None
        assert await services.assets.documents.unreferenced() == []
