"""Settings: read once from the environment and `.env`, by nothing else."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

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
    )

    data: Path = Field(
        Path("var"), description="Folder that every embedded default lives in."
    )
    documents: Literal["sqlite:", "memory:"] = Field(
        "sqlite:", description="Where records and vectors live."
    )
    objects: Literal["file:", "memory:"] = Field(
        "file:", description="Where the originals live."
    )
    model: str = Field(
        "bundled",
        description="`bundled`, a Hub id with optional `@revision`, a folder or .pth.",
    )
    preprocessing: Literal["hf", "readme"] = Field(
        "hf",
        description="`hf`: as Hugging Face's processor; `readme`: as DINOv3's README.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where the model computes; `auto` takes CUDA if present."
    )
    engine: Literal["auto", "torch", "openvino"] = Field(
        "auto", description="What computes; `auto` takes the fastest that proves equal."
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="Of products; `auto` takes the fastest that proves equal."
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
        64, gt=0, description="Images one embeddings request may hold."
    )
    max_batch_images: int = Field(
        16, gt=0, description="Images that share one forward at most."
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
