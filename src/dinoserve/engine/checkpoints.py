"""DINOv3 in the layouts of others: what a file holds, under which names.

A layout is a list of renamings from Hugging Face's tensor names to its own. Each
tensor of the file is used exactly once or dropped for a reason, each tensor of the
network is filled exactly once, and whatever else is found is an error.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch

from dinoserve.engine.architectures import Architecture, Shape
from dinoserve.errors import ModelUnavailableError

Renames: TypeAlias = Sequence[tuple[str, str]]

_NAMED = 4
_FUSED = re.compile(r"attn\.qkv\.(weight|bias)")


class Checkpoint(NamedTuple):
    """A model made from another layout.

    Attributes:
        architecture: what the network is.
        tensors: float32, by Hugging Face's names; copies, so that the file may change.
        preprocessor: entries as in `preprocessor_config.json`.
        note: what an operator must know about it; empty if nothing.
    """

    architecture: Architecture
    tensors: Mapping[str, torch.Tensor]
    preprocessor: Mapping[str, object]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """The tensors of a file, under the names that they have there.

    Attributes:
        name: what the operator called the model; errors speak of it.
        tensors: by name; of any float precision.
    """

    name: str
    tensors: Mapping[str, torch.Tensor]

    def unavailable(self, reason: str) -> ModelUnavailableError:
        """Return the error that says why this model cannot be had."""
        return ModelUnavailableError(f"{self.name}: {reason}.", model=self.name)

    def shape(self, tensor: str, dimensions: int) -> Shape:
        """Return the shape of a tensor that tells the architecture.

        Raises:
            ModelUnavailableError: it is missing, or has other dimensions.
        """
        if tensor not in self.tensors:
            raise self.unavailable(
                f"no DINOv3 backbone: {tensor} is missing; there are"
                f" {listed(sorted(self.tensors)) or 'no tensors'}"
            )
        shape = tuple(self.tensors[tensor].shape)
        if len(shape) != dimensions or 0 in shape:
            raise self.unavailable(
                f"no DINOv3 backbone: {tensor} has shape {list(shape)}"
            )
        return shape

    def converted(
        self, shapes: Mapping[str, Shape], renames: Renames, dropped: Mapping[str, str]
    ) -> dict[str, torch.Tensor]:
        """Return float32 copies of the tensors under Hugging Face's names.

        Args:
            shapes: wanted tensors by Hugging Face's name, in the file's shapes, but
                queries, keys and values apart where the file has them fused.
            renames: from Hugging Face's names to the file's: patterns and what takes
                their place, one after the other.
            dropped: patterns of names that are not used, with the reason.

        Raises:
            ModelUnavailableError: tensors are missing, not expected, of another shape
                or no floating-point numbers; it names them.
        """
        places = {target: _renamed(target, renames) for target in shapes}
        wanted = {
            places[target]: _whole(places[target], shape)
            for target, shape in shapes.items()
        }
        self._check(wanted, dropped)
        return {
            target: self._part(target, place).to(
                torch.float32, copy=True, memory_format=torch.contiguous_format
            )
            for target, place in places.items()
        }

    def _check(self, wanted: Mapping[str, Shape], dropped: Mapping[str, str]) -> None:
        given = self.tensors
        faults = {
            "missing": sorted(wanted.keys() - given.keys()),
            "not expected": sorted(
                name
                for name in given.keys() - wanted.keys()
                if not any(re.fullmatch(pattern, name) for pattern in dropped)
            ),
            "of another shape": [
                f"{name} {list(given[name].shape)} instead of {list(shape)}"
                for name, shape in sorted(wanted.items())
                if name in given and tuple(given[name].shape) != shape
            ],
            "not of floating-point numbers": sorted(
                name for name in given if not given[name].is_floating_point()
            ),
        }
        told = [f"{listed(names)} {what}" for what, names in faults.items() if names]
        if told:
            raise self.unavailable(
                f"the tensors are not those of a DINOv3 backbone: {'; '.join(told)}"
            )

    def _part(self, target: str, place: str) -> torch.Tensor:
        tensor = self.tensors[place]
        if not _FUSED.search(place):
            return tensor
        third = next(n for n, name in enumerate("qkv") if f".{name}_proj." in target)
        return tensor.chunk(3)[third]


def _renamed(target: str, renames: Renames) -> str:
    for pattern, replacement in renames:
        target = re.sub(pattern, replacement, target)
    return target


def _whole(place: str, shape: Shape) -> Shape:
    return (3 * shape[0], *shape[1:]) if _FUSED.search(place) else shape


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
