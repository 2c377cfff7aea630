"""Where stores are, told by a data folder or by a file of settings."""

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
)

from dinoserve.errors import StartUpError
from dinoserve.settings import Settings


def settings_of(place: Path) -> Settings:
    """Return what a place says of stores, whatever the environment says.

    Args:
        place: a data folder with the embedded default in it, or a file like `.env`.

    Raises:
        StartUpError: there is no such place, or a setting in it is wrong.
    """
    if place.is_dir():
        return _reading(None)(data=place)
    if not place.is_file():
        raise StartUpError(f"{place} is neither a folder nor a file; make it first.")
    try:
        return _reading(place)()
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)
        told = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in wrong)
        raise StartUpError(f"{place}: {told}") from error
    except (OSError, UnicodeError) as error:
        raise StartUpError(f"{place} cannot be read: {error}") from error


def _reading(file: Path | None) -> Callable[..., Settings]:
    class Alone(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            """Read arguments and the file; neither environment nor `.env`."""
            del env_settings, dotenv_settings, file_secret_settings
            return init_settings, DotEnvSettingsSource(settings_cls, env_file=file)

    return Alone
