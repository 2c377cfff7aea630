"""`dinoserve config`, and how wrong settings are told."""

import json
from pathlib import Path

import pytest
import typer
from dotenv import dotenv_values
from typer.testing import CliRunner, Result

from dinoserve.cli import app
from dinoserve.cli.config import env_example, load_settings
from dinoserve.settings import Settings

SECRET = "a-very-secret-key"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, **env: str) -> Result:
    return CliRunner().invoke(app, ["config", *arguments], env=env)


def test_every_setting_is_shown_with_its_default() -> None:
    shown = json.loads(run("--json").stdout)
    assert len(shown) == len(Settings.model_fields)
    assert {row["from"] for row in shown.values()} == {"default"}
    assert shown["DINOSERVE_PORT"]["value"] == "8000"


def test_a_setting_of_the_environment_is_shown_as_set() -> None:
    shown = json.loads(run("--json", DINOSERVE_PORT="8123").stdout)
    assert shown["DINOSERVE_PORT"] == {"value": "8123", "from": "set"}


def test_a_setting_of_dotenv_is_shown_as_set(empty_folder: Path) -> None:
    (empty_folder / ".env").write_text("DINOSERVE_PORT=8124\n")
    shown = json.loads(run("--json").stdout)
    assert shown["DINOSERVE_PORT"] == {"value": "8124", "from": "set"}


def test_the_table_has_one_line_for_a_setting() -> None:
    (line,) = [line for line in run().stdout.splitlines() if "_FETCH_URLS" in line]
    assert "false" in line
    assert "default" in line


@pytest.mark.parametrize("form", ["--json", "--env", ""])
def test_secrets_are_never_shown(form: str) -> None:
    result = run(
        *filter(None, [form]), DINOSERVE_API_KEYS=f"{SECRET},b", HF_TOKEN=SECRET
    )
    assert SECRET not in result.output


def test_neither_length_nor_number_of_keys_is_told() -> None:
    one = run("--json", DINOSERVE_API_KEYS="a").stdout
    assert one == run("--json", DINOSERVE_API_KEYS=f"{SECRET},{SECRET},c").stdout


def test_the_example_names_every_setting_once() -> None:
    lines = env_example().splitlines()
    named = [line.split("=")[0] for line in lines if line.startswith("# DINOSERVE_")]
    assert named == [f"# DINOSERVE_{name.upper()}" for name in Settings.model_fields]


def test_the_example_uncommented_gives_the_defaults(empty_folder: Path) -> None:
    text = env_example().replace("# DINOSERVE_", "DINOSERVE_")
    (empty_folder / ".env").write_text(text)
    assert len(dotenv_values(".env")) == len(Settings.model_fields)
    settings = load_settings()
    changed = {"DINOSERVE_" + name.upper() for name in settings.model_fields_set}
    assert changed <= set(dotenv_values(".env"))
    assert settings == Settings.model_construct()


def test_the_example_does_not_depend_on_the_environment() -> None:
    assert run("--env", DINOSERVE_PORT="9").stdout == env_example()


def test_a_wrong_setting_is_one_line_with_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DINOSERVE_PORT", "abc")
    with pytest.raises(typer.Exit) as caught:
        load_settings()
    said = capsys.readouterr()
    assert caught.value.exit_code == 2
    assert said.err.startswith("dinoserve: DINOSERVE_PORT: ")
    assert said.err.count("\n") == 1
    assert not said.out


def test_each_wrong_setting_has_its_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DINOSERVE_PORT", "70000")
    monkeypatch.setenv("DINOSERVE_DEVICE", "tpu")
    with pytest.raises(typer.Exit):
        load_settings()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == [
        "DINOSERVE_DEVICE",
        "DINOSERVE_PORT",
    ]


def test_a_dotenv_that_is_no_text_is_told_in_a_line(empty_folder: Path) -> None:
    (empty_folder / ".env").write_bytes(b"DINOSERVE_PORT=\xff\n")
    result = run()
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert ".env" in result.stderr


def test_what_the_command_line_says_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DINOSERVE_PORT", "8001")
    assert load_settings(port=8002).port == 8002


def test_a_misspelt_setting_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DINOSERVE_FETCHURLS", "true")

    load_settings()

    assert "DINOSERVE_FETCHURLS is no setting" in capsys.readouterr().err
