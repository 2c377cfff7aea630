"""DINOv3 as Meta publishes it: one `.pth` file with the tensors of the backbone.

It is read by PyTorch's restricted unpickler and converted without Meta's code.
Sources of names and hashes: `hubconf.py`, `dinov3/hub/backbones.py` and the README of
facebookresearch/dinov3 at 6876159, as facts; of what the tensors mean, transformers'
conversion scripts (see `architectures`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from dinoserve.engine.architectures import (
    PATCH_PX,
    PUBLISHED,
    ROPE_BASE,
    Architecture,
    ConvNeXt,
    ViT,
)
from dinoserve.engine.checkpoints import Checkpoint, Source
from dinoserve.engine.preprocess import LVD_MEAN, LVD_STD, SAT_MEAN, SAT_STD
from dinoserve.engine.pth import read_pth

PERIODS_NOTE = (
    "Rotary periods are computed in float32; Meta's own code uses those of the file,"
    " rounded to bfloat16, and its values differ by about 0.001."
)
NO_DATA_NOTE = (
    "Neither the file's name nor its tensors tell whether it was trained on LVD-1689M"
    " or SAT-493M: mean and standard deviation of LVD-1689M are used."
)
OTHER_SIZE_NOTE = "No architecture that Meta published has these sizes."
_STAGES = 4
_LVD, _SAT = "lvd1689m", "sat493m"
_HASHES: Mapping[str, tuple[str, str]] = {
    "08c60483": ("vits16", _LVD),
    "4057cbaa": ("vits16plus", _LVD),
    "73cec8be": ("vitb16", _LVD),
    "8aa4cbdd": ("vitl16", _LVD),
    "7c1da9a5": ("vith16plus", _LVD),
    "a955f4ea": ("vit7b16", _LVD),
    "eadcf0ff": ("vitl16", _SAT),
    "a6675841": ("vit7b16", _SAT),
    "21b726bb": ("convnext_tiny", _LVD),
    "296db49d": ("convnext_small", _LVD),
    "801f2ba9": ("convnext_base", _LVD),
    "61fa432d": ("convnext_large", _LVD),
}
_BLOCKS = (
    (r"^embeddings\.patch_embeddings", "patch_embed.proj"),
    (r"^embeddings\.register_tokens", "storage_tokens"),
    (r"^embeddings\.", ""),
    (r"^layer\.", "blocks."),
    (r"attention\.[qkv]_proj", "attn.qkv"),
    (r"attention\.o_proj", "attn.proj"),
    (r"layer_scale(\d)\.lambda1", r"ls\1.gamma"),
)
_MLP = (*_BLOCKS, (r"mlp\.up_proj", "mlp.fc1"), (r"mlp\.down_proj", "mlp.fc2"))
_SWIGLU = (
    *_BLOCKS,
    (r"mlp\.gate_proj", "mlp.w1"),
    (r"mlp\.up_proj", "mlp.w2"),
    (r"mlp\.down_proj", "mlp.w3"),
)
_CONVNEXT = (
    (r"^layer_norm", "norm"),
    (r"^stages\.(\d+)\.downsample_layers", r"downsample_layers.\1"),
    (r"^stages\.(\d+)\.layers", r"stages.\1"),
    (r"depthwise_conv", "dwconv"),
    (r"\.layer_norm", ".norm"),
    (r"pointwise_conv", "pwconv"),
)
_DROPPED_OF_VIT = {
    r"rope_embed\.periods": "computed in float32; checked to be those of base 100",
    r"blocks\.\d+\.attn\.qkv\.bias_mask": "takes the keys' bias off; checked to",
    r"local_cls_norm\.(weight|bias)": "for the small crops of training only",
}
_DROPPED_OF_CONVNEXT = {
    r"norms\.3\.(weight|bias)": "the final norm again; checked to be equal",
}
# bfloat16 keeps 8 bits, so rounding moves a number by at most 2^-9 of it.
_ROUNDING = 2**-8
_EUPE = (
    "its name says EUPE, a model of another family and another licence on the same"
    " architecture; DINOv3 alone is supported"
)


def read_meta(file: Path, name: str, sha256: str) -> Checkpoint:
    """Return the model of a checkpoint of Meta's: see `from_meta`.

    Args:
        file: the checkpoint.
        name: what the operator called the model; errors speak of it.
        sha256: digest of the file, in hex.

    Raises:
        ModelUnavailableError: the file cannot be read without running code, is
            damaged, or is no DINOv3 backbone.
    """
    return from_meta(read_pth(file, name), file.stem, sha256)


def from_meta(source: Source, stem: str, sha256: str) -> Checkpoint:
    """Return the model that tensors under Meta's names are.

    The architecture is that of the tensors; a file name such as
    `dinov3_vitl16_pretrain_sat493m-eadcf0ff` must agree with it.

    Args:
        source: the tensors.
        stem: the file's name without `.pth`.
        sha256: digest of the file, in hex; where its first eight digits are the hash
            that Meta gave a checkpoint, they tell which it is.

    Raises:
        ModelUnavailableError: they are no DINOv3 backbone, or name, hash and tensors
            contradict each other.
    """
    if "eupe" in stem.lower():
        raise source.unavailable(_EUPE)
    found = _found(source)
    architecture, data = _identified(source, found, stem, sha256)
    notes = (
        PERIODS_NOTE if isinstance(found, ViT) else "",
        "" if architecture else OTHER_SIZE_NOTE,
        "" if data else NO_DATA_NOTE,
    )
    mean, std = (SAT_MEAN, SAT_STD) if data == _SAT else (LVD_MEAN, LVD_STD)
    return Checkpoint(
        architecture=found,
        tensors=_converted(source, found),
        preprocessor={"image_mean": list(mean), "image_std": list(std)},
        note=" ".join(filter(None, notes)),
    )


def _found(source: Source) -> Architecture:
    if any(name.startswith("downsample_layers.") for name in source.tensors):
        return _convnext(source)
    return _vit(source)


def _vit(source: Source) -> ViT:
    names = source.tensors.keys()
    hidden, _, *patch = source.shape("patch_embed.proj.weight", 4)
    if patch != [PATCH_PX, PATCH_PX]:
        raise source.unavailable(
            f"its patches are {patch[0]} x {patch[1]} pixels, DINOv3's are"
            f" {PATCH_PX} x {PATCH_PX}; DINOv2 has 14 x 14"
        )
    swiglu = any(".mlp.w" in name for name in names)
    inner = f"blocks.0.mlp.{'w1' if swiglu else 'fc1'}.weight"
    return ViT(
        hidden=hidden,
        intermediate=source.shape(inner, 2)[0],
        layers=len(_indices(names, r"blocks\.(\d+)\.")),
        heads=_heads(source, hidden),
        swiglu=swiglu,
        qv_bias=any(name.endswith("attn.qkv.bias") for name in names),
    )


def _convnext(source: Source) -> ConvNeXt:
    stages = range(_STAGES)
    return ConvNeXt(
        widths=tuple(source.shape(f"stages.{n}.0.gamma", 1)[0] for n in stages),
        depths=tuple(
            len(_indices(source.tensors, rf"stages\.{n}\.(\d+)\.")) for n in stages
        ),
    )


def _indices(names: Iterable[str], pattern: str) -> set[str]:
    found = (re.match(pattern, name) for name in names)
    return {match[1] for match in found if match}


def _heads(source: Source, hidden: int) -> int:
    (count,) = source.shape("rope_embed.periods", 1)
    # A quarter of a head turns with the row, a quarter with the column, in pairs.
    head = 4 * count
    periods = source.tensors["rope_embed.periods"].float()
    expected = ROPE_BASE ** (torch.arange(count) / count)
    if hidden % head or not torch.allclose(periods, expected, rtol=_ROUNDING, atol=0):
        raise source.unavailable(
            "rope_embed.periods are not those of DINOv3, 100^(k/n) for k < n, with"
            " 4 n numbers in a head"
        )
    return hidden // head


class _Told(NamedTuple):
    """What one thing about the file says that it is."""

    by: str
    architecture: str | None = None
    data: str | None = None


def _told_by_name(stem: str) -> _Told:
    architecture = re.search(rf"dinov3_({'|'.join(PUBLISHED)})(?![a-z])", stem)
    data = re.search(f"{_LVD}|{_SAT}", stem)
    return _Told("its name", architecture and architecture[1], data and data[0])


def _told_by_hashes(stem: str, sha256: str) -> list[_Told]:
    hashes = {"its SHA-256": sha256[:8], "the hash in its name": stem[-8:]}
    return [_Told(by, *_HASHES[h]) for by, h in hashes.items() if h in _HASHES]


def _told_by_tensors(source: Source, found: Architecture) -> _Told:
    data = None
    if found == PUBLISHED["vitl16"]:
        # Of the two ViT-L, only that of SAT-493M was trained with a second norm.
        data = _SAT if "local_cls_norm.weight" in source.tensors else _LVD
    elif found != PUBLISHED["vit7b16"] and found in PUBLISHED.values():
        data = _LVD
    names = [name for name, sizes in PUBLISHED.items() if sizes == found]
    return _Told("its tensors", names[0] if names else None, data)


def _identified(
    source: Source, found: Architecture, stem: str, sha256: str
) -> tuple[str | None, str | None]:
    told = [
        _told_by_name(stem),
        *_told_by_hashes(stem, sha256),
        _told_by_tensors(source, found),
    ]
    architecture = _agreed(source, [(by, what) for by, what, _ in told])
    if architecture and PUBLISHED[architecture] != found:
        raise source.unavailable(
            f"its name says {architecture}, {PUBLISHED[architecture]}, but its tensors"
            f" are of {found}"
        )
    return architecture, _agreed(source, [(by, what) for by, _, what in told])


def _agreed(source: Source, claims: Sequence[tuple[str, str | None]]) -> str | None:
    said = {what: by for by, what in claims if what}
    if len(said) > 1:
        told = ", ".join(f"{what} by {by}" for what, by in said.items())
        raise source.unavailable(f"the file contradicts itself: it is {told}")
    return next(iter(said), None)


def _converted(source: Source, found: Architecture) -> dict[str, torch.Tensor]:
    shapes = found.shapes()
    if isinstance(found, ConvNeXt):
        _check_equal(source, "norm", "norms.3")
        return source.converted(shapes, _CONVNEXT, _DROPPED_OF_CONVNEXT)
    shapes["embeddings.mask_token"] = (1, found.hidden)
    renames = _SWIGLU if found.swiglu else _MLP
    tensors = source.converted(shapes, renames, _DROPPED_OF_VIT)
    _check_masks(source, found)
    tensors["embeddings.mask_token"].unsqueeze_(0)
    return tensors


def _check_equal(source: Source, norm: str, again: str) -> None:
    for part in ("weight", "bias"):
        copy = source.tensors.get(f"{again}.{part}")
        own = source.tensors.get(f"{norm}.{part}")
        if copy is not None and own is not None and not torch.equal(copy, own):
            raise source.unavailable(f"{again}.{part} differs from {norm}.{part}")


def _check_masks(source: Source, found: ViT) -> None:
    kept = torch.tensor([1.0, 0.0, 1.0]).repeat_interleave(found.hidden)
    for layer in range(found.layers):
        name = f"blocks.{layer}.attn.qkv.bias_mask"
        mask = source.tensors.get(name, kept).float()
        # Meta's own code makes it of NaN and relies on it being set later.
        if mask.shape != kept.shape or not torch.equal(
            torch.where(mask.isnan(), kept, mask), kept
        ):
            raise source.unavailable(
                f"{name} takes off something else than the bias of the keys"
            )
