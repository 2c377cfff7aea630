"""DINOv3 networks that do less for the same tokens, for the path on CUDA.

Exact algebra on a copy of the weights: LayerScale goes into the projection before it
(W becomes diag(scale) W, b becomes scale b); queries, keys and values are one product,
and so are the two halves of a gated MLP; a patch is a row of a matrix. Rotary tables
are arguments, so that they are computed once a grid.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DINOv3ViTModel

from dinoserve.engine.network import Network

Activation: TypeAlias = Callable[[Tensor], Tensor]


class Folded(nn.Module, ABC):
    """A network in one dtype; its tokens are float32, because its last norm is.

    Attributes:
        blocks: the parts that repeat, in order; whoever compiles compiles these.
        dtype: of weights and of what flows between the blocks; norms sum in float32.
    """

    def __init__(self, network: Network, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.blocks = nn.ModuleList()
        given = cast("Any", network)
        last = given.norm if _is_vit(network) else given.layer_norm
        self.norm = _norm(last, torch.float32)

    @abstractmethod
    def tables(self, height: int, width: int) -> tuple[Tensor, ...]:
        """Return what depends on the size in pixels alone, for `forward`."""

    @abstractmethod
    def forward(self, pixels: Tensor, *tables: Tensor) -> Tensor:
        """Return float32 (n, tokens, d) of pixels (n, 3, H, W) of any float dtype."""


def folded(network: Network, dtype: torch.dtype) -> Folded:
    """Return the network folded, on the device where it is; it stays as it is.

    Args:
        network: from `load_model`, float32.
        dtype: of the new weights; each is rounded once, after folding.
    """
    make = FoldedViT if _is_vit(network) else FoldedConvNeXt
    return make(network, dtype).eval().requires_grad_(requires_grad=False)


class FoldedViT(Folded):
    """A DINOv3 ViT; see `folded`."""

    def __init__(self, network: Network, dtype: torch.dtype) -> None:
        super().__init__(network, dtype)
        given = cast("Any", network)
        stem = given.embeddings.patch_embeddings
        self._patch_px: int = stem.stride[0]
        self.patches = _linear(stem.weight.flatten(1), stem.bias, dtype)
        first = [given.embeddings.cls_token, given.embeddings.register_tokens]
        self.prefix = nn.Parameter(torch.cat(first, dim=1).to(dtype))
        self.rope = given.rope_embeddings
        self.blocks.extend(_ViTBlock(block, dtype) for block in given.model.layer)

    def tables(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Return cosines and signed sines, float32 (tokens, 1, 1, head width).

        Class token and registers turn by 0. The angles are those of transformers.
        """
        shape = torch.empty(1, device=self.prefix.device).expand(1, 3, height, width)
        cosines, sines = self.rope(shape)
        # So that the turned half, -x2 and x1, is x rolled by half.
        half = sines.shape[1] // 2
        sines = torch.cat([-sines[:, :half], sines[:, half:]], dim=1)
        still = self.prefix.shape[1]
        cosines = functional.pad(cosines, (0, 0, still, 0), value=1.0)
        sines = functional.pad(sines, (0, 0, still, 0))
        return cosines[:, None, None], sines[:, None, None]

    def forward(self, pixels: Tensor, *tables: Tensor) -> Tensor:
        """Return float32 (n, 1 + registers + patches, d), see `Folded`."""
        tokens = self.patches(_as_rows(pixels.to(self.dtype), self._patch_px))
        prefix = self.prefix.expand(pixels.shape[0], -1, -1)
        tokens = torch.cat([prefix, tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens, *tables)
        return self.norm(tokens.float())


class FoldedConvNeXt(Folded):
    """A DINOv3 ConvNeXt, channels last throughout; see `folded`."""

    def __init__(self, network: Network, dtype: torch.dtype) -> None:
        super().__init__(network, dtype)
        self._ends: list[int] = []
        self.steps = nn.ModuleList()
        for stage in cast("Any", network).model.stages:
            self.steps.append(_Step(stage.downsample_layers, dtype))
            self.blocks.extend(_Mixer(block, dtype) for block in stage.layers)
            self._ends.append(len(self.blocks))

    def tables(self, height: int, width: int) -> tuple[()]:
        """Return nothing: convolutions do not depend on the size."""
        del height, width
        return ()

    def forward(self, pixels: Tensor, *tables: Tensor) -> Tensor:
        """Return float32 (n, 1 + patches, d); the first is the mean of the map."""
        del tables
        features = pixels.to(self.dtype).permute(0, 2, 3, 1)
        start = 0
        for step, end in zip(self.steps, self._ends, strict=True):
            features = step(features)
            for block in self.blocks[start:end]:
                features = block(features)
            start = end
        patches = features.flatten(1, 2).float()
        mean = patches.mean(dim=1, keepdim=True)
        return self.norm(torch.cat([mean, patches], dim=1))


class _ViTBlock(nn.Module):
    """Attention and MLP, each added to what came in."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        super().__init__()
        attention, mlp = block.attention, block.mlp
        self._heads: int = attention.num_heads
        self._act: Activation = mlp.act_fn
        self.norm1, self.norm2 = (_norm(n, dtype) for n in (block.norm1, block.norm2))
        qkv = (attention.q_proj, attention.k_proj, attention.v_proj)
        self.qkv = _joined(qkv, dtype)
        self.out = _scaled(attention.o_proj, block.layer_scale1.lambda1, dtype)
        self._is_gated = hasattr(mlp, "gate_proj")
        inner = (mlp.gate_proj, mlp.up_proj) if self._is_gated else (mlp.up_proj,)
        self.inner = _joined(inner, dtype)
        self.down = _scaled(mlp.down_proj, block.layer_scale2.lambda1, dtype)

    def forward(self, tokens: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        tokens = tokens + self._attend(self.norm1(tokens), cosines, sines)
        inner = self.inner(self.norm2(tokens))
        if self._is_gated:
            gate, up = inner.chunk(2, dim=-1)
            return tokens + self.down(self._act(gate) * up)
        return tokens + self.down(self._act(inner))

    def _attend(self, tokens: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        count, length, width = tokens.shape
        qkv = self.qkv(tokens).view(count, length, 3, self._heads, width // self._heads)
        turned = _turned(qkv[:, :, :2], cosines, sines)
        parts = (turned[:, :, 0], turned[:, :, 1], qkv[:, :, 2])
        query, key, value = (part.transpose(1, 2) for part in parts)
        seen = functional.scaled_dot_product_attention(query, key, value)
        return self.out(seen.transpose(1, 2).reshape(count, length, width))


class _Step(nn.Module):
    """From one stage to the next: a norm and a convolution, or the other way round."""

    def __init__(self, layers: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self._norm_first = isinstance(layers[0], nn.LayerNorm)
        norm, convolution = layers if self._norm_first else reversed(layers)
        self.norm = _norm(norm, dtype)
        self.convolution = _convolution(convolution, dtype)

    def forward(self, features: Tensor) -> Tensor:
        if self._norm_first:
            return _convolved(self.norm(features), self.convolution)
        return self.norm(_convolved(features, self.convolution))


class _Mixer(nn.Module):
    """A ConvNeXt block, added to what came in."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self._act: Activation = block.activation_fn
        self.convolution = _convolution(block.depthwise_conv, dtype)
        self.norm = _norm(block.layer_norm, dtype)
        self.inner = _joined((block.pointwise_conv1,), dtype)
        self.down = _scaled(block.pointwise_conv2, block.gamma, dtype)

    def forward(self, features: Tensor) -> Tensor:
        mixed = self.norm(_convolved(features, self.convolution))
        return features + self.down(self._act(self.inner(mixed)))


def _is_vit(network: Network) -> bool:
    return isinstance(network, DINOv3ViTModel)


def _as_rows(pixels: Tensor, patch_px: int) -> Tensor:
    """Return (n, patches, 3 * px * px), in the order of a convolution's weights."""
    count, colours, height, width = pixels.shape
    rows, columns = height // patch_px, width // patch_px
    cut = pixels.reshape(count, colours, rows, patch_px, columns, patch_px)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(count, rows * columns, -1)


def _turned(heads: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Return queries and keys turned by their place, computed in float32."""
    half = heads.shape[-1] // 2
    rolled = heads.roll(half, dims=-1)
    return torch.addcmul(heads * cosines, rolled, sines).to(heads.dtype)


def _convolved(features: Tensor, convolution: nn.Conv2d) -> Tensor:
    return convolution(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _linear(weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> nn.Linear:
    out, inputs = weight.shape
    linear = nn.Linear(inputs, out, bias is not None, device="meta")
    linear.weight = nn.Parameter(weight.detach().to(dtype, copy=True))
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach().to(dtype, copy=True))
    return linear


def _joined(parts: Sequence[nn.Linear], dtype: torch.dtype) -> nn.Linear:
    """Return one product for several of the same input; a bias that lacks is zero."""
    weight = torch.cat([part.weight for part in parts])
    if all(_bias(part) is None for part in parts):
        return _linear(weight, None, dtype)
    biases = [_bias(part) for part in parts]
    zeros = (part.weight.new_zeros(part.out_features) for part in parts)
    given = [zero if b is None else b for b, zero in zip(biases, zeros, strict=True)]
    return _linear(weight, torch.cat(given), dtype)


def _scaled(linear: nn.Linear, scale: Tensor, dtype: torch.dtype) -> nn.Linear:
    """Return the product whose result is multiplied by `scale` already."""
    bias = _bias(linear)
    scaled = None if bias is None else bias * scale
    return _linear(linear.weight * scale[:, None], scaled, dtype)


def _bias(linear: nn.Linear) -> Tensor | None:
    return cast("Tensor | None", linear.bias)


def _norm(norm: nn.LayerNorm, dtype: torch.dtype) -> nn.LayerNorm:
    copy = nn.LayerNorm(list(norm.normalized_shape), norm.eps, device="meta")
    copy.weight = nn.Parameter(norm.weight.detach().to(dtype, copy=True))
    copy.bias = nn.Parameter(norm.bias.detach().to(dtype, copy=True))
    return copy


def _convolution(given: nn.Conv2d, dtype: torch.dtype) -> nn.Conv2d:
    copy = nn.Conv2d(
        given.in_channels,
        given.out_channels,
        cast("tuple[int, int]", given.kernel_size),
        cast("tuple[int, int]", given.stride),
        cast("tuple[int, int]", given.padding),
        groups=given.groups,
        device="meta",
    )
    weight = given.weight.detach().to(dtype, copy=True)
    copy.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
    bias = cast("Tensor", given.bias).detach()
    copy.bias = nn.Parameter(bias.to(dtype, copy=True))
    return copy
