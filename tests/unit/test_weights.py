import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import (
    load_file,  # pyright: ignore[reportUnknownVariableType] - a bare PathLike
    save_file,  # pyright: ignore[reportUnknownVariableType] - a bare PathLike
)
from transformers.utils import logging as transformers_logging

from dinoserve.engine.weights import load_model
from dinoserve.errors import ModelUnavailableError
from models import make_convnext, make_vit


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_vit(tmp_path_factory.mktemp("made") / "model")


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "model")


def _refusal(name: object) -> str:
    with pytest.raises(ModelUnavailableError) as caught:
        load_model(str(name))
    assert str(name) in caught.value.detail
    return caught.value.detail


def _change_config(folder: Path, **entries: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | entries))


def _change_tensors(folder: Path, **changes: torch.Tensor | None) -> None:
    path = folder / "model.safetensors"
    tensors: dict[str, torch.Tensor | None] = {**load_file(path), **changes}
    kept = {name: value for name, value in tensors.items() if value is not None}
    save_file(kept, path, metadata={"format": "pt"})


def test_a_folder_goes_by_its_own_name(folder: Path) -> None:
    model = load_model(str(folder))
    assert (model.name, model.revision) == ("model", "local")


def test_a_relative_folder_is_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert load_model("model").name == "model"


def test_a_folder_that_is_the_working_folder_goes_by_its_own_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert load_model(".").name == "model"


def test_a_convnext_is_told_from_a_vit(tmp_path: Path) -> None:
    model = load_model(str(make_convnext(tmp_path / "model")))
    assert (model.kind, model.stride_px, model.prefix_tokens, model.dimension) == (
        "dinov3_convnext",
        32,
        1,
        32,
    )


def test_the_network_is_float32_and_evaluates(folder: Path) -> None:
    network = load_model(str(folder)).network
    assert not network.training
    assert {value.dtype for value in network.parameters()} == {torch.float32}


def test_no_weight_keeps_a_gradient(folder: Path) -> None:
    network = load_model(str(folder)).network
    assert not any(value.requires_grad for value in network.parameters())


def test_rotary_frequencies_stay_exact_beside_half_precision_weights(
    folder: Path, tmp_path: Path
) -> None:
    half = make_vit(tmp_path / "half", dtype=torch.bfloat16)
    exact: Any = load_model(str(folder)).network
    loaded: Any = load_model(str(half)).network
    torch.testing.assert_close(
        loaded.rope_embeddings.inv_freq, exact.rope_embeddings.inv_freq, rtol=0, atol=0
    )


def test_the_weights_digest_is_that_of_the_file(folder: Path) -> None:
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert load_model(str(folder)).weights_sha256 == digest


def test_the_digest_of_shards_covers_every_shard(tmp_path: Path) -> None:
    folder = make_vit(tmp_path / "model", max_shard="100KB")
    shards = sorted(folder.glob("*.safetensors"))
    lines = [
        f"{shard.name} {hashlib.sha256(shard.read_bytes()).hexdigest()}\n"
        for shard in shards
    ]
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert len(shards) > 1
    assert load_model(str(folder)).weights_sha256 == expected


def test_shards_hold_the_same_weights_as_one_file(folder: Path, tmp_path: Path) -> None:
    sharded = make_vit(tmp_path / "sharded", max_shard="100KB")
    one = load_model(str(folder)).network.state_dict()
    many = load_model(str(sharded)).network.state_dict()
    torch.testing.assert_close(many, one, rtol=0, atol=0)


def test_the_config_digest_is_that_of_the_file(folder: Path) -> None:
    digest = hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()
    assert load_model(str(folder)).config_sha256 == digest


def test_a_folder_without_a_preprocessor_file_has_an_empty_one(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()
    assert load_model(str(folder)).preprocessor == {}


def test_loading_says_nothing(
    folder: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    transformers_logging.enable_progress_bar()
    transformers_logging.set_verbosity_info()
    load_model(str(folder))
    assert (capfd.readouterr().err, caplog.text) == ("", "")


def test_code_beside_the_weights_is_never_run(folder: Path) -> None:
    (folder / "evil.py").write_text("raise SystemExit('code of a model was run')")
    names = ("AutoConfig", "AutoModel", "AutoBackbone")
    _change_config(folder, auto_map=dict.fromkeys(names, "evil.Evil"))
    assert load_model(str(folder)).kind == "dinov3_vit"


def test_a_kernel_that_the_config_names_is_not_fetched(folder: Path) -> None:
    _change_config(folder, attn_implementation="somebody/kernel")
    network: Any = load_model(str(folder)).network
    assert network.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    "name", ["/no/such/folder", "./none.pth", "~/no-such-folder-here"]
)
def test_an_absent_folder_is_named(name: str) -> None:
    assert "no such folder" in _refusal(name)


def test_a_file_is_no_folder(folder: Path) -> None:
    assert "no such folder" in _refusal(folder / "model.safetensors")


def test_a_missing_config_is_named(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "config.json is missing" in _refusal(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_config_that_is_no_json_is_named(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    assert "config.json is not readable JSON" in _refusal(folder)


def test_a_config_that_is_no_object_is_named(folder: Path) -> None:
    (folder / "config.json").write_text("[]")
    assert "config.json is not a JSON object" in _refusal(folder)


@pytest.mark.parametrize("kind", ["dinov2", None, 3, ["dinov3_vit"]])
def test_another_kind_of_model_names_the_supported_ones(
    folder: Path, kind: object
) -> None:
    _change_config(folder, model_type=kind)
    assert "supported are dinov3_vit and dinov3_convnext" in _refusal(folder)


@pytest.mark.parametrize(
    "entries",
    [
        {"hidden_size": "wide"},
        {"num_attention_heads": 0},
        {"hidden_act": "none-such"},
        {"patch_size": 0},
        {"hidden_size": -1},
    ],
)
def test_a_config_that_describes_no_model_is_refused(
    folder: Path, entries: dict[str, object]
) -> None:
    _change_config(folder, **entries)
    assert "does not describe a model that can be built" in _refusal(folder)


def test_a_folder_without_weights_names_what_is_missing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "neither model.safetensors nor" in _refusal(folder)


def test_pickled_weights_are_refused_with_the_reason(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    detail = _refusal(folder)
    assert "pytorch_model.bin" in detail
    assert "a pickle can run any code" in detail


@pytest.mark.parametrize("kept", [0, 7, 500, -1])
def test_a_truncated_weight_file_is_named(folder: Path, kept: int) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    assert "model.safetensors is damaged or cut short" in _refusal(folder)


def test_a_pickle_posing_as_safetensors_is_named(folder: Path) -> None:
    torch.save({"a": torch.zeros(3)}, folder / "model.safetensors")
    assert "model.safetensors is damaged" in _refusal(folder)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = make_vit(tmp_path / "model", max_shard="100KB")
    shard = sorted(folder.glob("*.safetensors"))[1]
    shard.unlink()
    assert f"{shard.name} is missing" in _refusal(folder)


@pytest.mark.parametrize("index", [{}, {"weight_map": {}}, {"weight_map": [1]}])
def test_an_index_that_lists_nothing_is_refused(folder: Path, index: object) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "has no weight_map" in _refusal(folder)


def test_an_index_cannot_point_outside_the_folder(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    index = {"weight_map": {"norm.weight": "../outside.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "outside the folder" in _refusal(folder)


def test_a_missing_tensor_is_named(folder: Path) -> None:
    _change_tensors(folder, **{"norm.weight": None})
    assert "norm.weight missing" in _refusal(folder)


def test_an_unexpected_tensor_is_named(folder: Path) -> None:
    _change_tensors(folder, **{"head.weight": torch.zeros(3)})
    assert "head.weight not expected" in _refusal(folder)


def test_a_tensor_of_another_shape_is_named_with_both_shapes(folder: Path) -> None:
    _change_tensors(folder, **{"norm.weight": torch.zeros(63)})
    detail = _refusal(folder)
    assert "norm.weight" in detail
    assert "63" in detail
    assert "64" in detail


def test_a_long_list_of_faults_is_cut_short(folder: Path) -> None:
    _change_config(folder, num_hidden_layers=9)
    assert " more missing" in _refusal(folder)


def test_a_half_written_preprocessor_file_is_named(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text("{")
    assert "preprocessor_config.json is not readable JSON" in _refusal(folder)


def test_the_digest_that_is_asked_for_lets_the_model_in(folder: Path) -> None:
    digest = load_model(str(folder)).weights_sha256
    model = load_model(f"{folder}#sha256={digest.upper()}")
    assert (model.name, model.weights_sha256) == ("model", digest)


def test_another_digest_than_asked_for_is_refused_naming_both(folder: Path) -> None:
    digest = load_model(str(folder)).weights_sha256
    with pytest.raises(ModelUnavailableError) as caught:
        load_model(f"{folder}#sha256={'0' * 64}")
    assert digest in caught.value.detail
    assert "0" * 64 in caught.value.detail


@pytest.mark.parametrize("digest", ["", "abc", "g" * 64, "0" * 65])
def test_a_digest_that_is_none_is_refused(folder: Path, digest: str) -> None:
    assert "64 hex digits" in _refusal(f"{folder}#sha256={digest}")
