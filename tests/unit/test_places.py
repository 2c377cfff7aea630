"""What a data folder or a file of settings says of stores."""

from pathlib import Path

import pytest

from dinoserve.cli.places import settings_of
from dinoserve.errors import StartUpError
from dinoserve.stores import open_stores


def test_a_folder_stands_for_the_embedded_default_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DINOSERVE_DOCUMENTS", "memory:")
    own = settings_of(tmp_path)
    assert own.data == tmp_path
    assert own.documents.get_secret_value() == "sqlite:"
    assert own.objects == "file:"


def test_of_a_file_the_file_alone_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DINOSERVE_OBJECTS", "s3://elsewhere")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("DINOSERVE_DATA=wrong\n")
    file = tmp_path / "production.env"
    file.write_text("DINOSERVE_DOCUMENTS=mongodb://ann:hush@host/db\n# a remark\n")
    own = settings_of(file)
    assert own.documents.get_secret_value() == "mongodb://ann:hush@host/db"
    assert own.objects == "file:"
    assert own.data == Path("var")


def test_a_wrong_setting_is_told_with_its_file_and_without_secrets(
    tmp_path: Path,
) -> None:
    file = tmp_path / "wrong.env"
    file.write_text("DINOSERVE_DOCUMENTS=mongodb://ann:hu/sh@host\n")
    with pytest.raises(StartUpError, match=r"wrong\.env") as error:
        settings_of(file)
    assert "documents" in error.value.detail
    assert "hu" not in error.value.detail


def test_a_place_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartUpError, match="neither a folder nor a file"):
        settings_of(tmp_path / "absent")


@pytest.mark.parametrize("place", ["sqlite:", "mongodb://127.0.0.1:9/x"])
async def test_one_database_cannot_be_both_places(tmp_path: Path, place: str) -> None:
    file = tmp_path / "one.env"
    file.write_text(f"DINOSERVE_DATA={tmp_path}\nDINOSERVE_DOCUMENTS={place}\n")
    own = settings_of(file)
    with pytest.raises(StartUpError, match="same database"):
        async with open_stores(own, own):
            pass
