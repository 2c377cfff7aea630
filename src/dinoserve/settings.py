"""Settings: read once from the environment and `.env`, by nothing else."""

import hashlib
import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, Secret, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from dinoserve.domain.framing import Framing, lay_out, read_framing
from dinoserve.domain.geometry import Geometry
from dinoserve.errors import InvalidInputError, StartUpError

MIB = 1024 * 1024
_HASHED_KEY = "sha256:"
# Hosts are names, addresses or percent-encoded sockets. A user or password with an
# unescaped @, / or ? does not match.
_MONGODB_URL = re.compile(
    r"(?P<scheme>mongodb(?:\+srv)?://)(?:[^@/?#]+@)?"
    r"(?P<place>[\w.,:%\[\]-]+(?:/[\w-]*)?)(?:\?[^@]*)?",
    re.ASCII,
)
_REDIS_URL = re.compile(
    r"(?P<scheme>rediss?://|unix://)(?:[^@/?#]*@)?"
    r"(?P<place>[\w./:%\[\]-]+)(?:\?[^@]*)?",
    re.ASCII,
)
# Names of buckets as S3 allows them; of prefixes, what needs no escape anywhere.
_OBJECTS_URL = (
    r"^(file:|memory:|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_./-]{1,200})?)$"
)


class StoreUrl(Secret[str]):
    """Where a store is; shown without user, password and options."""

    def _display(self) -> str:
        url = self.get_secret_value()
        if url.startswith("mongodb"):
            found = _MONGODB_URL.fullmatch(url)
            return found["scheme"] + found["place"] if found else "mongodb://…"
        if found := _REDIS_URL.fullmatch(url):
            return found["scheme"] + found["place"]
        return url


def unknown_variables() -> list[str]:
    """Return variables of the environment that look like settings and are none."""
    known = {f"DINOSERVE_{name}".upper() for name in Settings.model_fields}
    return sorted(
        name
        for name in os.environ
        if name.startswith("DINOSERVE_")
        and not name.startswith("DINOSERVE_TEST_")
        and name not in known
    )


class Settings(BaseSettings):
    """Every setting, with the embedded default; the prefix is `DINOSERVE_`."""

    model_config = SettingsConfigDict(
        env_prefix="DINOSERVE_",
        env_file=".env",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    data: Path = Field(
        Path("var"), description="Folder that every embedded default lives in."
    )
    documents: StoreUrl = Field(
        StoreUrl("sqlite:"),
        description="Where records and vectors live: `sqlite:`, `memory:` or"
        " `mongodb://…`.",
    )
    objects: str = Field(
        "file:",
        pattern=_OBJECTS_URL,
        description="Where the originals live: `file:`, `memory:` or"
        " `s3://bucket/prefix`.",
    )
    objects_key: SecretStr | None = Field(
        None, description="Base64 of 32 bytes that seal the originals in a folder."
    )
    s3_endpoint: str | None = Field(
        None, description="URL of the S3 server, e.g. of Cloudflare R2."
    )
    s3_region: str = Field("auto", description="Region of the bucket; R2's is `auto`.")
    s3_access_key: SecretStr | None = Field(
        None, description="Access key id for the bucket."
    )
    s3_secret_key: SecretStr | None = Field(
        None, description="Secret that belongs to the access key id."
    )
    s3_sse_c_key: SecretStr | None = Field(
        None,
        description="Base64 of 32 bytes that the S3 server seals the originals with.",
    )
    redis: StoreUrl | None = Field(
        None,
        description="Cache that processes share: `redis://…`, `rediss://…`, `unix://…`.",
    )
    cache_bytes: int = Field(
        64 * MIB, ge=0, description="Bytes of the cache in this process; 0: none."
    )
    cache_max_value_bytes: int = Field(
        8 * MIB, gt=0, description="Bytes one cached value may have."
    )
    cache_ttl_s: float = Field(
        86_400, gt=0, description="Seconds that vectors and features stay cached."
    )
    cache_changing_ttl_s: float = Field(
        60, gt=0, description="Seconds that records and search hits stay cached."
    )
    cache_absent_ttl_s: float = Field(
        5, gt=0, description="Seconds that an asset is known not to exist."
    )
    cache_local_ttl_s: float = Field(
        5,
        gt=0,
        description="Seconds that a process with Redis believes its own cache.",
    )
    model: str = Field(
        "bundled",
        description="`bundled`, a Hub id with optional `@revision`, a folder or .pth.",
    )
    preprocessing: Literal["hf", "readme"] = Field(
        "hf",
        description="`hf`: as Hugging Face's processor; `readme`: as DINOv3's README.",
    )
    size: str = Field(
        "auto",
        description="Of the model's input: `224`, `512x768` (height x width),"
        " `short:512` or `long:512`; `auto`: as the preprocessing says.",
    )
    fit: Literal["auto", "squash", "letterbox", "crop", "round"] = Field(
        "auto",
        description="How a picture fills that size; `auto`: squash, or round for"
        " `short` and `long`.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where the model computes; `auto` takes CUDA if present."
    )
    engine: Literal["auto", "torch", "openvino"] = Field(
        "auto", description="What computes; `auto` takes the fastest that proves equal."
    )
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = Field(
        "auto", description="Of products; `auto` takes the fastest that proves equal."
    )
    calibration: Path | None = Field(
        None, description="Folder of pictures that int8 is made with; else samples."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(
        8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one."
    )
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="Comma-separated keys, each in clear or as `sha256:<hex>`.",
    )
    fetch_urls: bool = Field(
        False, description="Fetch https URLs that callers give instead of bytes."
    )
    fetch_timeout_s: float = Field(
        10, gt=0, description="Seconds that fetching one URL may take in all."
    )
    max_image_bytes: int = Field(
        32 * MIB, gt=0, description="Encoded bytes one image may have."
    )
    max_image_pixels: int = Field(
        64_000_000, gt=0, description="Pixels one image may have."
    )
    max_image_side_px: int = Field(
        16_384, gt=0, description="Pixels the longer side of an image may have."
    )
    max_body_bytes: int = Field(
        64 * MIB, gt=0, description="Bytes one request body may have."
    )
    max_held_bytes: int = Field(
        512 * MIB, gt=0, description="Bytes that all bodies in work may have together."
    )
    max_inputs: int = Field(
        64, gt=0, description="Images one embeddings or features request may hold."
    )
    max_batch_images: int = Field(
        16, gt=0, description="Images that share one forward at most."
    )
    max_patches: int = Field(
        4096, gt=0, description="Patches one image may become; 4096: 1024 x 1024."
    )
    max_request_patches: int = Field(
        65_536,
        gt=0,
        description="Patches the images of one features request may become together.",
    )
    max_waiting_images: int = Field(
        256, gt=0, description="Images that may wait before callers get 429."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="How much the log tells."
    )
    hf_token: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("DINOSERVE_HF_TOKEN", "HF_TOKEN"),
        description="Hugging Face token, for models whose licence must be accepted.",
    )

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(key.strip() for key in value.split(",") if key.strip())
        return value

    @field_validator("redis")
    @classmethod
    def _check_redis(cls, value: StoreUrl | None) -> StoreUrl | None:
        if value is None or _REDIS_URL.fullmatch(value.get_secret_value()):
            return value
        raise ValueError(
            "a Redis URL is redis://USER:PASSWORD@HOST:PORT/DATABASE, rediss:// for TLS"
            " or unix:///PATH; write @ : / ? # % in them as %40 %3A %2F %3F %23 %25"
        )

    @field_validator("documents")
    @classmethod
    def _check_documents(cls, value: StoreUrl) -> StoreUrl:
        url = value.get_secret_value()
        if url in {"sqlite:", "memory:"} or _MONGODB_URL.fullmatch(url):
            return value
        if url.startswith("mongodb"):
            raise ValueError(
                "a MongoDB URL is mongodb://USER:PASSWORD@HOST:PORT/DATABASE?OPTIONS;"
                " write @ : / ? # % in user and password as %40 %3A %2F %3F %23 %25"
            )
        raise ValueError("one of sqlite:, memory:, mongodb://…, mongodb+srv://…")


def key_digest(key: SecretStr) -> bytes:
    """Return the SHA-256 of an API key given in clear or as `sha256:<hex>`.

    Keys are long and random, so a plain digest is enough to keep them.

    Raises:
        StartUpError: a digest that is not 64 hex digits or is that of nothing, or a
            key that no header can carry.
    """
    text = key.get_secret_value()
    if not text.startswith(_HASHED_KEY):
        if not (text.isascii() and text.isprintable()):
            raise StartUpError("DINOSERVE_API_KEYS: a key has printable ASCII only.")
        return hashlib.sha256(text.encode()).digest()
    try:
        digest = bytes.fromhex(text.removeprefix(_HASHED_KEY))
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise StartUpError("DINOSERVE_API_KEYS: `sha256:` needs 64 hex digits.")
    if digest == hashlib.sha256(b"").digest():
        raise StartUpError("DINOSERVE_API_KEYS: this is the digest of an empty key.")
    return digest


def framing_of(settings: Settings, default: Framing, stride_px: int) -> Framing:
    """Return size and fit that the settings name, else those of `default`.

    Raises:
        StartUpError: no framing, sides that are no multiples of `stride_px`, or more
            patches than allowed.
    """
    size = default.size if settings.size == "auto" else settings.size
    fit = None if settings.fit == "auto" else settings.fit
    try:
        framing = read_framing(size, fit)
        square = lay_out(framing, 1, 1, stride_px)
    except InvalidInputError as error:
        name = str(error.extra["field"]).upper()
        raise StartUpError(f"DINOSERVE_{name}: {error.detail}") from error
    _check_patches(square, settings.max_patches)
    return framing


def _check_patches(square: Geometry, limit: int) -> None:
    patches = square.rows * square.columns
    if patches > limit:
        raise StartUpError(
            f"A square picture becomes {square.height} x {square.width} pixels,"
            f" {patches} patches; DINOSERVE_MAX_PATCHES is {limit}: raise it, or set"
            " a smaller DINOSERVE_SIZE."
        )
