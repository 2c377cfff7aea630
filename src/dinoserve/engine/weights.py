"""A model by name: the bundled one, a local folder, or a Hub repository."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import NamedTuple, TypeAlias, cast

import torch
from transformers import DINOv3ConvNextModel, DINOv3ViTModel
from transformers.utils import logging as transformers_logging

from dinoserve.engine.hub import HubAccess, download
from dinoserve.engine.model_folder import ModelFolder
from dinoserve.errors import ModelUnavailableError

Network: TypeAlias = DINOv3ViTModel | DINOv3ConvNextModel

BUNDLED = "bundled"
LOCAL_REVISION = "local"
BUNDLED_NOTE = (
    "The bundled weights are a seeded random initialisation of the DINOv3 ViT"
    " architecture: not trained, and not Meta's. They are good for trying the service"
    " and for finding near-exact copies only."
)
_NETWORKS: Mapping[str, type[Network]] = {
    "dinov3_vit": DINOv3ViTModel,
    "dinov3_convnext": DINOv3ConvNextModel,
}
_TENSORS_NAMED = 4


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A DINOv3 network in float32 on the CPU, and where it came from.

    Attributes:
        network: in evaluation mode, without gradients.
        folder: the files it was read from.
        name: Hub id, the folder's own name, or `bundled`.
        revision: exact commit on the Hub; `local` for files that have none.
        weights_sha256: see `ModelFolder.weights_sha256`.
        config_sha256: of the bytes of `config.json`.
        kind: `dinov3_vit` or `dinov3_convnext`.
        preprocessor: contents of `preprocessor_config.json`; empty without one.
        note: what an operator must know about these weights; empty if nothing.
        licence: the licence the weights come under, as far as known.
        stride_px: side of the square of pixels behind one patch token.
        prefix_tokens: tokens in front of the patches: the class token and registers.
        parameters: numbers in the network.
        dimension: numbers in a vector.
    """

    network: Network
    folder: Path
    name: str
    revision: str
    weights_sha256: str
    config_sha256: str
    kind: str
    preprocessor: Mapping[str, object]
    note: str
    licence: str
    stride_px: int
    prefix_tokens: int
    parameters: int
    dimension: int


class _Source(NamedTuple):
    path: Path
    name: str
    revision: str
    note: str
    licence: str


class _Geometry(NamedTuple):
    stride_px: int
    prefix_tokens: int
    dimension: int


def load_model(
    name: str,
    *,
    token: str | None = None,
    endpoint: str | None = None,
    cache: Path | None = None,
) -> LoadedModel:
    """Return the model of this name, downloading what is not there yet.

    Only safetensors are read, and no code of a repository is run. Weights of any
    stored precision are widened to float32.

    Args:
        name: `bundled`; a folder in Hugging Face layout (an existing one, or any path
            that starts with `.`, `/` or `~`); or a Hub id `organisation/name`, with
            `@revision` behind it for a branch, tag or commit.
        token: Hugging Face token, for gated repositories; None is anonymous.
        endpoint: base URL of another Hub; None is huggingface.co.
        cache: folder of downloads; None is the Hugging Face cache.

    Raises:
        ModelUnavailableError: which model, why, and what to do.
    """
    source = _find(name, HubAccess(token, endpoint, cache))
    folder = ModelFolder(source.path, name)
    kind = _checked_kind(folder)
    weights_sha256 = folder.weights_sha256()
    network = _read_network(folder, kind)
    return LoadedModel(
        network=network,
        folder=source.path,
        name=source.name,
        revision=source.revision,
        weights_sha256=weights_sha256,
        config_sha256=folder.config_sha256(),
        kind=kind,
        preprocessor=folder.preprocessor(),
        note=source.note,
        licence=source.licence,
        parameters=sum(tensor.numel() for tensor in network.parameters()),
        **_geometry(network)._asdict(),
    )


def _find(name: str, access: HubAccess) -> _Source:
    if name == BUNDLED:
        path = Path(str(resources.files("dinoserve"))) / "engine" / "bundled"
        return _Source(path, BUNDLED, LOCAL_REVISION, BUNDLED_NOTE, "Apache-2.0")
    path = Path(name).expanduser()
    if name and path.is_dir():
        own_name = path.resolve().name
        return _Source(path, own_name, LOCAL_REVISION, "", "see the model's folder")
    if path.is_file() or name.startswith((".", "/", "~")):
        raise ModelUnavailableError(
            f"{name}: no such folder; a model is a folder in Hugging Face layout.",
            model=name,
        )
    return _find_on_hub(name, access)


def _find_on_hub(name: str, access: HubAccess) -> _Source:
    repository, at, revision = name.partition("@")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository) or (at and not revision):
        raise ModelUnavailableError(
            f"{name}: neither `bundled`, nor a folder here, nor a Hub id"
            " (organisation/name, with @revision behind it to pin one).",
            model=name,
        )
    path = download(repository, revision or None, access)
    owner, _, model = repository.partition("/")
    of_meta = owner in {"facebook", "timm"} and "dinov3" in model
    licence = "DINOv3 License" if of_meta else "see the model's own page"
    return _Source(path, repository, path.name, "", licence)


def _checked_kind(folder: ModelFolder) -> str:
    kind = folder.config().get("model_type")
    if isinstance(kind, str) and kind in _NETWORKS:
        return kind
    raise folder.unavailable(
        f"config.json says model_type {json.dumps(kind)[:80]}; supported are"
        f" {' and '.join(_NETWORKS)}"
    )


def _read_network(folder: ModelFolder, kind: str) -> Network:
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        loaded: object = _NETWORKS[kind].from_pretrained(  # pyright: ignore[reportUnknownMemberType] - transformers leaves it untyped
            folder.path,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            # Said here, because a config.json may name a kernel to download instead.
            attn_implementation="sdpa" if kind == "dinov3_vit" else "eager",
            # The report names such tensors, the exception of this library does not.
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except Exception as error:  # a strange config.json can make it raise anything
        reason = str(error).strip().partition("\n")[0][:200]
        raise folder.unavailable(
            f"config.json does not describe a model that can be built ({reason})"
        ) from error
    network, report = cast("tuple[Network, Mapping[str, set[object]]]", loaded)
    _check_fit(folder, report)
    return network.eval().requires_grad_(requires_grad=False)


def _check_fit(folder: ModelFolder, report: Mapping[str, set[object]]) -> None:
    found = {
        "missing": report["missing_keys"],
        "not expected": report["unexpected_keys"],
        "of another shape": report["mismatched_keys"],
    }
    faults = [f"{_listed(names)} {what}" for what, names in found.items() if names]
    if faults:
        raise folder.unavailable(
            f"the tensors do not fit config.json: {'; '.join(faults)}"
        )


def _listed(names: set[object]) -> str:
    texts = sorted(map(str, names))
    more = len(texts) - _TENSORS_NAMED
    return ", ".join(texts[:_TENSORS_NAMED]) + (f" and {more} more" if more > 0 else "")


def _geometry(network: Network) -> _Geometry:
    if isinstance(network, DINOv3ViTModel):
        stem = network.embeddings.patch_embeddings
        registers = network.embeddings.register_tokens.shape[1]
        return _Geometry(stem.stride[0], 1 + registers, stem.out_channels)
    # A stem of stride 4, then every later stage halves (arXiv 2201.03545 §2.2).
    stages = len(network.model.stages)
    (width,) = network.layer_norm.normalized_shape
    return _Geometry(4 * 2 ** (stages - 1), 1, width)
