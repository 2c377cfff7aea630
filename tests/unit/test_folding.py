"""The folded network gives the tokens of the network that it was folded from."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dinoserve.engine.folding import folded
from dinoserve.engine.network import Network
from dinoserve.engine.weights import load_model
from models import make_convnext, make_vit

MODELS: dict[str, Callable[[Path], Path]] = {
    "mlp": make_vit,
    "swiglu": partial(make_vit, swiglu=True, intermediate=96),
    "no-bias": partial(make_vit, hidden=256, swiglu=True, qv_bias=False),
    "convnext": make_convnext,
}
SIZES = [(224, 224), (96, 160)]


@pytest.fixture(params=MODELS)
def network(request: pytest.FixtureRequest, tmp_path: Path) -> Network:
    return load_model(str(MODELS[request.param](tmp_path / "model"))).network


def pixels(height: int, width: int) -> Tensor:
    noise = torch.Generator().manual_seed(0)
    return torch.randn(3, 3, height, width, generator=noise)


def tokens_of(network: Network, given: Tensor) -> Tensor:
    with torch.inference_mode():
        return network(given).last_hidden_state


def folded_tokens(network: Network, given: Tensor, dtype: torch.dtype) -> Tensor:
    lean = folded(network, dtype)
    with torch.inference_mode():
        return lean(given, *lean.tables(*given.shape[2:]))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_folding_changes_no_token(network: Network, height: int, width: int) -> None:
    given = pixels(height, width)
    torch.testing.assert_close(
        folded_tokens(network, given, torch.float32),
        tokens_of(network, given),
        rtol=0,
        atol=1e-5,
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_the_direction_of_every_token(
    network: Network, dtype: torch.dtype
) -> None:
    given = pixels(224, 224)
    ours = folded_tokens(network, given, dtype)
    theirs = tokens_of(network, given)
    assert torch.cosine_similarity(ours, theirs, dim=-1).min() >= 0.999


def test_tokens_of_a_half_precision_network_are_float32(network: Network) -> None:
    ours = folded_tokens(network, pixels(96, 96), torch.bfloat16)
    assert ours.dtype == torch.float32


def test_folding_leaves_the_network_as_it_is(network: Network) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded(network, torch.bfloat16)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_a_folded_network_shares_no_weight_with_its_origin(network: Network) -> None:
    ours = {value.data_ptr() for value in folded(network, torch.float32).parameters()}
    assert not ours & {value.data_ptr() for value in network.parameters()}


def test_rotary_frequencies_are_never_rounded(tmp_path: Path) -> None:
    network = load_model(str(make_vit(tmp_path / "model"))).network
    exact, half = (
        folded(network, dtype).tables(96, 160)
        for dtype in (torch.float32, torch.bfloat16)
    )
    for one, other in zip(exact, half, strict=True):
        assert other.dtype == torch.float32
        torch.testing.assert_close(other, one, rtol=0, atol=0)
