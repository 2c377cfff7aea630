"""What a DINOv3 network is: its sizes, its configuration, its tensors' shapes.

Sources: the DINOv3 paper (arXiv 2508.10104) for the sizes; for names and shapes the
published files as transformers' conversion scripts describe them
(`convert_dinov3_vit_to_hf.py` at a77460f2, `convert_dinov3_convnext_to_hf.py` at
13529f19).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

Shape: TypeAlias = tuple[int, ...]

PATCH_PX = 16
REGISTERS = 4
ROPE_BASE = 100.0


@dataclass(frozen=True, slots=True)
class ViT:
    """Sizes of a DINOv3 ViT of patch 16 with 4 registers.

    Attributes:
        hidden: numbers in a vector.
        intermediate: width inside the MLP.
        layers: transformer blocks.
        heads: attention heads.
        swiglu: whether the MLP is gated.
        qv_bias: whether queries and values have a bias; the same architecture is
            published with and without.
    """

    hidden: int
    intermediate: int
    layers: int
    heads: int
    swiglu: bool = False
    qv_bias: bool = field(default=True, compare=False)

    kind: ClassVar[str] = "dinov3_vit"

    def config(self) -> dict[str, Any]:
        """Return the entries of `DINOv3ViTConfig` that decide what is computed."""
        return {
            "hidden_act": "silu" if self.swiglu else "gelu",
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "key_bias": False,
            "layer_norm_eps": 1e-5,
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "num_register_tokens": REGISTERS,
            "patch_size": PATCH_PX,
            "query_bias": self.qv_bias,
            "rope_theta": ROPE_BASE,
            "use_gated_mlp": self.swiglu,
            "value_bias": self.qv_bias,
        }

    def shapes(self) -> dict[str, Shape]:
        """Return every tensor of the network by Hugging Face's name."""
        token = (1, 1, self.hidden)
        shapes: dict[str, Shape] = {
            "embeddings.cls_token": token,
            "embeddings.mask_token": token,
            "embeddings.register_tokens": (1, REGISTERS, self.hidden),
            **_affine("embeddings.patch_embeddings", self.hidden, 3, PATCH_PX),
            **_affine("norm", self.hidden),
        }
        for layer in range(self.layers):
            shapes |= self._block(f"layer.{layer}.")
        return shapes

    def _block(self, at: str) -> dict[str, Shape]:
        width, inner = self.hidden, self.intermediate
        shapes = _affine(f"{at}norm1", width) | _affine(f"{at}norm2", width)
        shapes |= {f"{at}layer_scale{n}.lambda1": (width,) for n in (1, 2)}
        for name in "qkvo":
            shapes |= _affine(f"{at}attention.{name}_proj", width, width)
        for name in "k" if self.qv_bias else "qkv":
            del shapes[f"{at}attention.{name}_proj.bias"]
        for name in ("gate", "up") if self.swiglu else ("up",):
            shapes |= _affine(f"{at}mlp.{name}_proj", inner, width)
        return shapes | _affine(f"{at}mlp.down_proj", width, inner)


@dataclass(frozen=True, slots=True)
class ConvNeXt:
    """Sizes of a DINOv3 ConvNeXt of stride 32.

    Attributes:
        widths: channels of the four stages; the last is numbers in a vector.
        depths: blocks of the four stages.
    """

    widths: Shape
    depths: Shape

    kind: ClassVar[str] = "dinov3_convnext"

    def config(self) -> dict[str, Any]:
        """Return the entries of `DINOv3ConvNextConfig` that decide the result."""
        return {
            "depths": list(self.depths),
            "hidden_act": "gelu",
            "hidden_sizes": list(self.widths),
            "layer_norm_eps": 1e-6,
        }

    def shapes(self) -> dict[str, Shape]:
        """Return every tensor of the network by Hugging Face's name."""
        shapes = _affine("layer_norm", self.widths[-1])
        for stage, (width, depth) in enumerate(
            zip(self.widths, self.depths, strict=True)
        ):
            at = f"stages.{stage}."
            before = self.widths[stage - 1]
            convolution = (3, 4) if stage == 0 else (before, 2)
            norm, first = (1, 0) if stage == 0 else (0, 1)
            shapes |= _affine(f"{at}downsample_layers.{first}", width, *convolution)
            shapes |= _affine(
                f"{at}downsample_layers.{norm}", before if stage else width
            )
            for layer in range(depth):
                shapes |= _mixer(f"{at}layers.{layer}.", width)
        return shapes


Architecture: TypeAlias = ViT | ConvNeXt

_DEEP = (3, 3, 27, 3)
# By the names in Meta's file names.
PUBLISHED: Mapping[str, Architecture] = MappingProxyType(
    {
        "vits16": ViT(384, 1536, 12, 6),
        "vits16plus": ViT(384, 1536, 12, 6, swiglu=True),
        "vitb16": ViT(768, 3072, 12, 12),
        "vitl16": ViT(1024, 4096, 24, 16),
        "vith16plus": ViT(1280, 5120, 32, 20, swiglu=True),
        "vit7b16": ViT(4096, 8192, 40, 32, swiglu=True),
        "convnext_tiny": ConvNeXt((96, 192, 384, 768), (3, 3, 9, 3)),
        "convnext_small": ConvNeXt((96, 192, 384, 768), _DEEP),
        "convnext_base": ConvNeXt((128, 256, 512, 1024), _DEEP),
        "convnext_large": ConvNeXt((192, 384, 768, 1536), _DEEP),
    }
)


def _affine(name: str, out: int, *inputs: int) -> dict[str, Shape]:
    # Of two numbers, the second is the side of a square kernel.
    kernel = (inputs[0], inputs[1], inputs[1]) if len(inputs) > 1 else inputs
    return {f"{name}.weight": (out, *kernel), f"{name}.bias": (out,)}


def _mixer(at: str, width: int) -> dict[str, Shape]:
    return {
        **_affine(f"{at}depthwise_conv", width, 1, 7),
        **_affine(f"{at}layer_norm", width),
        **_affine(f"{at}pointwise_conv1", 4 * width, width),
        **_affine(f"{at}pointwise_conv2", width, 4 * width),
        f"{at}gamma": (width,),
    }
