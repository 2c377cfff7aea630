import importlib.util
from pathlib import Path
from typing import Any

from dinoserve.engine.weights import load_model

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_bundled.py"


def test_the_bundled_model_loads_without_any_set_up() -> None:
    model = load_model("bundled")
    assert (model.name, model.revision, model.kind) == (
        "bundled",
        "local",
        "dinov3_vit",
    )


def test_the_bundled_model_says_that_it_is_not_trained() -> None:
    note = load_model("bundled").note
    assert "random" in note
    assert "not trained" in note
    assert "not Meta's" in note


def test_the_bundled_model_is_small() -> None:
    files = load_model("bundled").folder.iterdir()
    assert sum(file.stat().st_size for file in files) < 8_000_000


def test_making_the_bundled_model_again_gives_the_same_files(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_bundled", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.make(tmp_path)
    shipped = load_model("bundled").folder
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (shipped / file.name).read_bytes(), file.name
