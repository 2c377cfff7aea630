"""Published numbers against real weights, for those who have them.

Values: of ViT-S and ConvNeXt-T from transformers' own tests
(`tests/models/dinov3_vit/test_modeling_dinov3_vit.py` at 01596202 and
`tests/models/dinov3_convnext/test_modeling_dinov3_convnext.py` at 08ace741, to 1e-4);
of the others from its conversion scripts (`convert_dinov3_vit_to_hf.py` at a77460f2
and `convert_dinov3_convnext_to_hf.py` at 13529f19, to 1e-3). Picture: COCO val2017
000000039769, 224 x 224, with the LVD constants for the SAT models too.
"""

import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from dinoserve.domain.framing import Framing
from dinoserve.engine.preprocess import LVD_MEAN, LVD_STD, Preprocessing
from dinoserve.engine.torch_forward import TorchForward
from dinoserve.engine.weights import LoadedModel, load_model
from shown import shown

pytestmark = pytest.mark.needs("real-weights")


class Golden(NamedTuple):
    """The first five numbers of class token and first patch, and how exact they are."""

    name: str
    class_token: tuple[float, ...]
    patch: tuple[float, ...]
    tolerance: float = 1e-3


GOLDEN = (
    Golden(
        "dinov3-vits16-pretrain-lvd1689m",
        (0.4637, -0.4160, 0.4086, -0.1265, -0.2865),
        (-0.0386, -0.2509, -0.0161, -0.4556, 0.5716),
        1e-4,
    ),
    Golden(
        "dinov3-vits16plus-pretrain-lvd1689m",
        (-0.471349, -1.365778, -0.317983, 0.377219, -0.769085),
        (0.144551, -0.388117, -0.393433, -0.157695, -0.600380),
    ),
    Golden(
        "dinov3-vitb16-pretrain-lvd1689m",
        (1.034643, -0.180609, -0.341018, -0.066376, -0.011383),
        (-0.082523, -0.456272, -0.728029, -0.430680, -0.152880),
    ),
    Golden(
        "dinov3-vitl16-pretrain-lvd1689m",
        (0.484527, -0.582214, 0.480636, 0.592040, 0.945166),
        (-0.211367, -0.490863, -0.257131, 0.101763, 0.154511),
    ),
    Golden(
        "dinov3-vith16plus-pretrain-lvd1689m",
        (-0.064575, -0.148866, -0.621524, 0.634878, 0.152695),
        (-0.093817, 0.287407, -0.050036, 0.428043, 0.094561),
    ),
    Golden(
        "dinov3-vit7b16-pretrain-lvd1689m",
        (0.275439, -0.261353, 0.067772, 0.049936, -0.158747),
        (0.044442, -0.052542, 0.070777, -0.065111, -0.026546),
    ),
    Golden(
        "dinov3-vitl16-pretrain-sat493m",
        (-0.33235, 0.34052, -0.22087, 0.21434, 0.09003),
        (0.18488, 0.30309, -0.20689, 0.12848, 0.06207),
    ),
    Golden(
        "dinov3-vit7b16-pretrain-sat493m",
        (-0.19779, 0.11819, -0.00581, -0.21055, -0.03971),
        (-0.12423, 0.07879, -0.10057, 0.02835, -0.11727),
    ),
    Golden(
        "dinov3-convnext-tiny-pretrain-lvd1689m",
        (-6.3721, 1.3008, 2.0743, -0.0800, 0.6072),
        (0.4905, -3.7135, 1.8485, -1.0403, -1.0908),
        1e-4,
    ),
    Golden(
        "dinov3-convnext-small-pretrain-lvd1689m",
        (-0.903914, 1.412183, 0.287465, 0.175296, -2.397940),
        (-1.081114, 0.637362, 3.748765, 0.170179, 1.445153),
    ),
    Golden(
        "dinov3-convnext-base-pretrain-lvd1689m",
        (0.155366, -0.378771, -0.735157, -2.818718, 0.015095),
        (3.039118, 0.778155, -1.961322, -1.607147, -2.411941),
    ),
    Golden(
        "dinov3-convnext-large-pretrain-lvd1689m",
        (-2.219094, -0.594451, -2.300294, -0.957415, -0.520473),
        (-1.477349, -0.217038, -3.128137, 0.418962, 0.334949),
    ),
)


class Outcome(NamedTuple):
    """What this service makes of the picture: every token, and the vector."""

    tokens: NDArray[np.float32]
    prefix_tokens: int
    vector: NDArray[np.float32]


@cache
def _picture() -> NDArray[np.uint8]:
    place = os.environ.get("DINOSERVE_TEST_COCO_IMAGE")
    if not place:
        pytest.fail("Set DINOSERVE_TEST_COCO_IMAGE to COCO's 000000039769.")
    with Image.open(place) as image:
        return np.asarray(image.convert("RGB"))


@cache
def _outcome(name: str) -> Outcome:
    folder = Path(os.environ["DINOSERVE_TEST_WEIGHTS"]) / name
    if not folder.is_dir():
        pytest.skip(f"not run: needs real-weights: no folder {name} among them")
    return _compute(load_model(str(folder)))


def _compute(model: LoadedModel) -> Outcome:
    forward = TorchForward(
        model,
        Preprocessing("hf", Framing("224x224", "squash"), LVD_MEAN, LVD_STD),
        "cpu",
    )
    prepared = forward.prepare(shown(_picture()))
    pixels = prepared.pixels[None].astype(np.float32)
    with torch.inference_mode():
        tokens = model.network(torch.tensor(pixels)).last_hidden_state[0]
    return Outcome(tokens.numpy(), model.prefix_tokens, forward(pixels)[0])


each_model = pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)


@each_model
def test_the_class_token_is_the_published_one(golden: Golden) -> None:
    ours = _outcome(golden.name).tokens[0, :5]
    np.testing.assert_allclose(
        ours, golden.class_token, rtol=golden.tolerance, atol=golden.tolerance
    )


@each_model
def test_the_first_patch_is_the_published_one(golden: Golden) -> None:
    outcome = _outcome(golden.name)
    ours = outcome.tokens[outcome.prefix_tokens, :5]
    np.testing.assert_allclose(
        ours, golden.patch, rtol=golden.tolerance, atol=golden.tolerance
    )


@each_model
def test_the_vector_is_the_class_token_at_length_one(golden: Golden) -> None:
    outcome = _outcome(golden.name)
    expected = outcome.tokens[0] / np.linalg.norm(outcome.tokens[0])
    np.testing.assert_allclose(outcome.vector, expected, rtol=0, atol=1e-6)
