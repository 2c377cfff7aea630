"""What the student is taught by; every loss is a mean over the batch."""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

TEMPERATURE: Final = 0.1
_NEAREST: Final = 1e-4


def vector_loss(cls: Tensor, target: Tensor) -> Tensor:
    """Return 1 - cosine of embeddings (n, d) and the teacher's vectors (n, d)."""
    return 1 - functional.cosine_similarity(cls, target).mean()


def likeness_loss(cls: Tensor, target: Tensor) -> Tensor:
    """Return how far cosines within the batch are from the teacher's: mean square."""
    own = functional.normalize(cls, dim=1)
    wanted = functional.normalize(target, dim=1)
    return functional.mse_loss(own @ own.T, wanted @ wanted.T)


def class_loss(logits: Tensor, taught: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence from the teacher's classes (n, 1000)."""
    return functional.kl_div(
        functional.log_softmax(logits, dim=1),
        functional.log_softmax(taught, dim=1),
        reduction="batchmean",
        log_target=True,
    )


def cell_loss(patches: Tensor, cells: Tensor) -> Tensor:
    """Return 1 - cosine of patches (n, h, w, d) and the teacher's map (n, H, W, d)."""
    size = patches.shape[1:3]
    wanted = functional.interpolate(
        cells.permute(0, 3, 1, 2), size=size, mode="bilinear", align_corners=False
    )
    return (
        1 - functional.cosine_similarity(patches, wanted.permute(0, 2, 3, 1), 3).mean()
    )


def pair_loss(one: Tensor, other: Tensor) -> Tensor:
    """Return how hard two views (n, d) of a picture are to find among the batch.

    Source: van den Oord, Li & Vinyals, "Representation Learning with Contrastive
    Predictive Coding" (2018), InfoNCE; both ways, as in CLIP.
    """
    cosines = functional.normalize(one, dim=1) @ functional.normalize(other, dim=1).T
    right = torch.arange(len(one), device=one.device)
    scores = cosines / TEMPERATURE
    there = functional.cross_entropy(scores, right)
    back = functional.cross_entropy(scores.T, right)
    return (there + back) / 2


def spread_loss(cls: Tensor) -> Tensor:
    """Return how close embeddings (n, d) are to their nearest: -log of the distance.

    Source: Sablayrolles et al., "Spreading vectors for similarity search" (2019).
    """
    own = functional.normalize(cls, dim=1)
    cosines = (own @ own.T).fill_diagonal_(-1)
    distance = (2 - 2 * cosines.max(dim=1).values).clamp_min(0).add(_NEAREST**2).sqrt()
    return -distance.log().mean()
