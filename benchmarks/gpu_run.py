"""A run on a GPU: the ceiling, then each model on each path, as bytes and over HTTP."""

import argparse
import platform
import tempfile
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import torch
import transformers
from benchmarks.gpu_models import gflop, make
from benchmarks.gpu_result import Result, Row, this_commit
from benchmarks.gpu_rows import PARITY, Subject, measure_files, measure_paths
from benchmarks.gpu_timing import Clock, ceiling_tflop_per_s
from benchmarks.pictures import read_pictures, write_pictures

from dinoserve.domain.framing import Framing
from dinoserve.engine.architectures import PUBLISHED, ViT
from dinoserve.engine.preprocess import LVD_MEAN, LVD_STD, Preprocessing

_ROOT = Path(__file__).parents[1]
_SERVICE = ("uvicorn", "fastapi", "pydantic", "obstore", "typer", "prometheus_client")
_TINY = {"ViT tiny": ViT(64, 256, 2, 2)}
_NAMES = {"ViT-S/16": "vits16", "ViT-B/16": "vitb16", "ViT-L/16": "vitl16"}
_FULL = (1, 16, 64, 128, 256)
_FILES_BATCH = 64


def run(arguments: argparse.Namespace) -> int:
    """Measure, print and keep; return 1 where a path is not equal to the reference."""
    device = torch.device(arguments.device)
    clock = Clock(device, 0.02 if arguments.quick else 0.5, arguments.minutes * 60)
    whole_s = clock.left_s
    _forbid_tf32()
    result = _result(device, arguments.quick)
    result.ceiling_tflop_per_s = ceiling_tflop_per_s(
        device, clock, quick=arguments.quick
    )
    print(f"{result.device}: {result.ceiling_tflop_per_s:.1f} TFLOP/s in bf16 products")
    with tempfile.TemporaryDirectory(prefix="dinoserve-bench-") as folder:
        _measure(result, clock, Path(folder), arguments)
    result.took_s = whole_s - clock.left_s
    if arguments.out:
        print(f"kept as {result.keep(arguments.out)} and .json")
    return int(any(not row.is_equal(PARITY) for row in result.rows))


def _measure(
    result: Result, clock: Clock, folder: Path, arguments: argparse.Namespace
) -> None:
    write_pictures(folder / "pictures")
    files = read_pictures(folder / "pictures")
    models = _models(arguments.quick)
    batches = (1, 3) if arguments.quick else _FULL
    for place, (name, sizes) in enumerate(models.items()):
        # What one model leaves of its share is the next one's.
        section = clock.section(clock.left_s / (len(models) - place) * 0.8)
        subject = _subject(name, sizes, torch.device(arguments.device), arguments.side)
        measure_paths(subject, batches, section, result)
        measure_files(
            subject, files, min(_FILES_BATCH, 4 * max(batches)), clock, result
        )
        if not arguments.no_http:
            _measure_http(subject, folder / name.replace("/", ""), clock, result)


def _measure_http(subject: Subject, folder: Path, clock: Clock, result: Result) -> None:
    clients, seconds = 128, 5.0
    row = Row(subject.name, "HTTP, JPEG in, vectors out", clients)
    missing = [name for name in _SERVICE if find_spec(name) is None]
    if missing or clock.left_s <= 0:
        note = f"not installed: {', '.join(missing)}" if missing else "out of time"
        result.add(row._replace(note=note))
        return
    # Its modules ask for what the service needs.
    from benchmarks.gpu_http import images_per_s  # noqa: PLC0415
    from benchmarks.processes import MeasuringError  # noqa: PLC0415

    folder.mkdir()
    write_pictures(folder / "pictures")
    try:
        rate = images_per_s(
            subject.model, folder / "pictures", subject.device.type, clients, seconds
        )
    except MeasuringError as error:
        result.add(row._replace(note=str(error)[-200:]))
        return
    bare = result.rows[-1].images_per_s
    note = f"{rate / bare:.2f} of the bare engine with JPEG in" if bare else ""
    result.add(row._replace(images_per_s=rate, note=note))


def _models(quick: bool) -> dict[str, ViT]:  # noqa: FBT001 - the only choice there is
    if quick:
        return _TINY
    found = {name: PUBLISHED[published] for name, published in _NAMES.items()}
    return {name: sizes for name, sizes in found.items() if isinstance(sizes, ViT)}


def _subject(name: str, sizes: ViT, device: torch.device, side: int) -> Subject:
    model = make(name, sizes)
    model.network.to(device)  # pyright: ignore[reportArgumentType, reportUnknownMemberType] - transformers wraps it untyped
    framing = Framing(f"{side}x{side}", "squash")
    how = Preprocessing("hf", framing, LVD_MEAN, LVD_STD)
    return Subject(f"{name} {side}", model, how, gflop(sizes, side), device)


def _result(device: torch.device, quick: bool) -> Result:  # noqa: FBT001 - as it was given
    is_cuda = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if is_cuda else "cpu"
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    return Result(
        device=f"{name} quick" if quick else name,
        software=f"{versions}, Python {platform.python_version()},"
        f" CUDA {torch.version.cuda}, commit {this_commit(_ROOT)}",
        date=datetime.now(UTC).date().isoformat(),
        command="make bench-gpu",
    )


def _forbid_tf32() -> None:
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    told = argparse.ArgumentParser(description="Measure DINOv3 on a GPU.")
    told.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    told.add_argument("--quick", action="store_true", help="a tiny model, few steps")
    told.add_argument("--side", type=int, default=224, help="pixels of the input")
    told.add_argument("--minutes", type=float, default=9.0, help="begin nothing later")
    told.add_argument("--no-http", action="store_true", help="the bare engine only")
    told.add_argument("--out", type=Path, default=_ROOT / "benchmarks" / "results")
    return told.parse_args()
