"""Settings: read once from the environment and `.env`, by nothing else."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from dinoserve.setting_values import (
    ContentText,
    DocumentsUrl,
    EngineUrl,
    GraphUrl,
    IndexText,
    ObjectsUrl,
    PathragUrl,
    QualityList,
    QueueUrl,
    RedisUrl,
    SideList,
    StoreUrl,
    ThresholdList,
)

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
    graph: GraphUrl = Field(
        StoreUrl("documents"),
        description="Where walks along relations are read: `documents`, where they are"
        " kept, or `arangodb://…/database`, which follows it.",
    )
    pathrag: PathragUrl | None = Field(
        None,
        description="PathRAG server that is told of relations and answers questions,"
        " e.g. `http://pathrag:5000`.",
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
    index: IndexText = Field(
        "auto",
        description="Where vectors are searched: `memory`, `mongodb` or"
        " `qdrant+http://…`; `auto` takes MongoDB's vector search if there is one.",
    )
    index_key: SecretStr | None = Field(None, description="API key of that Qdrant.")
    index_graph_from: int = Field(
        100_000,
        gt=0,
        description="Vectors of a collection from which on a graph is searched; below,"
        " every vector is compared.",
    )
    queue: QueueUrl = Field(
        StoreUrl("embedded"),
        description="What brings jobs to workers: `embedded`, `memory:`, `redis://…`,"
        " `rediss://…`, `unix://…`.",
    )
    job_slots: int = Field(
        2,
        ge=0,
        le=64,
        description="Chunks of jobs that the server works on at a time; 0: workers do.",
    )
    job_lease_s: float = Field(
        15,
        ge=1,
        description="Seconds until a worker that tells nothing is taken for dead.",
    )
    jobs_days: float = Field(
        30, gt=0, description="Days that jobs which are over are kept, with results."
    )
    max_waiting_chunks: int = Field(
        10_000,
        gt=0,
        description="Chunks of one kind that wait before further jobs get 429.",
    )
    model: str = Field(
        "bundled",
        description="`bundled`, a Hub id with optional `@revision`, a folder or .pth.",
    )
    engine_url: EngineUrl | None = Field(
        None,
        description="Another dinoserve whose model computes instead, e.g."
        " `https://gpu-box:8000`.",
    )
    engine_key: SecretStr | None = Field(None, description="API key of that one.")
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
    content: ContentText = Field(
        "proxy",
        description="Who sends originals: `proxy`: this server; `redirect`: the bucket,"
        " by signed URLs; or an https URL that their keys are below.",
    )
    rendition_sizes: SideList = Field(
        "64,128,256,320,512,640,768,1024,1280,1600,2048",
        description="Pixels that a side of a rendition may have without a signed link.",
    )
    rendition_qualities: QualityList = Field(
        "40,60,75,80,90",
        description="Qualities that a rendition may have without a signed link.",
    )
    quality_thresholds: ThresholdList = Field(
        "",
        description="Where issues of quality begin, if not as usual, such as"
        " `dark=0.4,greyscale=off`; a request may say otherwise.",
    )
    max_waiting_renditions: int = Field(
        64, gt=0, description="Renditions that may wait before callers get 429."
    )
    ingest_folders: Annotated[tuple[Path, ...], NoDecode] = Field(
        (),
        description="Comma-separated folders of this machine that jobs may take images"
        " from; none: they may not.",
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
        512 * MIB, gt=0, description="Bytes of all bodies in work that are in memory."
    )
    max_spooled_bytes: int = Field(
        8192 * MIB,
        gt=0,
        description="Bytes of all uploads in work that are on the disk (TMPDIR).",
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
    collect_hours: float = Field(
        24,
        ge=0,
        description="Hours between two looks for bytes that belong to no asset; 0:"
        " never.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="How much the log tells."
    )
    hf_token: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("DINOSERVE_HF_TOKEN", "HF_TOKEN"),
        description="Hugging Face token, for models whose licence must be accepted.",
    )

    @field_validator("api_keys", "ingest_folders", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(one.strip() for one in value.split(",") if one.strip())
        return value
