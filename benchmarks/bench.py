"""Everything that a run needs: the model, the pictures, and the processes."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.agreement import engine_of, lowest_cosine
from benchmarks.int8 import look_for_int8
from benchmarks.pictures import read_pictures, write_pictures
from benchmarks.processes import ROOT, MeasuringError, Server, serving, working
from benchmarks.rows import ASSETS, EMBEDDINGS, HANDWRITTEN, LITSERVE, RAW, Cast

_COMPARED = 8
_SAME_COSINE = 0.999  # the parity that dinoserve asks of its own engines
_ENGINES = ("auto", "fp32", "bf16")
# Apart from what dinoserve needs, so that it is measured as it is installed.
_PEERS = Path(sys.prefix) / "peers"


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that runs, ready to be measured.

    Attributes:
        cast: the processes.
        lowest_cosine: between all servers' vectors of the same picture.
        engine: what computes in dinoserve, in words.
        notes: what else there is to say: of int8, and of what is not there.
    """

    cast: Cast
    lowest_cosine: float
    engine: str
    notes: list[str]


@contextmanager
def opened(folder: Path, layers: int, limit: int) -> Generator[Bench]:
    """Make the model and the pictures, and run every process for the block.

    Args:
        folder: where everything happens.
        layers: transformer blocks of the model.
        limit: how many pictures dinoserve lets wait.

    Raises:
        MeasuringError: a process did not start, or the servers do not compute the
            same thing.
    """
    model, pictures = make_inputs(folder, layers)
    int8 = look_for_int8(model, folder / "cache", folder / "int8.log")
    notes = [str(int8)]
    with ExitStack() as stack:
        servers = _servers(stack, folder, model, limit)
        if LITSERVE not in servers:
            notes.append("LitServe: not measured, `make bench` installs it")
        cast = Cast(
            servers,
            stack.enter_context(
                working("benchmarks.client", str(pictures), log=folder / "client.log")
            ),
            {
                engine: stack.enter_context(
                    working(
                        "benchmarks.bare",
                        *(str(model), str(pictures), engine, str(folder / "cache")),
                        log=folder / f"bare-{engine}.log",
                    )
                )
                for engine in (*_ENGINES, *([] if int8.missing else ["int8"]))
            },
            stack.enter_context(
                working("benchmarks.ceiling", str(layers), log=folder / "ceiling.log")
            ),
        )
        engine = engine_of(servers[EMBEDDINGS].url)
        cosine = _agreed(servers, pictures)
        if LITSERVE in servers:
            servers[LITSERVE].sleep()  # until its rows wake it, see there
        yield Bench(cast, cosine, engine, notes)


def make_inputs(folder: Path, layers: int) -> tuple[Path, Path]:
    """Write the model and the pictures; return their folders."""
    model, pictures = folder / "vit-s-16", folder / "pictures"
    # A process of its own: this one must not hold torch while others are measured.
    command = [sys.executable, "-m", "benchmarks.model", str(model), str(layers)]
    subprocess.run(command, cwd=ROOT, check=True)
    write_pictures(pictures)
    return model, pictures


@contextmanager
def dinoserve(folder: Path, model: Path, limit: int) -> Generator[Server]:
    """Run dinoserve for the block, on defaults but for the model and the log.

    Args:
        folder: made for it.
        model: a model's folder.
        limit: how many pictures may wait.
    """
    settings = {
        "DINOSERVE_DATA": "var",
        "DINOSERVE_MODEL": str(model),
        "DINOSERVE_DEVICE": "cpu",
        "DINOSERVE_LOG_LEVEL": "warning",
        # The same pictures come again and again; what is measured is computing them.
        "DINOSERVE_CACHE_BYTES": "0",
        "DINOSERVE_MAX_WAITING_IMAGES": str(limit),
    }
    command = ["-m", "dinoserve", "serve", "--port", "0"]
    with serving(command, folder, settings) as server:
        yield server


def _servers(
    stack: ExitStack, folder: Path, model: Path, limit: int
) -> dict[str, Server]:
    peers = ROOT / "benchmarks" / "peers"
    ours = stack.enter_context(dinoserve(folder / "dinoserve", model, limit))
    handwritten = stack.enter_context(
        serving([str(peers / "handwritten.py"), str(model)], folder / "handwritten")
    )
    servers = {EMBEDDINGS: ours, RAW: ours, ASSETS: ours, HANDWRITTEN: handwritten}
    if (_PEERS / "litserve").is_dir():
        servers[LITSERVE] = stack.enter_context(
            serving(
                [str(peers / "batched.py"), str(model)],
                folder / "litserve",
                {"PYTHONPATH": str(_PEERS)},
            )
        )
    return servers


def _agreed(servers: dict[str, Server], pictures: Path) -> float:
    compared = read_pictures(pictures)[:_COMPARED]
    cosine = min(
        lowest_cosine(servers[EMBEDDINGS].url, servers[name].url, shape, compared)
        for name, shape in ((HANDWRITTEN, "handwritten"), (LITSERVE, "litserve"))
        if name in servers
    )
    if cosine < _SAME_COSINE:
        raise MeasuringError(
            f"the servers' vectors of a picture differ (cosine {cosine:.4f}), so their"
            " speeds cannot be compared"
        )
    return cosine
