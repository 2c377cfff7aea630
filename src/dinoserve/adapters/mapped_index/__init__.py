"""Nearest vectors in this process, from files mapped into memory."""

from dinoserve.adapters.mapped_index.index import MappedIndex
from dinoserve.adapters.mapped_index.planning import Limits

__all__ = ["Limits", "MappedIndex"]
