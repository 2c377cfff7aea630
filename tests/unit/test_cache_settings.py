"""The URL of Redis: what is taken, what is refused, what is shown of it."""

import pytest
from pydantic import ValidationError

from dinoserve.settings import Settings

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        (f"redis://:{SECRET}@cache:6379/1", "redis://cache:6379/1"),
        (f"rediss://user:{SECRET}@cache", "rediss://cache"),
        (f"unix:///run/redis.sock?password={SECRET}", "unix:///run/redis.sock"),
    ],
)
def test_a_redis_url_is_shown_without_its_password(url: str, shown: str) -> None:
    settings = Settings.model_validate({"redis": url})

    assert settings.redis is not None
    assert settings.redis.get_secret_value() == url
    assert str(settings.redis) == shown


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        f"http://:{SECRET}@cache",
        f"redis://:{SECRET}@more@cache",
        f"redis://:{SECRET}/x@cache",
    ],
)
def test_what_is_no_redis_url_is_refused_unshown(url: str) -> None:
    with pytest.raises(ValidationError, match="a Redis URL is") as caught:
        Settings.model_validate({"redis": url})

    assert SECRET not in str(caught.value)


def test_an_empty_redis_url_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DINOSERVE_REDIS", "")

    assert Settings.model_validate({}).redis is None
