"""Model files from the Hugging Face Hub, and what its refusals mean."""

import os
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from httpx2 import HTTPError, InvalidURL
from huggingface_hub import (
    constants,
    snapshot_download,  # pyright: ignore[reportUnknownVariableType] - one parameter is a bare dict
)
from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from dinoserve.errors import ModelUnavailableError

WANTED_FILES = (
    "config.json",
    "preprocessor_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "LICENSE*",
)
_USE_A_FOLDER = "give a local folder that holds its files"
# What the client raises at an answer that is no JSON, is other JSON, or lacks headers.
_NOT_THE_HUB = (
    AssertionError,
    AttributeError,
    FileMetadataError,
    InvalidURL,
    KeyError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class HubAccess:
    """How to reach the Hub.

    Attributes:
        token: Hugging Face token; None is anonymous, whatever the machine stores.
        endpoint: base URL of another Hub; None is huggingface.co.
        cache: folder of downloads; None is the Hugging Face cache.
    """

    token: str | None = field(default=None, repr=False)
    endpoint: str | None = None
    cache: Path | None = None


def download(repository: str, revision: str | None, access: HubAccess) -> Path:
    """Return the folder of the repository's model files at one exact commit.

    The folder's name is the commit. Files of the cache are not fetched again, and
    without a network the cache alone is enough. Fetched are `WANTED_FILES` only:
    no pickles, no code.

    Args:
        repository: `organisation/name`.
        revision: branch, tag or commit; None is the main branch.
        access: how to reach the Hub.

    Raises:
        ModelUnavailableError: which id, why, and what to do; never the token.
    """
    # An attribute, because the variable that sets it is read at the first import.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    token = _checked_token(access.token)
    name = f"{repository}@{revision}" if revision else repository
    try:
        folder = snapshot_download(
            repository,
            revision=revision,
            token=token or False,
            endpoint=access.endpoint,
            cache_dir=access.cache,
            allow_patterns=list(WANTED_FILES),
        )
    except (OSError, HTTPError, *_NOT_THE_HUB) as error:
        reason = _reason(error, repository, has_token=token is not None)
        raise ModelUnavailableError(f"{name}: {reason}", model=name) from error
    return Path(folder)


def _checked_token(token: str | None) -> str | None:
    # An HTTP client refuses such a header too, in a message that shows the token.
    token = token.strip() if token else None
    if token and not re.fullmatch(r"[\w.-]+", token, re.ASCII):
        raise ModelUnavailableError(
            "HF_TOKEN holds characters that no Hugging Face token has; copy it again."
        )
    return token or None


def _reason(error: Exception, repository: str, *, has_token: bool) -> str:
    # Where the cache could not help, the client hides why it was needed.
    is_hidden = isinstance(error, LocalEntryNotFoundError) and error.__cause__
    cause = error.__cause__ if is_hidden else error
    if isinstance(cause, HfHubHTTPError):
        return _refusal(cause, repository, has_token=has_token)
    if isinstance(cause, HFValidationError):
        return "no valid Hub id (organisation/name)."
    if isinstance(cause, OSError) and cause.errno:
        return (
            f"the download cannot be stored ({os.strerror(cause.errno)}); free or"
            " unlock the disk and start again: what has arrived is kept."
        )
    if isinstance(cause, OfflineModeIsEnabled):
        return (
            "not in the cache, and HF_HUB_OFFLINE forbids a download; unset it,"
            f" or {_USE_A_FOLDER}."
        )
    if isinstance(cause, _NOT_THE_HUB):
        return (
            f"the answer is not the Hub's ({type(cause).__name__}); check the endpoint"
            f" and any proxy, or {_USE_A_FOLDER}."
        )
    return (
        f"the Hub cannot be reached, or broke off ({type(cause).__name__}); check the"
        " network and start again: what has arrived is kept."
        f" Without a network, {_USE_A_FOLDER}."
    )


def _refusal(error: HfHubHTTPError, repository: str, *, has_token: bool) -> str:
    status = error.response.status_code
    if isinstance(error, GatedRepoError):
        missing = "this token's account is not let in" if has_token else "no token"
        return (
            f"gated (HTTP {status}), and {missing}. Accept the licence at"
            f" https://huggingface.co/{repository} and set HF_TOKEN to a token that may"
            f" read it, use an ungated copy such as timm's, or {_USE_A_FOLDER}."
        )
    # A 401 without a token is how the Hub says of both that it shows neither.
    is_anonymous_401 = status == HTTPStatus.UNAUTHORIZED and not has_token
    if isinstance(error, RepositoryNotFoundError) or is_anonymous_401:
        hidden = "is hidden from this token" if has_token else "needs HF_TOKEN"
        return (
            f"no such repository, or it {hidden} (HTTP {status}); check the spelling."
        )
    if isinstance(error, RevisionNotFoundError):
        return "the repository has no such revision; check what follows the @."
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return (
            f"access refused (HTTP {status}); check that HF_TOKEN is valid and may read"
            f" this repository, or {_USE_A_FOLDER}."
        )
    return f"the Hub answered HTTP {status}; try again later, or {_USE_A_FOLDER}."
