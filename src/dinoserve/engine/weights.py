"""A model by name: the bundled one, a folder, a checkpoint of Meta's, or the Hub."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from dinoserve.engine.checkpoint_meta import read_meta
from dinoserve.engine.checkpoint_timm import is_timm, read_timm
from dinoserve.engine.checkpoints import Checkpoint
from dinoserve.engine.hub import HubAccess, download
from dinoserve.engine.model_folder import ModelFolder, file_sha256
from dinoserve.engine.network import (
    NETWORKS,
    Network,
    make_network,
    read_network,
    token_layout,
)
from dinoserve.errors import ModelUnavailableError

BUNDLED = "bundled"
LOCAL_REVISION = "local"
BUNDLED_NOTE = (
    "The bundled weights are a seeded random initialisation of the DINOv3 ViT"
    " architecture: not trained, and not Meta's. They are good for trying the service"
    " and for finding near-exact copies only."
)
_CHECKPOINTS = {".pth", ".pt"}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A DINOv3 network in float32 on the CPU, and where it came from.

    Attributes:
        network: in evaluation mode, without gradients.
        folder: where the files lie that it was read from.
        name: Hub id, the folder's own name, the `.pth` file's without its ending, or
            `bundled`.
        revision: exact commit on the Hub; `local` for files that have none.
        weights_sha256: of the files as they are: see `ModelFolder.weights_sha256`.
        config_sha256: of the bytes of `config.json`; of other layouts, of the
            configuration that was made of them, as JSON with sorted keys.
        kind: `dinov3_vit` or `dinov3_convnext`.
        preprocessor: contents of `preprocessor_config.json`, empty without one; of
            other layouts, mean and standard deviation.
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


class _Read(NamedTuple):
    network: Network
    kind: str
    config_sha256: str
    preprocessor: Mapping[str, object]
    note: str


def load_model(
    name: str,
    *,
    token: str | None = None,
    endpoint: str | None = None,
    cache: Path | None = None,
) -> LoadedModel:
    """Return the model of this name, downloading what is not there yet.

    Only safetensors are read, and of Meta's checkpoints the tensors; no code of a
    repository is run. Weights of any stored precision are widened to float32.

    Args:
        name: `bundled`; a folder in Hugging Face's or timm's layout or a `.pth` file of
            Meta's (existing ones, or any path that starts with `.`, `/` or `~`); or a
            Hub id `organisation/name`, with `@revision` behind it for a branch, tag or
            commit. `#sha256=` and 64 hex digits behind all that are what
            `weights_sha256` must be.
        token: Hugging Face token, for gated repositories; None is anonymous.
        endpoint: base URL of another Hub; None is huggingface.co.
        cache: folder of downloads; None is the Hugging Face cache.

    Raises:
        ModelUnavailableError: which model, why, and what to do.
    """
    name, expected = _split_digest(name)
    source = _find(name, HubAccess(token, endpoint, cache))
    is_file = source.path.is_file()
    folder = ModelFolder(source.path.parent if is_file else source.path, name)
    found = _digest(folder, source.path) if is_file else folder.weights_sha256()
    if expected not in {None, found}:
        raise folder.unavailable(
            f"the weights have SHA-256 {found}, not the {expected} that is asked for"
        )
    read = _read_file(source.path, name, found) if is_file else _read_folder(folder)
    return LoadedModel(
        network=read.network,
        folder=folder.path,
        name=source.name,
        revision=source.revision,
        weights_sha256=found,
        config_sha256=read.config_sha256,
        kind=read.kind,
        preprocessor=read.preprocessor,
        note=source.note or read.note,
        licence=source.licence,
        parameters=sum(tensor.numel() for tensor in read.network.parameters()),
        **token_layout(read.network)._asdict(),
    )


def _digest(folder: ModelFolder, file: Path) -> str:
    try:
        return file_sha256(file)
    except OSError as error:
        raise folder.unavailable(
            f"{file.name} cannot be read ({error.strerror})"
        ) from error


def _split_digest(name: str) -> tuple[str, str | None]:
    model, at, digest = name.partition("#sha256=")
    if at and not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        raise ModelUnavailableError(
            f"{name}: #sha256= is followed by 64 hex digits.", model=name
        )
    return model, digest.lower() or None


def _find(name: str, access: HubAccess) -> _Source:
    if name == BUNDLED:
        path = Path(str(resources.files("dinoserve"))) / "engine" / "bundled"
        return _Source(path, BUNDLED, LOCAL_REVISION, BUNDLED_NOTE, "Apache-2.0")
    path = Path(name).expanduser()
    if name and path.is_dir():
        own_name = path.resolve().name
        return _Source(path, own_name, LOCAL_REVISION, "", "see the model's folder")
    if path.is_file() and path.suffix in _CHECKPOINTS:
        of_meta = path.name.startswith("dinov3_")
        licence = "DINOv3 License" if of_meta else "see where the file comes from"
        return _Source(path, path.stem, LOCAL_REVISION, "", licence)
    if path.is_file() or name.startswith((".", "/", "~")):
        raise ModelUnavailableError(
            f"{name}: no such folder or .pth file; a model is a folder in Hugging"
            " Face's or timm's layout, or a .pth file of Meta's.",
            model=name,
        )
    return _find_on_hub(name, access)


def _find_on_hub(name: str, access: HubAccess) -> _Source:
    repository, at, revision = name.partition("@")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository) or (at and not revision):
        raise ModelUnavailableError(
            f"{name}: neither `bundled`, nor a folder here, nor a Hub id"
            " (organisation/name, with @revision behind it to pin one), nor a .pth"
            " file here.",
            model=name,
        )
    path = download(repository, revision or None, access)
    owner, _, model = repository.partition("/")
    of_meta = owner in {"facebook", "timm"} and "dinov3" in model
    licence = "DINOv3 License" if of_meta else "see the model's own page"
    return _Source(path, repository, path.name, "", licence)


def _read_file(file: Path, name: str, sha256: str) -> _Read:
    return _built(ModelFolder(file.parent, name), read_meta(file, name, sha256))


def _read_folder(folder: ModelFolder) -> _Read:
    config = folder.config()
    if is_timm(config):
        return _built(folder, read_timm(folder))
    kind = _checked_kind(folder, config)
    return _Read(
        network=read_network(folder, kind),
        kind=kind,
        config_sha256=folder.config_sha256(),
        preprocessor=folder.preprocessor(),
        note="",
    )


def _built(folder: ModelFolder, checkpoint: Checkpoint) -> _Read:
    kind, config = checkpoint.architecture.kind, checkpoint.architecture.config()
    canonical = json.dumps({**config, "model_type": kind}, sort_keys=True)
    return _Read(
        network=make_network(folder, checkpoint.architecture, checkpoint.tensors),
        kind=kind,
        config_sha256=hashlib.sha256(canonical.encode()).hexdigest(),
        preprocessor=checkpoint.preprocessor,
        note=checkpoint.note,
    )


def _checked_kind(folder: ModelFolder, config: Mapping[str, object]) -> str:
    kind = config.get("model_type")
    if isinstance(kind, str) and kind in NETWORKS:
        return kind
    raise folder.unavailable(
        f"config.json says model_type {json.dumps(kind)[:80]}; supported are"
        f" {' and '.join(NETWORKS)}"
    )
