"""`make bench-gpu`, in small and on the CPU, with nothing there but what it names."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# What a machine with PyTorch, transformers and Pillow alone does not have.
ABSENT = (
    *("openvino", "nncf", "obstore", "fastapi", "starlette", "uvicorn", "pydantic"),
    *("orjson", "prometheus_client", "psutil"),
)
BARE = f"""
import runpy, sys

sys.modules.update(dict.fromkeys({ABSENT!r}))
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""
TINY = ("--device", "cpu", "--quick", "--side", "64")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    script = str(ROOT / "benchmarks" / "gpu.py")
    done = subprocess.run(
        [sys.executable, "-c", BARE, script, *TINY, "--out", str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def result(folder: Path) -> Any:
    return json.loads((folder / "cpu-quick.json").read_text())


def test_every_path_is_measured_in_every_batch(result: Any) -> None:
    measured = {(row["what"], row["batch"]) for row in result["rows"]}
    assert measured >= {
        (what, batch)
        for what in (
            "transformers fp32",
            "transformers bf16 autocast",
            "ours bf16, captured",
            "ours bf16, compiled + captured",
        )
        for batch in (1, 3)
    }


def test_every_path_is_compared_with_float32(result: Any) -> None:
    cosines = [row["cosine"] for row in result["rows"] if row["batch"] in {1, 3}]
    assert all(0.999 <= cosine <= 1.000001 for cosine in cosines)


def test_jpeg_files_are_measured(result: Any) -> None:
    [row] = [row for row in result["rows"] if "JPEG in" in row["what"]][:1]
    assert row["images_per_s"] > 0


def test_the_service_is_left_out_where_it_is_not_installed(result: Any) -> None:
    [row] = [row for row in result["rows"] if row["what"].startswith("HTTP")]
    assert row["images_per_s"] is None
    assert "not installed: " in row["note"]


def test_the_share_of_the_ceiling_counts_what_the_network_multiplies(
    result: Any,
) -> None:
    # Width 64, 2 layers, 16 patches of 768 numbers, 21 tokens; by hand.
    stem, projections, attention = 16 * 768 * 64, 21 * 64 * 12 * 64, 2 * 21 * 21 * 64
    gflop = 2 * (stem + 2 * (projections + attention)) / 1e9
    for row in result["rows"][:4]:
        share = row["images_per_s"] * gflop / 1000 / result["ceiling_tflop_per_s"]
        assert row["share"] == pytest.approx(share)


def test_the_page_holds_every_row(folder: Path, result: Any) -> None:
    page = (folder / "cpu-quick.md").read_text()
    assert page.count("| ViT tiny 64 |") == len(result["rows"])
