"""`dinoserve eval`: layouts, what it prints and keeps, and what it refuses."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from dinoserve.cli import app
from dinoserve.engine.distortions import DISTORTIONS
from odd_files import photo

METHODS = ("stub", "colour histogram 4x4", "perceptual hash")


def evaluate(place: Path, *arguments: object, model: str = "stub") -> Result:
    env = {"DINOSERVE_DATA": os.fspath(place / "var"), "DINOSERVE_MODEL": model}
    return CliRunner().invoke(app, ["eval", *map(str, arguments)], env=env)


def told(place: Path, *arguments: object) -> dict[str, Any]:
    result = evaluate(place, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def write(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(photo(seed, 64, 48))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    for at, label in enumerate(("apple", "pear")):
        for number in range(3):
            write(folder / "train" / label / f"{number}.jpg", 10 * at + number)
            write(folder / "test" / label / f"{number}.jpg", 10 * at + number + 5)
        write(folder / "iconic" / f"{label}_Iconic.jpg", 100 + at)
    return folder


@pytest.fixture
def cast(tmp_path: Path) -> Path:
    folder = tmp_path / "cast"
    for at, name in enumerate(("ava", "the_bill", "dee")):
        for number in range(3):
            write(folder / f"{name}_{number:02d}.jpg", 10 * at + number)
    return folder


def asked(report: dict[str, Any]) -> list[tuple[str, str]]:
    return [(row["measure"], row["of"]) for row in report["sets"][0]["rows"]]


def figures(report: dict[str, Any]) -> list[float]:
    rows = report["sets"][0]["rows"]
    return [row["values"][method]["value"] for row in rows for method in METHODS]


def test_train_and_test_are_measured_with_what_is_iconic(
    tmp_path: Path, shop: Path
) -> None:
    report = told(tmp_path, shop)
    assert report["sets"][0]["name"] == "shop"
    assert report["sets"][0]["given"] == {"gallery": 6, "queries": 6, "iconic": 2}
    assert asked(report)[:6] == [
        ("kNN accuracy, k=10", "test in train: 6 in 6"),
        ("R@1", "each among the others: 6"),
        ("R@5", "each among the others: 6"),
        ("mAP", "each among the others: 6"),
        ("R@1", "iconic in train: 2 in 6"),
        ("mAP", "iconic in train: 2 in 6"),
    ]


def test_every_distortion_is_looked_up_in_the_originals(
    tmp_path: Path, shop: Path
) -> None:
    rows = asked(told(tmp_path, shop))
    assert rows[6:] == [
        (f"R@1 {name}", "distorted in originals: 12 in 12") for name in DISTORTIONS
    ]


def test_a_flat_folder_is_verified_pair_by_pair(tmp_path: Path, cast: Path) -> None:
    report = told(tmp_path, cast)
    assert ("ROC-AUC", "pairs: 9 same, 27 different") in asked(report)
    assert report["sets"][0]["given"] == {"gallery": 0, "queries": 9, "iconic": 0}


def test_the_baselines_stand_beside_the_model(tmp_path: Path, shop: Path) -> None:
    report = told(tmp_path, shop)
    assert all(tuple(row["values"]) == METHODS for row in report["sets"][0]["rows"])


def test_figures_are_the_same_each_time(tmp_path: Path, cast: Path) -> None:
    first, again = (told(tmp_path, cast) for _ in range(2))
    assert asked(first) == asked(again)
    for one, other in zip(figures(first), figures(again), strict=True):
        # Batches differ, and with them the last bit of a cosine.
        assert one == pytest.approx(other, abs=1e-3)


def test_several_folders_get_a_table_each(
    tmp_path: Path, shop: Path, cast: Path
) -> None:
    result = evaluate(tmp_path, shop, cast)
    assert result.exit_code == 0
    assert "shop" in result.stdout
    assert "cast" in result.stdout
    assert "kNN accuracy" in result.stdout


def test_the_report_names_model_recipe_and_machine(tmp_path: Path, cast: Path) -> None:
    report = told(tmp_path, cast)
    assert report["model"] == "stub"
    assert len(report["recipe"]) == 16
    assert "cores" in report["machine"]
    assert report["note"].startswith("No model")


def test_the_report_is_kept_as_json_and_markdown(tmp_path: Path, cast: Path) -> None:
    report = told(tmp_path, cast, "--out", tmp_path / "kept")
    name = f"eval-stub-{report['recipe']}"
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {
        f"{name}.json",
        f"{name}.md",
    }
    assert json.loads((tmp_path / "kept" / f"{name}.json").read_text()) == report
    page = (tmp_path / "kept" / f"{name}.md").read_text()
    assert page.startswith("# stub\n\n## cast\n")
    assert f"recipe {report['recipe']}" in page
    assert "| ROC-AUC | pairs: 9 same, 27 different |" in page


def test_amounts_bound_what_is_taken(tmp_path: Path, shop: Path) -> None:
    options = ("--gallery", 4, "--queries", 5, "--edited", 2, "--k", 3)
    rows = asked(told(tmp_path, shop, *options))
    assert rows[0] == ("kNN accuracy, k=3", "test in train: 5 in 4")
    assert rows[-1][1] == "distorted in originals: 2 in 12"


def test_the_model_may_be_named(tmp_path: Path, cast: Path) -> None:
    result = evaluate(tmp_path, cast, "--model", "stub", model="/nowhere")
    assert result.exit_code == 0


def test_broken_pictures_are_told_counted_and_left_out(
    tmp_path: Path, cast: Path
) -> None:
    (cast / "ava_09.jpg").write_bytes(b"no picture")
    (cast / "dee_09.jpg").write_bytes(photo(1)[:500])
    result = evaluate(tmp_path, cast, "--json")
    report = json.loads(result.stdout)
    assert result.exit_code == 1
    assert [(one["item"], one["code"]) for one in report["failures"]] == [
        (str(cast / "ava_09.jpg"), "image-unsupported"),
        (str(cast / "dee_09.jpg"), "image-damaged"),
    ]
    assert ("mAP", "each among the others: 9") in asked(report)
    assert report["sets"][0]["given"]["queries"] == 11
    assert asked(report)[-1][1] == "distorted in originals: 9 in 9"


def test_files_without_a_label_are_skipped_and_counted(
    tmp_path: Path, shop: Path, cast: Path
) -> None:
    (cast / "README.txt").write_text("of whom these are")
    write(cast / "nobody.jpg", 1)
    write(cast / "deeper" / "ava_77.jpg", 1)
    write(shop / "train" / "loose.jpg", 1)
    write(shop / "iconic" / "unheard_of.jpg", 1)
    report = told(tmp_path, shop, cast)
    assert report["skipped"] == 5
    assert report["sets"][1]["given"]["queries"] == 9


@pytest.mark.parametrize("labels", [("ava",), ("ava", "bill", "dee")])
def test_a_folder_with_nothing_to_tell_apart_is_refused(
    tmp_path: Path, labels: tuple[str, ...]
) -> None:
    for at, label in enumerate(labels):
        write(tmp_path / "cast" / f"{label}_1.jpg", at)
    result = evaluate(tmp_path, tmp_path / "cast")
    assert result.exit_code == 2
    assert "it takes two" in result.stderr or "nothing to find" in result.stderr


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = evaluate(tmp_path, tmp_path / "empty")
    assert result.exit_code == 2
    assert "no labelled pictures" in result.stderr


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    result = evaluate(tmp_path, tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "no such folder" in result.stderr


def test_a_folder_of_sets_is_refused_with_the_names_of_those_in_it(
    tmp_path: Path, shop: Path
) -> None:
    result = evaluate(tmp_path, shop.parent)
    assert result.exit_code == 2
    assert "Name the folders in it: shop." in " ".join(result.stderr.split())


def test_train_and_test_without_folders_of_labels_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "shop" / "train" / "a.jpg", 1)
    write(tmp_path / "shop" / "test" / "apple" / "a.jpg", 1)
    result = evaluate(tmp_path, tmp_path / "shop")
    assert result.exit_code == 2
    assert "folders named by their label" in result.stderr


def test_refused_folders_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    evaluate(tmp_path, tmp_path / "empty", "--out", tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_model_that_is_not_there_is_told(tmp_path: Path, cast: Path) -> None:
    result = evaluate(tmp_path, cast, model=str(tmp_path / "none"))
    assert result.exit_code == 2
    assert "none" in result.stderr


def test_a_report_that_cannot_be_written_is_told(tmp_path: Path, cast: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = evaluate(tmp_path, cast, "--out", tmp_path / "file")
    assert result.exit_code == 1
    assert "file" in result.stderr
    assert "kNN accuracy" in result.stdout
