"""What is refused of checkpoints in other layouts, and what the refusal names."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import (
    save_file,  # pyright: ignore[reportUnknownVariableType] - a bare PathLike
)

from checkpoints import (
    SAT,
    declare_sizes,
    meta_tensors,
    tensors_of,
    timm_tensors,
    write_meta,
    write_timm,
)
from dinoserve.engine.checkpoint_meta import from_meta
from dinoserve.engine.checkpoint_timm import from_timm
from dinoserve.engine.checkpoints import Source
from dinoserve.engine.weights import load_model
from dinoserve.errors import ModelUnavailableError
from models import make_convnext, make_vit

_DROPPED = ("bias_mask", "local_cls_norm", "norms.3")
# A wrong shape of these means other sizes, which all other tensors then contradict.
_TELL_SIZES = ("patch_embed.proj.weight", "blocks.0.mlp.fc1.weight")
_TIMM = {
    "architecture": "vit_small_patch16_dinov3_qkvb",
    "pretrained_cfg": {
        "tag": "lvd1689m",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
    "model_args": {"embed_dim": 128, "depth": 2, "num_heads": 2},
}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_vit(tmp_path_factory.mktemp("made") / "model", hidden=128)


@pytest.fixture(scope="session")
def convnext(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_convnext(tmp_path_factory.mktemp("convnext") / "model")


@pytest.fixture
def file(made: Path, tmp_path: Path) -> Path:
    return write_meta(made, tmp_path / "own.pth", local_norm=True)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    name = "vit_small_patch16_dinov3_qkvb.lvd1689m"
    timm = write_timm(made, tmp_path / "timm", name)
    return declare_sizes(timm, embed_dim=128, depth=2, num_heads=2)


def _refusal(name: object) -> str:
    with pytest.raises(ModelUnavailableError) as caught:
        load_model(str(name))
    assert str(name) in caught.value.detail
    return caught.value.detail


def _refusal_of_meta(tensors: Mapping[str, torch.Tensor]) -> str:
    with pytest.raises(ModelUnavailableError) as caught:
        from_meta(Source("own.pth", tensors), "own", "0" * 64)
    return caught.value.detail


def _refusal_of_timm(tensors: Mapping[str, torch.Tensor]) -> str:
    with pytest.raises(ModelUnavailableError) as caught:
        from_timm(Source("timm", tensors), _TIMM)
    return caught.value.detail


def _without(tensors: Mapping[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {other: tensors[other] for other in tensors if other != name}


def _misshapen(
    tensors: Mapping[str, torch.Tensor], name: str
) -> dict[str, torch.Tensor]:
    return {**tensors, name: torch.cat([tensors[name], tensors[name][:1]])}


def _change_file(file: Path, **changes: Any) -> None:
    torch.save({**torch.load(file, weights_only=True), **changes}, file)


def _change_config(folder: Path, **entries: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | entries))


def test_any_tensor_that_a_vit_of_metas_lacks_is_named(made: Path) -> None:
    tensors = meta_tensors(tensors_of(made))
    needed = [name for name in tensors if not name.endswith(_DROPPED)]
    silent = [n for n in needed if n not in _refusal_of_meta(_without(tensors, n))]
    assert silent == []


def test_any_tensor_that_a_convnext_of_metas_lacks_is_named(convnext: Path) -> None:
    tensors = meta_tensors(tensors_of(convnext))
    needed = [name for name in tensors if not name.startswith(_DROPPED)]
    silent = [n for n in needed if n not in _refusal_of_meta(_without(tensors, n))]
    assert silent == []


def test_any_tensor_that_a_vit_of_timms_lacks_is_named(made: Path) -> None:
    tensors = timm_tensors(tensors_of(made))
    silent = [n for n in tensors if n not in _refusal_of_timm(_without(tensors, n))]
    assert silent == []


def test_any_tensor_of_metas_that_has_another_shape_is_named(made: Path) -> None:
    tensors = meta_tensors(tensors_of(made))
    told = [name for name in tensors if name not in _TELL_SIZES]
    silent = [n for n in told if n not in _refusal_of_meta(_misshapen(tensors, n))]
    assert silent == []


@pytest.mark.parametrize("name", _TELL_SIZES)
def test_a_tensor_that_tells_a_size_has_the_others_against_it(
    made: Path, name: str
) -> None:
    tensors = meta_tensors(tensors_of(made))
    detail = _refusal_of_meta(_misshapen(tensors, name))
    assert "of another shape" in detail or "rope_embed.periods" in detail


def test_any_tensor_of_timms_that_has_another_shape_is_named(made: Path) -> None:
    tensors = timm_tensors(tensors_of(made))
    silent = [n for n in tensors if n not in _refusal_of_timm(_misshapen(tensors, n))]
    assert silent == []


def test_a_classifier_on_top_of_metas_is_named(file: Path) -> None:
    _change_file(file, **{"head.weight": torch.zeros(1000, 128)})
    assert "head.weight not expected" in _refusal(file)


def test_a_classifier_on_top_of_timms_is_named(made: Path, folder: Path) -> None:
    tensors = timm_tensors(tensors_of(made)) | {"head.weight": torch.zeros(10, 128)}
    save_file(tensors, folder / "model.safetensors")
    assert "head.weight not expected" in _refusal(folder)


def test_a_file_of_a_head_alone_says_what_it_holds(tmp_path: Path) -> None:
    torch.save({"linear_head.weight": torch.zeros(10, 128)}, tmp_path / "head.pth")
    detail = _refusal(tmp_path / "head.pth")
    assert "no DINOv3 backbone" in detail
    assert "linear_head.weight" in detail


def test_integers_for_weights_are_named(file: Path) -> None:
    _change_file(file, **{"norm.weight": torch.ones(128, dtype=torch.int8)})
    assert "norm.weight not of floating-point numbers" in _refusal(file)


def test_a_vit_of_dinov2_is_told_by_its_patches(file: Path) -> None:
    weight = torch.zeros(128, 3, 14, 14)
    _change_file(file, **{"patch_embed.proj.weight": weight})
    assert "DINOv2 has 14 x 14" in _refusal(file)


def test_rotary_periods_of_another_base_are_refused(file: Path) -> None:
    periods = 10_000 ** (torch.arange(16) / 16)
    _change_file(file, **{"rope_embed.periods": periods})
    assert "rope_embed.periods are not those of DINOv3" in _refusal(file)


def test_a_mask_that_keeps_the_bias_of_the_keys_is_refused(file: Path) -> None:
    name = "blocks.1.attn.qkv.bias_mask"
    _change_file(file, **{name: torch.ones(384)})
    assert f"{name} takes off something else" in _refusal(file)


def test_a_second_final_norm_that_differs_is_refused(
    convnext: Path, tmp_path: Path
) -> None:
    file = write_meta(convnext, tmp_path / "own.pth")
    _change_file(file, **{"norms.3.bias": torch.ones(32)})
    assert "norms.3.bias differs from norm.bias" in _refusal(file)


@pytest.mark.parametrize("name", ["EUPE-ViT-S.pt", "eupe_vits16.pth"])
def test_a_model_of_eupe_is_told_by_its_name(
    made: Path, tmp_path: Path, name: str
) -> None:
    assert "its name says EUPE" in _refusal(write_meta(made, tmp_path / name))


@pytest.mark.parametrize("kept", [0, 7, 500, -1, -500])
def test_a_checkpoint_that_is_cut_short_is_refused(file: Path, kept: int) -> None:
    file.write_bytes(file.read_bytes()[:kept])
    assert "own.pth is damaged" in _refusal(file)


def test_a_file_of_text_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "own.pth").write_text("https://example.org/login")
    assert "no checkpoint in PyTorch's format" in _refusal(tmp_path / "own.pth")


class _Evil:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._path),)


def test_code_in_a_checkpoint_is_named_and_never_run(
    file: Path, tmp_path: Path
) -> None:
    _change_file(file, evil=_Evil(tmp_path / "was-run"))
    detail = _refusal(file)
    assert "posix.mkdir" in detail
    assert "can run any code" in detail
    assert not (tmp_path / "was-run").exists()


def test_code_in_an_old_pickle_is_never_run(tmp_path: Path) -> None:
    file = tmp_path / "own.pth"
    content = {"evil": _Evil(tmp_path / "was-run")}
    torch.save(content, file, _use_new_zipfile_serialization=False)
    assert "no checkpoint in PyTorch's format" in _refusal(file)
    assert not (tmp_path / "was-run").exists()


def test_a_list_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save([torch.zeros(3)], tmp_path / "own.pth")
    assert "a list, not tensors by name" in _refusal(tmp_path / "own.pth")


def test_a_checkpoint_of_training_is_told_by_what_it_holds(
    made: Path, tmp_path: Path
) -> None:
    content = {"teacher": meta_tensors(tensors_of(made)), "iteration": 3}
    torch.save(content, tmp_path / "own.pth")
    assert "what it holds as teacher is no" in _refusal(tmp_path / "own.pth")


@pytest.mark.parametrize(
    ("architecture", "tag"),
    [
        ("vit_small_patch14_dinov2", "lvd142m"),
        ("vit_tiny_patch16_dinov3_qkvb", "eupe_lvd1689m"),
        ("vit_small_patch16_dinov3_qkvb", "eupe_lvd1689m"),
        ("convnext_tiny", "fb_in22k"),
        ("convnext_tiny", "eupe_lvd1689m"),
        (["vit_small_patch16_dinov3"], "lvd1689m"),
        (None, None),
    ],
)
def test_another_model_of_timms_is_told_by_its_name(
    folder: Path, architecture: object, tag: object
) -> None:
    _change_config(folder, architecture=architecture, pretrained_cfg={"tag": tag})
    assert "which is no DINOv3 model" in _refusal(folder)


@pytest.mark.parametrize(
    "sizes", [[1], {"img_size": 512}, {"depth": "2"}, {"depth": -1}, {"num_heads": 5}]
)
def test_arguments_of_timms_that_are_not_supported_are_shown(
    folder: Path, sizes: object
) -> None:
    _change_config(folder, model_args=sizes)
    assert "config.json has model_args = " in _refusal(folder)


def test_timms_constants_must_be_there(folder: Path) -> None:
    _change_config(folder, pretrained_cfg={"tag": "lvd1689m"})
    assert "no pretrained_cfg with mean and std" in _refusal(folder)


def test_constants_of_satellites_under_a_tag_of_lvd_are_refused(folder: Path) -> None:
    _change_config(folder, pretrained_cfg={"tag": "lvd1689m", **SAT})
    assert "not those of lvd1689m" in _refusal(folder)


def test_a_damaged_file_in_a_folder_of_timms_is_named(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    assert "model.safetensors is damaged" in _refusal(folder)


def test_a_checkpoint_that_the_disk_does_not_give_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.pth").symlink_to("/proc/self/mem")
    assert "own.pth cannot be read" in _refusal(tmp_path / "own.pth")
