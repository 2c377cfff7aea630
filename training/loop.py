"""The loop: stages of steps, kept as a checkpoint every minute, to be gone on with."""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional

from training import losses
from training.lessons import KEPT, Basis, Views, tensor
from training.student import Student
from training.views import bent, coloured

CHECKPOINT: Final = "checkpoint.pt"
_EVERY_S: Final = 60.0
_WHITENING: Final = 0.5
_DECAY: Final = 0.05
_TWICE: Final = 0.5
_WEIGHTS: Final = {
    "vector": 1.0,
    "likeness": 1.0,
    "class": 0.1,
    "cell": 0.5,
    "pair": 0.3,
    "spread": 0.03,
}


@dataclass(frozen=True, slots=True)
class Stage:
    """Steps at one size under one schedule.

    Attributes:
        name: a checkpoint within a stage of this name is gone on with.
        size: pixels of a side that the student sees.
        steps: how many.
        pairs: pictures of a step, of each two views.
        rate: the highest learning rate; it rises for 5 % of the steps and falls as a
            cosine to a hundredth.
    """

    name: str
    size: int
    steps: int
    pairs: int = 96
    rate: float = 1e-3

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        rise = max(1, self.steps // 20)
        if step < rise:
            return self.rate * (step + 1) / rise
        share = (step - rise) / max(1, self.steps - rise)
        return self.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)


@dataclass(slots=True)
class Course:
    """A student, its average, and how far it has come.

    Attributes:
        student: that steps are taken with.
        average: exponential moving average of its weights; this one is shipped.
        optimiser: of the student.
        stage: name of the last stage.
        step: that comes next in it.
        seen: views since the beginning.
    """

    student: Student
    average: Student
    optimiser: torch.optim.Optimizer
    stage: str = ""
    step: int = 0
    seen: int = 0
    losses: dict[str, float] = field(default_factory=dict[str, float])

    @classmethod
    def begin(cls, folder: Path, device: torch.device, seed: int = 0) -> "Course":
        """Return what the folder's checkpoint has; else a new student."""
        torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType] - torch leaves the seed untyped
        student = Student().to(device)
        course = cls(student, copy.deepcopy(student).eval(), _optimiser(student))
        path = folder / CHECKPOINT
        if path.exists():
            course._load(torch.load(path, map_location=device, weights_only=True))
        return course

    def save(self, folder: Path) -> None:
        """Write the checkpoint in place of the one before, or not at all."""
        kept = {
            "student": self.student.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "place": {"stage": self.stage, "step": self.step, "seen": self.seen},
        }
        new = folder / f"{CHECKPOINT}.new"
        torch.save(kept, new)
        new.replace(folder / CHECKPOINT)

    def _load(self, kept: dict[str, Any]) -> None:
        self.student.load_state_dict(kept["student"])
        self.average.load_state_dict(kept["average"])
        self.optimiser.load_state_dict(kept["optimiser"])
        self.stage = kept["place"]["stage"]
        self.step = kept["place"]["step"]
        self.seen = kept["place"]["seen"]


@dataclass(frozen=True, slots=True)
class Teaching:
    """Takes a student through a stage.

    Attributes:
        views: lessons.
        basis: of the teacher's vectors, in which embeddings are learnt.
        folder: of the checkpoint.
    """

    views: Views
    basis: Basis
    folder: Path

    def run(self, course: Course, stage: Stage, limit_s: float = math.inf) -> None:
        """Take the steps of the stage that are left, for so many seconds at most."""
        if course.stage != stage.name:
            course.stage, course.step = stage.name, 0
        until = saved = time.monotonic()
        until += limit_s
        with Progress() as bar:
            task = bar.add_task(stage.name, total=stage.steps, completed=course.step)
            while course.step < stage.steps and time.monotonic() < until:
                self._step(course, stage)
                told = " ".join(f"{k} {v:.3f}" for k, v in course.losses.items())
                bar.update(task, completed=course.step, description=told)
                if time.monotonic() - saved > _EVERY_S:
                    course.save(self.folder)
                    saved = time.monotonic()
        course.save(self.folder)

    def _step(self, course: Course, stage: Stage) -> None:
        draw = np.random.default_rng((len(stage.name), course.seen))
        rows = _rows(draw, self.views, stage.pairs)
        device = next(course.student.parameters()).device
        found = dict(self._losses(course.student, rows, stage.size, device))
        total = torch.stack([_WEIGHTS[name] * loss for name, loss in found.items()])
        total.sum().backward()  # pyright: ignore[reportUnknownMemberType] - torch leaves it untyped
        _improve(course, stage.rate_at(course.step))
        course.step += 1
        course.seen += rows.size
        for name, loss in found.items():
            now = float(loss.detach())
            course.losses[name] = 0.98 * course.losses.get(name, now) + 0.02 * now

    def _losses(
        self, student: Student, rows: NDArray[np.int64], size: int, device: torch.device
    ) -> Iterator[tuple[str, Tensor]]:
        first, second = (_shown(self.views, part, size, device) for part in rows)
        answer = student(torch.cat([coloured(first, 0.05), bent(second)]))
        flat = rows.reshape(-1)
        target = tensor(self.basis(self.views.vectors[flat]), device)
        taught = tensor(self.views.logits[flat], device)
        cells = tensor(self.views.cells[rows[0]], device)
        half = len(first)
        one, other = answer.cls.split(half)
        yield "vector", losses.vector_loss(answer.cls, target)
        yield "likeness", losses.likeness_loss(answer.cls, target)
        yield "class", losses.class_loss(answer.logits, taught)
        yield "cell", losses.cell_loss(answer.patches[:half], cells)
        yield "pair", losses.pair_loss(one, other)
        yield "spread", losses.spread_loss(one)


def basis_of(views: Views, power: float = _WHITENING) -> Basis:
    """Return the basis that embeddings are learnt in: the teacher's 192 components."""
    step = max(1, len(views.vectors) // 20_000)
    return Basis.of(np.asarray(views.vectors[::step]), KEPT, power)


def _rows(draw: np.random.Generator, views: Views, pairs: int) -> NDArray[np.int64]:
    """Return rows of two views (2, pairs) of different pictures; half are twice one."""
    pictures = len(views.pixels) // views.views
    chosen = draw.choice(pictures, pairs, replace=False) * views.views
    first = draw.integers(0, views.views, pairs)
    other = draw.integers(0, views.views, pairs)
    second = np.where(draw.random(pairs) < _TWICE, first, other)
    return np.stack([chosen + first, chosen + second])


def _shown(
    views: Views, rows: NDArray[np.int64], size: int, device: torch.device
) -> Tensor:
    pixels = tensor(views.pixels[rows], device)
    shown = pixels.permute(0, 3, 1, 2).float() / 255
    if shown.shape[-1] == size:
        return shown
    return functional.interpolate(
        shown, size=(size, size), mode="bilinear", antialias=True
    )


def _optimiser(student: Student) -> torch.optim.Optimizer:
    """Return AdamW that decays matrices only: no norms, biases or tokens."""
    decayed = [each for each in student.parameters() if each.ndim > 1]
    free = [each for each in student.parameters() if each.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": _DECAY},
        {"params": free, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98))


def _improve(course: Course, rate: float) -> None:
    for group in course.optimiser.param_groups:
        group["lr"] = rate
    torch.nn.utils.clip_grad_norm_(course.student.parameters(), 1.0)
    course.optimiser.step()
    course.optimiser.zero_grad(set_to_none=True)
    _average(course)


@torch.no_grad()
def _average(course: Course) -> None:
    # Young averages forget faster, else they would be of the first weights.
    share = min(0.998, (1 + course.seen / 192) / (10 + course.seen / 192))
    pairs = zip(course.average.parameters(), course.student.parameters(), strict=True)
    for kept, new in pairs:
        kept.lerp_(new, 1 - share)
