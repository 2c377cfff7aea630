"""Stores in dictionaries: for tests and trials, gone when the process ends."""

from dinoserve.adapters.memory.documents import MemoryDocuments
from dinoserve.adapters.memory.objects import MemoryObjects

__all__ = ["MemoryDocuments", "MemoryObjects"]
