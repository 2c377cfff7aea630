"""Urgency: whether somebody waits for the answer now."""

from contextvars import ContextVar
from typing import Literal, TypeAlias

Priority: TypeAlias = Literal["interactive", "bulk"]
"""`interactive`: somebody waits and goes first. `bulk`: many images, no hurry."""

priority: ContextVar[Priority] = ContextVar("priority", default="interactive")
"""The priority of the request at hand; whoever admits it to a queue reads it."""
