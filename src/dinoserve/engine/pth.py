"""Tensors of a PyTorch file, read without running anything of it."""

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch

from dinoserve.engine.checkpoints import Source


def read_pth(file: Path, name: str) -> Source:
    """Return the tensors of a file that `torch.save` wrote of a dictionary of them.

    They are mapped from the file, not yet in memory.

    Args:
        file: in PyTorch's zip format.
        name: what the operator called the model; errors speak of it.

    Raises:
        ModelUnavailableError: it is damaged, holds anything but tensors by name, or
            could only be read by running code.
    """
    source = Source(name, {})
    if not zipfile.is_zipfile(file):
        raise source.unavailable(
            f"{file.name} is damaged, cut short, or no checkpoint in PyTorch's format"
        )
    try:
        content: object = torch.load(
            file, map_location="cpu", weights_only=True, mmap=True
        )
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        raise source.unavailable(
            f"{file.name} holds more than tensors"
            f"{f' ({wanted[1][:80]})' if wanted else ''}; it is refused, because"
            " reading that can run any code"
        ) from error
    except Exception as error:  # a strange archive can make it raise anything
        reason = str(error).strip().partition("\n")[0][:200]
        raise source.unavailable(
            f"{file.name} is damaged or no checkpoint ({reason})"
        ) from error
    return Source(name, _by_name(source, content))


def _by_name(source: Source, content: object) -> Mapping[str, torch.Tensor]:
    if not isinstance(content, Mapping):
        raise source.unavailable(
            f"it holds a {type(content).__name__}, not tensors by name"
        )
    entries = cast("Mapping[object, object]", content)
    strange = [key for key, value in entries.items() if not _is_plain(key, value)]
    if strange:
        raise source.unavailable(
            f"it is no backbone alone: what it holds as {str(strange[0])[:80]} is no"
            " plain tensor"
        )
    return cast("Mapping[str, torch.Tensor]", entries)


def _is_plain(key: object, value: object) -> bool:
    return (
        isinstance(key, str)
        and isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and not value.is_quantized
        and not value.is_meta
    )
