"""A student learns, may be cut off, and becomes a model that the engine loads."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from training.export import export
from training.lessons import KEPT, Preparation, Views
from training.lessons import load as load_views
from training.loop import Course, Stage, Teaching, basis_of
from training.pictures import Pictures
from training.separation import area, separation
from training.teacher import CLASSES, WIDTH

from dinoserve.engine.weights import load_model
from odd_files import photo

CPU = torch.device("cpu")
STAGE = Stage("short", size=32, steps=4, pairs=4)


@pytest.fixture
def views() -> Views:
    draw = np.random.default_rng(0)
    rows = 6 * 2
    return Views(
        draw.integers(0, 256, (rows, 48, 48, 3), dtype=np.uint8),
        draw.normal(size=(rows, WIDTH)).astype(np.float16),
        draw.normal(size=(rows, CLASSES)).astype(np.float16),
        draw.normal(size=(rows, 7, 7, KEPT)).astype(np.float16),
        views=2,
    )


def taught(views: Views, folder: Path, stage: Stage = STAGE) -> Course:
    folder.mkdir(exist_ok=True)
    course = Course.begin(folder, CPU)
    Teaching(views, basis_of(views), folder).run(course, stage)
    return course


def test_a_stage_that_is_over_takes_no_further_step(
    views: Views, tmp_path: Path
) -> None:
    first = taught(views, tmp_path / "run")
    again = taught(views, tmp_path / "run")

    assert (again.step, again.seen) == (first.step, first.seen) == (4, 32)


def test_a_checkpoint_holds_all_that_the_next_step_needs(
    views: Views, tmp_path: Path
) -> None:
    course = taught(views, tmp_path / "run")

    again = Course.begin(tmp_path / "run", CPU)

    pairs = zip(course.average.parameters(), again.average.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert again.optimiser.state_dict()["state"].keys()
    assert (again.stage, again.step, again.seen) == ("short", 4, 32)


def test_another_stage_begins_with_the_weights_of_the_last(
    views: Views, tmp_path: Path
) -> None:
    taught(views, tmp_path / "run")
    course = taught(views, tmp_path / "run", Stage("long", 48, 2, pairs=4))

    assert (course.stage, course.step, course.seen) == ("long", 2, 48)


def test_the_rate_rises_and_falls() -> None:
    stage = Stage("any", 96, 1000, rate=1e-3)
    rates = [stage.rate_at(step) for step in range(1000)]

    assert rates[0] < rates[25] < max(rates) == pytest.approx(1e-3)
    assert rates[500] > rates[-1] == pytest.approx(1e-5, rel=0.02)


def test_a_student_becomes_a_model_that_the_engine_loads(tmp_path: Path) -> None:
    student = Course.begin(tmp_path, CPU).average

    least = export(student, tmp_path / "model", 64)
    loaded = load_model(str(tmp_path / "model"))

    assert least > 0.999
    assert loaded.network is not None
    assert (tmp_path / "model/model.safetensors").stat().st_size <= 12 * 1024 * 1024


def test_lessons_of_pictures_teach_a_student(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for seed in range(5):
        (tmp_path / f"pictures/{seed}.jpg").write_bytes(photo(seed, 96, 64))
    pictures = Pictures(tmp_path / "pictures")
    for _ in range(2):  # the second time everything is there
        Preparation(pictures, tmp_path / "lessons", size=32, views=2).run(CPU)

    found = load_views(tmp_path / "lessons")
    course = taught(found, tmp_path / "run")

    assert found.pixels.shape == (10, 32, 32, 3)
    assert np.isfinite(found.vectors).all()
    assert all(np.isfinite(loss) for loss in course.losses.values())


def test_the_area_is_the_share_of_pairs_in_right_order() -> None:
    scores = np.array([0.9, 0.5, 0.5, 0.1], np.float32)

    assert area(scores, np.array([True, True, False, False])) == pytest.approx(0.875)
    assert area(-scores, np.array([True, True, False, False])) == pytest.approx(0.125)


def test_colours_alone_let_a_random_student_find_an_object_again(
    tmp_path: Path,
) -> None:
    for name, colour in (("objects", "red"), ("backgrounds", "blue")):
        (tmp_path / name).mkdir()
        for at in range(2):
            Image.new("RGB", (64, 64), colour).save(tmp_path / name / f"{at}.png")
    export(Course.begin(tmp_path, CPU).average, tmp_path / "model", 64)
    objects, others = (Pictures(tmp_path / name) for name in ("objects", "backgrounds"))

    assert separation(tmp_path / "model", objects, others) > 0.9
