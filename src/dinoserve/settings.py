"""Settings: read once from the environment and `.env`, by nothing else."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from dinoserve.setting_values import DocumentsUrl, ObjectsUrl, RedisUrl, StoreUrl

MIB = 1024 * 1024


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
    documents: DocumentsUrl = Field(
        StoreUrl("sqlite:"),
        description="Where records and vectors live: `sqlite:`, `memory:` or"
        " `mongodb://…`.",
    )
    objects: ObjectsUrl = Field(
        "file:",
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
    redis: RedisUrl | None = Field(
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
    link_key: SecretStr | None = Field(
        None,
        description="Base64 of 32 bytes that links are signed with, the same on every"
        " server; else one is made and kept in the data folder.",
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
